//! The kecamatan of first registration, from the first six characters.

use super::{Nik, Section};
use crate::region::{AreaId, Regions};

/// Valid if the first six characters are the code of a kecamatan that `regions` knows, current or
/// retired: a NIK keeps the code it was issued with, even when its holder moves or the kecamatan
/// is split.
///
/// Source: PP 37/2007 art. 37 (the code of the place of first registration); UU 23/2006 as amended
/// by UU 24/2013, art. 13, and PP 40/2019 art. 30 (a NIK is for life).
pub(super) fn read(nik: &Nik<'_>, regions: &Regions) -> Section<Option<AreaId>> {
    Section::valid_if_some(nik.area().and_then(|code| regions.find(code)))
}
