//! Records that a broker, or librdkafka itself, refused.

use rdkafka::error::RDKafkaErrorCode as Code;

/// A record that was not delivered.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// The tag that the record was sent with.
    pub tag: usize,
    pub code: Code,
}

/// Whether `code` concerns the record itself, so that a retry would be refused too.
///
/// `InvalidRecord` is the code of each record of a batch of which several were refused. Sent alone,
/// each gets its own code.
pub fn is_permanent(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::InvalidTimestamp | Code::InvalidRecord)
}
