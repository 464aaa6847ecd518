//! What operators see: counters, health, logs.

pub mod breaker;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
