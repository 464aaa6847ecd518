//! What operators see: counters, health, logs.

pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod page;
pub mod samples;
pub mod status;
