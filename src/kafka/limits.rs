//! Limits of the contract that clients, topics and the stream share.

/// The bytes that a record may have in addition to its value: key, headers and framing.
pub const RECORD_OVERHEAD: usize = 1 << 20;
