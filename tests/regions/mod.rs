//! The region data: its manifest, `nik-stream regions` and `script/refresh-regions`.

mod commands;
mod manifest;
mod refresh;
