//! HTTP: the live page, metrics, health and, if enabled, `POST /api/nik`.

pub mod api;
mod page;
pub mod server;
pub mod status;
mod write_timeout;
