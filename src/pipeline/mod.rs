//! When to commit, and when to stop writing dead letters: decisions that need no Kafka client.

pub mod breaker;
pub mod epoch;
mod position;

pub use position::Position;
