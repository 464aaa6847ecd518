//! The kecamatan of first registration, from the first six characters.

use super::reason::{Cause, SectionReason};
use super::{Nik, Section};
use crate::region::{AreaId, Code, Regions};

/// Valid if the first six characters are the code of a kecamatan that `regions` knows, current or
/// retired: a NIK keeps the code it was issued with, even when its holder moves or the kecamatan
/// is split.
///
/// Source: PP 37/2007 art. 37 (the code of the place of first registration); UU 23/2006 as amended
/// by UU 24/2013, art. 13, and PP 40/2019 art. 30 (a NIK is for life).
pub(super) fn read<R: Cause>(nik: &Nik<'_>, regions: &Regions) -> Section<Option<AreaId>, R> {
    let code = nik.area();
    let value = code.and_then(|code| regions.find(code));
    Section::new(value, value.is_some(), || {
        code.map_or(SectionReason::AreaNotDigits, |code| why_invalid(code, regions))
    })
}

/// Why a NIK cannot have this code.
fn why_invalid(code: u32, regions: &Regions) -> SectionReason {
    let kecamatan = Code::of_kecamatan(code);
    let regency = kecamatan.parent();
    let knows = |code: Option<Code>| code.is_some_and(|code| regions.knows(code));
    if !knows(regency.and_then(Code::parent)) {
        SectionReason::AreaUnknownProvince
    } else if !knows(regency) {
        SectionReason::AreaUnknownRegency
    } else if !regions.knows(kecamatan) {
        SectionReason::AreaUnknownKecamatan
    } else {
        SectionReason::AreaRetired
    }
}
