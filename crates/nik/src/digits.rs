//! Sixteen digits, the length of nearly every NIK, read at once.
//!
//! Every NIK passes through this code. Crates that parse digits (such as `atoi_simd`) give one
//! number, which would have to be divided into its parts again. Here each digit keeps its own byte
//! of a `u128`.

/// The values of sixteen ASCII digits, the first one in the lowest byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digits(u128);

/// 1 in every byte.
const ONES: u128 = u128::MAX / 255;

impl Digits {
    /// The digits, or `None` if one of the bytes is not an ASCII digit.
    #[inline]
    pub fn read(text: &[u8; 16]) -> Option<Self> {
        // A digit becomes 0 to 9, any other byte something larger.
        let digits = Self::known(text);
        let values = digits.0;
        // A value above 9 has its high bit set already or gets it by the addition. Only a value
        // that has it already can overflow into the next byte, and then the text is refused anyway.
        let more = values | values.wrapping_add(ONES * (0x7f - 9));
        (more & (ONES << 7) == 0).then_some(digits)
    }

    /// The digits, from bytes that are known to be ASCII digits: other bytes give a meaningless
    /// value.
    #[inline]
    pub fn known(text: &[u8; 16]) -> Self {
        Self(u128::from_le_bytes(*text) ^ (ONES * 0x30))
    }

    /// A number that no other sixteen digits have.
    #[inline]
    pub fn key(self) -> u64 {
        let [first, second] = self.halves();
        first | second << 4
    }

    /// The number that the first six digits write.
    #[inline]
    pub(super) fn area(self) -> u32 {
        let [province, regency, kecamatan, _] = pairs(self.halves()[0]);
        (province * 100 + regency) * 100 + kecamatan
    }

    /// The 7th to the 12th digit as three numbers of two digits.
    #[inline]
    pub(super) fn birth_date(self) -> [u32; 3] {
        let [first, second] = self.halves().map(pairs);
        [first[3], second[0], second[1]]
    }

    /// The 7th digit.
    #[inline]
    pub(super) fn gender(self) -> u8 {
        self.0.to_le_bytes()[6]
    }

    /// Whether the last four digits are all 0.
    #[inline]
    pub(super) fn serial_is_zero(self) -> bool {
        self.0 >> 96 == 0
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes one half each")]
    #[inline]
    fn halves(self) -> [u64; 2] {
        [self.0 as u64, (self.0 >> 64) as u64]
    }
}

/// Eight digits as four numbers of two digits.
#[inline]
fn pairs(digits: u64) -> [u32; 4] {
    // Every byte stays below 100, so none overflows into the next. Every second byte holds a pair.
    let tens_and_ones = (digits * 10 + (digits >> 8)).to_le_bytes();
    [0, 2, 4, 6].map(|at| u32::from(tens_and_ones[at]))
}

#[cfg(test)]
mod tests {
    use super::Digits;

    #[test]
    fn only_sixteen_ascii_digits_are_read_each_into_its_byte() {
        for at in 0..16 {
            for byte in 0..=u8::MAX {
                for other in *b"09" {
                    let mut text = [other; 16];
                    text[at] = byte;
                    let values = text.map(|digit| digit.wrapping_sub(b'0'));
                    let expected = byte.is_ascii_digit().then_some(values);
                    let read = Digits::read(&text).map(|digits| digits.0.to_le_bytes());
                    assert_eq!(read, expected, "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn every_digit_has_its_own_bits_in_the_key() {
        let key = |text: &[u8; 16]| Digits::known(text).key();
        assert_eq!(key(b"0000000000000000"), 0);
        let one = |at: usize| {
            let mut text = *b"0000000000000000";
            text[at] = b'9';
            key(&text)
        };
        let together = (0..16).fold(0, |bits, at| {
            assert_ne!(one(at), 0, "{at}");
            assert_eq!(bits & one(at), 0, "{at}");
            bits | one(at)
        });
        assert_eq!(together, key(b"9999999999999999"));
    }

    #[test]
    fn the_parts_are_the_numbers_in_the_text() {
        let digits = Digits::known(b"9876543210990009");
        assert_eq!(digits.area(), 987_654);
        assert_eq!(digits.birth_date(), [32, 10, 99]);
        assert_eq!(digits.gender(), 3);
        assert!(!digits.serial_is_zero());
        assert!(Digits::known(b"9876543210990000").serial_is_zero());
    }
}
