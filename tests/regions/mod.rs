//! The region data: its manifest, `nik-stream regions` and `script/refresh-regions`.

mod commands;
mod manifest;
#[cfg(feature = "packaging-tests")]
mod refresh;
mod release;
