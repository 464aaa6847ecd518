//! Counts over a list of NIKs, for a result's `summary` and for the metrics.

use core::ops::AddAssign;

use super::Assessment;

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
