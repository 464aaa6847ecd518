//! The region data built into the program, so that it is one file.
//!
//! Source: `data/regions/manifest.json`, which `script/refresh-regions` writes and which names the decree and the package. An error
//! would be one of the build, and `tests/regions/` reads all of it.

use crate::region::{ParseError, Regions, RetiredCodes, Tables};

/// The codes in force: `code TAB name`, sorted by code.
pub const CURRENT_TSV: &str = include_str!("../data/regions/current.tsv");

/// The codes no longer in force, each with its provenance.
pub const RETIRED_TSV: &str = include_str!("../data/regions/retired.tsv");

/// Both tables with their provenance: what a lookup by hand needs.
pub fn tables() -> Result<Tables<'static>, ParseError> {
    Tables::parse(CURRENT_TSV, RETIRED_TSV)
}

/// The kecamatan that count as known: what the judgement of a NIK needs.
pub fn regions(retired: RetiredCodes) -> Result<Regions, ParseError> {
    Regions::parse(CURRENT_TSV, RETIRED_TSV, retired)
}
