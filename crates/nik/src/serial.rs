//! The characters from the 13th: the serial number among those born on one day in one kecamatan.

use super::number::all_digits;
use super::{Nik, Section};

/// Everything from the 13th character, `None` when there is nothing. Valid when that is exactly
/// four ASCII digits, 0001 to 9999.
///
/// Source: PP 37/2007 art. 37 (four digits, given by the system as NIKs are issued); that it counts
/// from 0001 is how the civil registry (Dukcapil) explains it.
pub(super) fn read<'a>(nik: &Nik<'a>) -> Section<Option<&'a str>> {
    let serial = nik.serial();
    let digits: Option<&[u8; 4]> = serial.as_bytes().try_into().ok();
    Section {
        value: (!serial.is_empty()).then_some(serial),
        valid: match nik.digits() {
            Some(digits) => !digits.serial_is_zero(),
            None => digits.is_some_and(|digits| all_digits(digits) && digits != b"0000"),
        },
    }
}
