//! The three topics: made where they are missing, judged where they are wrong.

pub mod admin;
pub mod verify;
