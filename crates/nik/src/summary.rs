//! Counts over a list of NIKs, for a result's `summary` and for the metrics.

use core::ops::AddAssign;

use super::{Assessment, Comparison, Declared, Explanation, SectionReason, Warning};

/// Counts over a list. A NIK that occurs twice counts twice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// Elements in the list.
    pub number: u64,
    /// Elements that could be read as a NIK.
    pub number_processed: u64,
    /// Elements that could not be read as a NIK.
    pub error: u64,
    /// NIKs valid in all five sections.
    pub all_section: u64,
    /// NIKs with a valid length.
    pub length: u64,
    /// NIKs with a valid area.
    pub area: u64,
    /// NIKs with a valid date of birth.
    pub dob: u64,
    /// NIKs with a valid gender.
    pub gender: u64,
    /// NIKs with a valid serial.
    pub computerized: u64,
}

impl Summary {
    /// Counts one NIK.
    pub fn add_nik<R>(&mut self, nik: &Assessment<'_, R>) {
        self.number += 1;
        self.number_processed += 1;
        self.all_section += u64::from(nik.is_valid());
        self.length += u64::from(nik.length.valid());
        self.area += u64::from(nik.area.valid());
        self.dob += u64::from(nik.dob.valid());
        self.gender += u64::from(nik.gender.valid());
        self.computerized += u64::from(nik.computerized.valid());
    }

    /// Counts one element that could not be read as a NIK.
    pub fn add_error(&mut self) {
        self.number += 1;
        self.error += 1;
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.number += other.number;
        self.number_processed += other.number_processed;
        self.error += other.error;
        self.all_section += other.all_section;
        self.length += other.length;
        self.area += other.area;
        self.dob += other.dob;
        self.gender += other.gender;
        self.computerized += other.computerized;
    }
}

/// Counts over a list of explained NIKs. A NIK that occurs twice counts twice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExplainedSummary {
    /// Invalid sections, in the order of [`SectionReason::ALL`].
    pub reasons: [u64; SectionReason::ALL.len()],
    /// NIKs with each warning, in the order of [`Warning::ALL`].
    pub warnings: [u64; Warning::ALL.len()],
    /// Outcomes of what was declared, in the order of [`Declared::FIELDS`], each in the order of
    /// [`Comparison::ALL`].
    pub declared: [[u64; Comparison::ALL.len()]; Declared::FIELDS.len()],
    /// Claims whose birth date and gender, as far as given, match.
    pub consistent: u64,
    /// Other claims with a birth date or a gender.
    pub inconsistent: u64,
}

impl ExplainedSummary {
    /// Counts one NIK, and what was declared about it.
    pub fn add(&mut self, nik: &Explanation<'_>, declared: Option<&Declared>) {
        for reason in nik.assessment.reasons().into_iter().flatten() {
            self.reasons[reason as usize] += 1;
        }
        for warning in nik.warnings() {
            self.warnings[warning as usize] += 1;
        }
        let Some(declared) = declared else {
            return;
        };
        for (counts, outcome) in self.declared.iter_mut().zip(declared.outcomes()) {
            if let Some(outcome) = outcome {
                counts[outcome as usize] += 1;
            }
        }
        match declared.consistent() {
            Some(true) => self.consistent += 1,
            Some(false) => self.inconsistent += 1,
            None => {}
        }
    }
}

impl AddAssign<&Self> for ExplainedSummary {
    fn add_assign(&mut self, other: &Self) {
        let pairs = self.reasons.iter_mut().zip(&other.reasons);
        let pairs = pairs.chain(self.warnings.iter_mut().zip(&other.warnings));
        let declared = self.declared.as_flattened_mut().iter_mut();
        let pairs = pairs.chain(declared.zip(other.declared.as_flattened()));
        pairs.for_each(|(count, more)| *count += more);
        self.consistent += other.consistent;
        self.inconsistent += other.inconsistent;
    }
}
