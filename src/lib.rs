//! Validates Indonesian identity numbers (NIK) on a Kafka stream, each request answered exactly once.
//!
//! Layers, imports one way (kept by `tests/house.rs`):
//! `region <- nik <- codec <- pipeline <- dataset, generate <- telemetry <- config <- kafka <- app <- cli`.
//! ARCHITECTURE.md walks one record through them.

pub mod app;
pub mod cli;
pub mod codec;
pub mod config;
pub mod dataset;
pub mod generate;
pub mod kafka;
pub mod nik;
pub mod pipeline;
pub mod region;
pub mod telemetry;
