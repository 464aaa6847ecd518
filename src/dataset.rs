//! The region data built into the program, so that it is one file.
//!
//! Source: `data/regions/manifest.json`, which `script/refresh-regions` writes and which names the decree and the package. An error
//! would be one of the build, and `tests/regions/` reads all of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::region::{ParseError, Regions, RetiredCodes, Tables};

/// The codes in force: `code TAB name`, sorted by code.
pub const CURRENT_TSV: &str = include_str!("../data/regions/current.tsv");

/// The codes no longer in force, each with its provenance.
pub const RETIRED_TSV: &str = include_str!("../data/regions/retired.tsv");

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

/// Both tables with their provenance: what a lookup by hand needs.
pub fn tables() -> Result<Tables<'static>, ParseError> {
    Tables::parse(CURRENT_TSV, RETIRED_TSV)
}

/// The kecamatan that count as known: what the judgement of a NIK needs.
pub fn regions(retired: RetiredCodes) -> Result<Regions, ParseError> {
    Regions::parse(CURRENT_TSV, RETIRED_TSV, retired)
}

/// Release, source, checksums and counts of the tables.
pub fn manifest() -> Result<Manifest, serde_json::Error> {
    serde_json::from_str(MANIFEST)
}
