//! The service, `nik-stream run`, on a real Kafka: one outcome for each request, whatever breaks.

pub mod audit;
mod breaker;
mod brokers;
mod counters;
mod crashes;
mod dead_letters;
mod embedded;
mod fences;
mod given_up;
mod health;
mod held_back;
pub mod load;
mod membership;
mod metrics;
mod privacy;
mod reader;
mod records;
mod refused;
mod replies;
pub mod stage;
mod stops;
