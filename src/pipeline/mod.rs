//! When to commit, when to stop writing dead letters, which timestamps to believe: decisions that
//! need no Kafka client.

pub mod breaker;
pub mod epoch;
mod position;
pub mod timestamps;

pub use position::Position;
