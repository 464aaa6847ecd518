//! The first six characters: the kecamatan that first registered the person.

use super::{Nik, Section};
use crate::region::{AreaId, Regions};

/// Valid when the first six characters are the code of a kecamatan that `regions` knows, one in
/// force or a retired one: the code is that of the day the NIK was issued, and the NIK stays the
/// same when its holder moves or the kecamatan is split.
///
/// Source: PP 37/2007 art. 37 (the code of the place of first registration); UU 23/2006 as changed
/// by UU 24/2013, art. 13, and PP 40/2019 art. 30 (for life, whatever moves).
pub(super) fn read(nik: &Nik<'_>, regions: &Regions) -> Section<Option<AreaId>> {
    Section::known(nik.area().and_then(|code| regions.find(code)))
}
