//! Schema ids in front of requests and outcomes, in the wire format of Confluent's serializers: a
//! byte 0, the id in four bytes (big-endian), then the JSON.

/// The bytes of a schema id with its marker.
const PREFIX_BYTES: usize = 5;

/// Which requests and outcomes have a schema id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Framing {
    /// Whether a request may have a schema id. Otherwise every byte of it is JSON.
    pub requests: bool,
    /// The schema id of results; 0: they have none.
    pub results: u32,
    /// The schema id of failures; 0: they have none.
    pub failures: u32,
}

impl Framing {
    /// The JSON of a request. A request of fewer than five bytes has no schema id.
    pub fn json(self, request: &[u8]) -> &[u8] {
        match request.split_at_checked(PREFIX_BYTES) {
            Some(([0, ..], json)) if self.requests => json,
            _ => request,
        }
    }

    pub(super) fn start_result(self, out: &mut Vec<u8>) {
        start(self.results, out);
    }

    pub(super) fn start_failure(self, out: &mut Vec<u8>) {
        start(self.failures, out);
    }
}

/// Replaces the content of `out` by the schema id.
fn start(id: u32, out: &mut Vec<u8>) {
    out.clear();
    if id != 0 {
        out.push(0);
        out.extend_from_slice(&id.to_be_bytes());
    }
}
