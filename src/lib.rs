//! Validates Indonesian identity numbers (NIK) on a Kafka stream, each request answered exactly
//! once.
//!
//! Modules import one way (`tests/house.rs` checks it), above the crates `nik` and `nik-wire`:
//! `pipeline, regions <- telemetry <- config <- kafka <- http <- app <- cli`.
//! ARCHITECTURE.md follows one record through them.

pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod kafka;
pub mod pipeline;
pub mod regions;
pub mod telemetry;
