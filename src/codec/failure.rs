//! What becomes of a request that cannot be processed.

/// Why a request could not be processed. In the order of the checks: the first that fails names the
/// reason.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The record has no value (null; a value of 0 bytes is `MalformedJson`).
    Tombstone,
    /// The request has more bytes than the limit.
    RequestTooLarge,
    /// Not UTF-8 (a byte order mark counts), not JSON, nested deeper than 128, an escaped lone
    /// surrogate, or bytes after the object.
    MalformedJson,
    /// Not an object; `nik` missing, given twice or not an array; `process` missing, given twice or
    /// not text.
    InvalidRequest,
    /// `process` is neither `limited` nor `full`.
    UnknownProcess,
    /// The list has more elements than the limit.
    TooManyNiks,
    /// The limit or the broker refuses the result's size.
    ResultTooLarge,
    /// A fault in this program, caught while it worked on this one request.
    Internal,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Tombstone,
        Self::RequestTooLarge,
        Self::MalformedJson,
        Self::InvalidRequest,
        Self::UnknownProcess,
        Self::TooManyNiks,
        Self::ResultTooLarge,
        Self::Internal,
    ];

    /// The text of the header `nik-failure-reason` and of the metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::RequestTooLarge => "request_too_large",
            Self::MalformedJson => "malformed_json",
            Self::InvalidRequest => "invalid_request",
            Self::UnknownProcess => "unknown_process",
            Self::TooManyNiks => "too_many_niks",
            Self::ResultTooLarge => "result_too_large",
            Self::Internal => "internal",
        }
    }
}

/// Appends a failure's payload; `niks` are the bytes of the request's `nik` array, given back as
/// they were sent.
pub fn write_failure(out: &mut Vec<u8>, niks: Option<&[u8]>) {
    out.extend_from_slice(br#"{"message":"failed","data":"#);
    out.extend_from_slice(niks.unwrap_or(b"[]"));
    out.push(b'}');
}
