//! The region data: what it holds, what is refused, what is said about it, how it is refreshed.

mod commands;
mod manifest;
#[cfg(feature = "packaging-tests")]
mod refresh;
