//! Where a partition starts. Replaced by `src/kafka/stream/start.rs` once it is on this branch.

/// The position to read from; `None`: the partition stands.
pub fn decide(group: Option<u8>, own: Option<u8>, ledger: Option<u8>) -> Option<u8> {
    match (group, ledger) {
        _ => Some(group.max(own).max(ledger).unwrap_or(0)),
    }
}
