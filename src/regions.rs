//! The manifest of the region data built into the program: release, decree, source, checksums and counts.
//!
//! Source: `data/regions/manifest.json`, written by `script/refresh-regions`. The tables themselves are in the crate `nik`.

use std::collections::BTreeMap;

use serde::Deserialize;

const MANIFEST: &str = include_str!("../data/regions/manifest.json");

/// Where the tables come from, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The data's own release, such as `2025.1`.
    pub release: String,
    /// The decree whose list is in force.
    pub decree: String,
    /// What `current.tsv` was made from.
    pub source: Source,
    /// The checksum of the whole: of `current.tsv` followed by `retired.tsv`.
    pub sha256: String,
    /// The checksum of each file.
    pub files: BTreeMap<String, String>,
    /// How many codes, by level and state.
    pub counts: BTreeMap<String, BTreeMap<String, usize>>,
    /// How many retired codes, by level and confidence.
    pub retired_confidence: BTreeMap<String, BTreeMap<String, usize>>,
}

/// What `current.tsv` was made from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Source {
    /// The Python package with its version.
    pub package: String,
    /// The file in the package.
    pub file: String,
    /// That file's checksum.
    pub sha256: String,
    /// Its licence.
    pub licence: String,
    /// The file in `data/regions` that repeats the licence's text.
    pub notice: String,
}

/// Release, source, checksums and counts of the tables.
pub fn manifest() -> Result<Manifest, serde_json::Error> {
    serde_json::from_str(MANIFEST)
}
