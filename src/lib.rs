//! Validates Indonesian identity numbers (NIK) on a Kafka stream, each request answered exactly
//! once.
//!
//! ARCHITECTURE.md describes the modules, and follows one record through them.

pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod kafka;
pub mod pipeline;
pub mod regions;
pub mod telemetry;
