//! Records that a broker or the client itself refused.

use rdkafka::error::RDKafkaErrorCode as Code;

/// A record of ours that the broker did not take.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// What it was sent with.
    pub tag: usize,
    pub code: Code,
}

/// Whether a refusal concerns the record itself, for good. `InvalidRecord` is the code of each of several in a batch that
/// were refused; sent alone, each gets the code that tells why.
pub fn is_for_good(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::InvalidTimestamp | Code::InvalidRecord)
}
