//! The last four characters: the serial number among those born on one day in one kecamatan.

use super::{Nik, Section};

/// Everything from the 13th character, `None` when there is nothing. Valid when that is exactly four ASCII digits, 0001 to
/// 9999: the system that issues NIKs starts counting at 0001.
///
/// Source: PP 40/2019 art. 30 (four digits, given by the system).
pub(super) fn read<'a>(nik: &Nik<'a>) -> Section<Option<&'a str>> {
    let serial = nik.serial();
    let digits: Option<&[u8; 4]> = serial.as_bytes().try_into().ok();
    Section {
        value: (!serial.is_empty()).then_some(serial),
        valid: digits
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit) && digits != b"0000"),
    }
}
