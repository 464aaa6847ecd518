//! Masks long numbers: what may be a NIK is not printed unless the operator asks for it.
//!
//! A regular expression cannot do this, because JSON escapes have to be decoded to find digits of
//! all scripts.

/// The fewest digits of a long number. The first six of a NIK are the code of an area and do not
/// identify a person.
const LONG: usize = 7;

/// `text` with a star for each digit of its long numbers. Digits of all scripts count, and those
/// written as JSON escapes.
pub(super) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (digits, length) = number(rest);
        let length = length.max(first.len_utf8()); // a character that is not a digit
        if digits >= LONG {
            masked.extend(std::iter::repeat_n('*', digits));
        } else {
            masked.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    masked
}

/// The number of digits at the start of `text`, and their length in bytes.
fn number(text: &str) -> (usize, usize) {
    let (mut digits, mut bytes) = (0, 0);
    loop {
        match digit(&text[bytes..]) {
            0 => return (digits, bytes),
            length => {
                digits += 1;
                bytes += length;
            }
        }
    }
}

/// The length in bytes of the digit at the start of `text`; 0 if there is none.
fn digit(text: &str) -> usize {
    const ESCAPE: usize = r"\u0033".len();
    let escaped = text
        .strip_prefix(r"\u")
        .and_then(|hex| u32::from_str_radix(hex.get(..4)?, 16).ok())
        .and_then(char::from_u32);
    match (escaped, text.chars().next()) {
        (Some(escaped), _) if escaped.is_numeric() => ESCAPE,
        (_, Some(first)) if first.is_numeric() => first.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_in_arguments_are_masked() {
        let text = "invalid value '3273010101900001' for 'CODE': é 123456 and -1234567x";
        let masked = "invalid value '****************' for 'CODE': é 123456 and -*******x";
        assert_eq!(mask(text), masked);
    }

    #[test]
    fn escaped_digits_and_digits_of_other_scripts_are_masked() {
        let escaped = "3273010101900001".split("").collect::<Vec<_>>();
        let escaped = escaped[1..17].join(r"\u003");
        let escaped = format!(r"\u003{escaped}");
        assert_eq!(mask(&escaped), "*".repeat(16));
        assert_eq!(mask(r"x327301\u003010 1\u00301"), r"x********* 1\u00301");
        assert_eq!(mask("３２７３０１０１ ٣٢٧٣٠١٠"), "******** *******");
    }

    #[test]
    fn other_text_is_unchanged() {
        for text in ["", r"\u", r"\u00", r"\u00é", "\\", "123456 123456", "é\u{1}"] {
            assert_eq!(mask(text), text);
        }
        // The last digits of an escape may be masked too: a star too many is safer.
        assert_eq!(mask(r"\u0041123"), r"\u*******");
    }
}
