//! Limits of the contract that clients, topics and the stream share.

/// Bytes that a record may have beside its value: key, headers, framing.
pub const MARGIN: usize = 1 << 20;

/// A request dated further ahead of the clock than this gets the clock's time on its outcome.
pub const AHEAD_MS: i64 = 10 * 60 * 1000;
