//! The small pieces of JSON that a result is put together from.
//!
//! By own code, as it is on the path of every NIK: `serde_json` looks at the bytes of a text one by one, here the scanner's search for
//! special ones takes eight at once; and nearly every number has one or two digits.

use super::json::plain_run;

/// A JSON string, quotes included, escaped as `serde_json` does: as little as JSON allows.
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

/// A number in decimal.
#[inline]
pub(super) fn integer(out: &mut Vec<u8>, number: u64) {
    // As most counts are, short: a copy of a known length is no call.
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
