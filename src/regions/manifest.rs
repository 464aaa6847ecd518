//! The manifest of a release: its name, decree, source, checksums and counts.

use std::collections::BTreeMap;

use serde::Deserialize;

const MANIFEST: &str = include_str!("../../data/regions/manifest.json");

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
    /// Whether the release may know far fewer codes than the one before it:
    /// `script/refresh-regions --allow-shrink`.
    #[serde(default)]
    pub allow_shrink: bool,
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
    /// The file beside the tables that repeats the text of the licence.
    pub notice: String,
}

/// The manifest of the built-in data.
pub fn manifest() -> Result<Manifest, serde_json::Error> {
    serde_json::from_str(MANIFEST)
}
