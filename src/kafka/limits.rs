//! Limits of the contract that clients, topics and the stream share.

/// The bytes that a record may have in addition to its value: key, headers and framing.
pub const RECORD_OVERHEAD: usize = 1 << 20;

/// The outcome of a request whose timestamp is further in the future gets the current time.
pub const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;
