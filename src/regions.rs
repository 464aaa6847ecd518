//! The manifest of the built-in region data: release, decree, source, checksums and counts.
//!
//! Source: `data/regions/manifest.json`, written by `script/refresh-regions`. The tables themselves
//! are in the crate `nik`.

use std::collections::BTreeMap;

use serde::Deserialize;

const MANIFEST: &str = include_str!("../data/regions/manifest.json");

/// Origin and counts of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The release of the data, such as `2025.1`.
    pub release: String,
    pub decree: String,
    pub source: Source,
    /// SHA-256 of `current.tsv` followed by `retired.tsv`.
    pub sha256: String,
    /// SHA-256 by file name.
    pub files: BTreeMap<String, String>,
    pub counts: BTreeMap<String, BTreeMap<String, usize>>,
    /// The number of retired codes by level and confidence.
    pub retired_confidence: BTreeMap<String, BTreeMap<String, usize>>,
}

/// The source of `current.tsv`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Source {
    /// The Python package with its version.
    pub package: String,
    /// The file of codes in the package.
    pub file: String,
    pub sha256: String,
    pub licence: String,
    /// The file in `data/regions` that repeats the text of the licence.
    pub notice: String,
}

pub fn manifest() -> Result<Manifest, serde_json::Error> {
    serde_json::from_str(MANIFEST)
}
