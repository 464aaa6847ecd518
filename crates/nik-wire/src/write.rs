//! Writes JSON strings and integers.
//!
//! Every NIK passes through this code. `serde_json` examines the bytes of a string one by one; this
//! code examines eight at once. Nearly every number has one or two digits.

use super::json::plain_run;

/// Appends a JSON string with its quotes. Like `serde_json`, it escapes only what JSON requires.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((special, after)) = special.split_first() else {
            break;
        };
        escaped(out, *special);
        rest = after;
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(br"\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend([b'\\', short]);
}

/// Appends a number in decimal.
#[inline]
pub(super) fn integer(out: &mut Vec<u8>, number: u64) {
    // Most counts are short, and a copy of a constant length is inlined.
    match u8::try_from(number) {
        Ok(digit @ 0..10) => out.push(b'0' + digit),
        Ok(number @ 10..100) => out.extend_from_slice(&[b'0' + number / 10, b'0' + number % 10]),
        _ => digits(out, number),
    }
}

fn digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20]; // u64::MAX has 20
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}
