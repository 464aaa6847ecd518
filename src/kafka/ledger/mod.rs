//! The ledger of positions: a second record of how far the group has read, in a separate topic.
//!
//! A group coordinator can answer with old positions and without an error (Kafka 4.3.1, a single
//! broker killed twice), positions expire, and a broker restored from an older disk brings old ones
//! back. The ledger reveals all of this: its entries are written in the transaction of the outcomes
//! and the group's positions, so the two can only differ if one of them was lost or changed.
//!
//! The topic has as many partitions as the requests. The entry for a partition of the requests is
//! in the partition of the same number, so that an open transaction of one worker hides no entry of
//! another; its key is the group. The topic is compacted, which keeps the latest entry of a group.

mod entry;
mod reader;

pub use entry::Entry;
pub use reader::{Found, LedgerReader};
