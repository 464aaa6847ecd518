//! HTTP: the live page, metrics, health, and `POST /api/nik` where the settings open it.

pub mod api;
mod page;
pub mod server;
pub mod status;
mod write_timeout;
