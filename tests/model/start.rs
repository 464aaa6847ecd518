//! Where a partition starts: the program's own decision, `src/kafka/stream/start.rs`.

use nik_stream::kafka::{Committed, Known, Ledger, Start, Watermarks, decide};

use super::worker::REQUESTS;

/// The position to read from; `None`: the partition stands. `ledger`: the visible entry, if a ledger is kept.
pub fn start(group: Option<u8>, own: Option<u8>, ledger: Option<Option<u8>>) -> Option<u8> {
    let ledger = match ledger.map(|entry| entry.map(committed)) {
        None => Ledger::NotKept,
        Some(None) => Ledger::NoEntry,
        Some(Some(entry)) => Ledger::Entry(entry),
    };
    let known = Known {
        group: group.map(committed),
        own: own.map(committed),
        ledger,
        watermarks: Watermarks { low: 0, high: REQUESTS.into() },
        topic_id: None,
    };
    match decide(&known) {
        Start::At { position, .. } => u8::try_from(position.offset).ok(),
        Start::Standing(_) => None,
    }
}

fn committed(position: u8) -> Committed {
    Committed { offset: position.into(), leader_epoch: None, topic_id: None, reset_ms: 0 }
}
