//! Where a partition starts: the program's own decision, `src/kafka/stream/start.rs`.

use nik_stream::kafka::{Committed, Known, Ledger, Start, Watermarks, decide};

use super::worker::REQUESTS;

/// The position to read from; `None`: the partition stands. `entry` is the visible one of the ledger, if that is kept.
pub fn start(group: Option<u8>, own: Option<u8>, entry: Option<u8>, is_kept: bool) -> Option<u8> {
    let ledger = match entry {
        _ if !is_kept => Ledger::NotKept,
        None => Ledger::NoEntry,
        Some(entry) => Ledger::Entry(committed(entry)),
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
    Committed::at(position.into())
}
