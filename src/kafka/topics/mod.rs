//! The topics of the service: created if they are missing, verified if they exist.

pub mod admin;
pub mod verify;
