//! The region data: a release is a manifest and two tables, built in or read from a folder.
//!
//! Source: `data/regions`, written by `script/refresh-regions`. The built-in tables themselves are in
//! the crate `nik`.

mod manifest;
mod release;

pub use manifest::{Manifest, Source, manifest};
pub use release::{Release, ReleaseError};
