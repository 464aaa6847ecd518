//! Validates Indonesian identity numbers (NIK) on a Kafka stream, each request answered exactly once.
//!
//! Layers, imports one way (kept by `tests/house.rs`):
//! `region <- nik <- codec <- pipeline <- dataset, generate <- telemetry <- config <- kafka <- app <- cli`.
//! ARCHITECTURE.md walks one record through them.

pub mod app;
pub mod cli;
pub mod config;
pub mod kafka;
pub mod pipeline;
pub mod regions;
pub mod telemetry;
