//! Long numbers hidden: what may be a NIK is not printed unless it is asked for.
//!
//! No pattern of `regex` does it: which of JSON's escapes stand for a digit of some script is known by decoding them.

/// From so many digits on, a number is long: a NIK's first six, the code of its area, tell of no person.
const LONG: usize = 7;

/// `text` with a star for each digit of its long numbers. A digit that is written as JSON's escape is one, too, as are those of
/// other scripts.
pub(super) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (digits, length) = number(rest);
        let length = length.max(first.len_utf8()); // no number: the one character
        if digits >= LONG {
            masked.extend(std::iter::repeat_n('*', digits));
        } else {
            masked.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    masked
}

/// How many digits `text` begins with, and how many bytes they take.
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

/// The bytes of the digit that `text` begins with; 0 without one.
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
    fn no_long_number_of_the_arguments_is_repeated() {
        let text = "invalid value '3273010101900001' for 'CODE': é 123456 and -1234567x";
        let masked = "invalid value '****************' for 'CODE': é 123456 and -*******x";
        assert_eq!(mask(text), masked);
    }

    #[test]
    fn a_digit_that_is_escaped_or_of_another_script_is_a_digit() {
        let escaped = "3273010101900001".split("").collect::<Vec<_>>();
        let escaped = escaped[1..17].join(r"\u003");
        let escaped = format!(r"\u003{escaped}");
        assert_eq!(mask(&escaped), "*".repeat(16));
        assert_eq!(mask(r"x327301\u003010 1\u00301"), r"x********* 1\u00301");
        assert_eq!(mask("３２７３０１０１ ٣٢٧٣٠١٠"), "******** *******");
    }

    #[test]
    fn what_is_no_long_number_stays_as_it_is() {
        for text in ["", r"\u", r"\u00", r"\u00é", "\\", "123456 123456", "é\u{1}"] {
            assert_eq!(mask(text), text);
        }
        // What may be the end of another escape counts as digits: rather a star too many.
        assert_eq!(mask(r"\u0041123"), r"\u*******");
    }
}
