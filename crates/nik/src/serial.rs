//! The serial number, from the 13th character on: it separates people born on one day in one
//! kecamatan.

use super::number::all_digits;
use super::reason::{Cause, SectionReason};
use super::{Nik, Section};

/// The value is everything from the 13th character on, or `None` if the NIK ends before it. Valid
/// if that is exactly four ASCII digits, 0001 to 9999.
///
/// Source: PP 37/2007 art. 37 (four digits, assigned by the system when the NIK is issued). The
/// civil registry (Dukcapil) explains that serial numbers start at 0001.
pub(super) fn read<'a, R: Cause>(nik: &Nik<'a>) -> Section<Option<&'a str>, R> {
    let serial = nik.serial();
    let digits: Option<&[u8; 4]> = serial.as_bytes().try_into().ok();
    let valid = match nik.digits() {
        Some(digits) => !digits.serial_is_zero(),
        None => digits.is_some_and(|digits| all_digits(digits) && digits != b"0000"),
    };
    Section::new((!serial.is_empty()).then_some(serial), valid, || match serial {
        "" => SectionReason::ComputerizedMissing,
        "0000" => SectionReason::ComputerizedZero,
        _ => SectionReason::ComputerizedNotFourDigits,
    })
}
