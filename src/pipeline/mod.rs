//! When to commit, when to stop writing dead letters, which timestamps to believe: decisions that
//! need no Kafka client.

pub mod breaker;
pub mod epoch;
pub mod judge;
mod position;
pub mod timestamps;

pub use position::Position;
