//! The region data built into this crate.
//!
//! The tables are constants, so a [`ParseError`] here is a bug in the build; the tests of this
//! crate read them whole.
//!
//! Source: `data/regions/manifest.json`, written by `script/refresh-regions`, names the decree and
//! the package they come from.

use crate::region::{ParseError, Regions, RetiredCodes, Tables};

/// The codes in force, sorted: `code TAB name`.
pub const CURRENT_TSV: &str = include_str!("../data/regions/current.tsv");

/// The retired codes, sorted, each with its provenance.
pub const RETIRED_TSV: &str = include_str!("../data/regions/retired.tsv");

/// Both tables with their provenance, for lookups of codes of any level.
pub fn tables() -> Result<Tables<'static>, ParseError> {
    Tables::parse(CURRENT_TSV, RETIRED_TSV)
}

/// The known kecamatan, for [`assess`](crate::assess()).
pub fn regions(retired: RetiredCodes) -> Result<Regions, ParseError> {
    Regions::parse(CURRENT_TSV, RETIRED_TSV, retired)
}
