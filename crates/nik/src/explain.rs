//! A judgement with its reasons, the history of its area, and what is remarkable about it.

use super::assess::judge;
use super::reason::SectionReason;
use super::{Assessment, BirthDate, Date, Nik};
use crate::region::{Code, Confidence, Regions, State};

crate::named! {
    /// What is remarkable about a NIK, although the section is valid.
    pub enum Warning {
        /// The area is valid, and its code is retired.
        RetiredArea = "retired_area",
        /// The area is valid and retired, and its name is unknown.
        UnnamedArea = "unnamed_area",
        /// The area is valid and retired, and the evidence for its code is weak.
        UncertainArea = "uncertain_area",
        /// The date of birth is valid, and a century earlier it would be as well. The later year is
        /// taken.
        AmbiguousCentury = "ambiguous_century",
    }
}

/// The judgement of one NIK and everything about it that the tables add. It holds personal data and
/// therefore has no `Debug`.
#[derive(Clone, Copy)]
pub struct Explanation<'a> {
    /// The verdict, with the reason of each invalid section.
    pub assessment: Assessment<'a, SectionReason>,
    /// Whether the code of the area is in force; `None` if no table has it. It is known even if
    /// [`RetiredCodes`](crate::region::RetiredCodes) leaves the code out.
    pub state: Option<State>,
    /// The code in force that replaced a retired one, if known.
    pub now: Option<Code>,
    /// Whether each warning applies, in the order of [`Warning::ALL`].
    warnings: [bool; Warning::ALL.len()],
}

impl Explanation<'_> {
    /// The warnings that apply, in the order of the result.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> {
        Warning::ALL
            .into_iter()
            .zip(self.warnings)
            .filter_map(|(it, applies)| applies.then_some(it))
    }
}

/// Judges a NIK as [`assess`](super::assess()) does, and explains the verdict.
pub fn explain<'a>(
    nik: &Nik<'a>,
    regions: &Regions,
    min_age: u8,
    reference: Date,
) -> Explanation<'a> {
    let assessment: Assessment<'a, SectionReason> = judge(nik, regions, min_age, reference);
    let code = nik.area().map(Code::of_kecamatan);
    let retirement = code.and_then(|code| regions.retirement(code));
    let admitted = retirement.filter(|_| assessment.area.valid());
    let confidence = admitted.map(|it| it.confidence);
    let is_unnamed = |id| regions.area(id).kecamatan.is_none();
    let born = assessment.dob.value.filter(|_| assessment.dob.valid());
    Explanation {
        assessment,
        state: code.and_then(|code| regions.state(code)),
        now: retirement.and_then(|it| it.successor),
        warnings: [
            admitted.is_some(),
            admitted.is_some() && assessment.area.value.is_some_and(is_unnamed),
            matches!(confidence, Some(Confidence::Medium | Confidence::Low)),
            born.is_some_and(BirthDate::is_ambiguous),
        ],
    }
}
