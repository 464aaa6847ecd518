//! Sixteen digits, as nearly every NIK has, read all at once.
//!
//! By own code, as it is on the path of every NIK: crates that read digits (`atoi_simd`) give one number, out of which each part
//! would have to be divided again. In 128 bits each digit has a byte of its own, without `unsafe` and the same on every processor.

/// The values of sixteen ASCII digits, the first one in the lowest byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digits(u128);

/// A one in every byte.
const ONES: u128 = u128::MAX / 255;

impl Digits {
    /// The digits, if all of these bytes are.
    #[inline]
    pub fn read(text: &[u8; 16]) -> Option<Self> {
        // Of a digit this leaves 0 to 9, of every other byte more.
        let digits = Self::known(text);
        let values = digits.0;
        // More than 9 sets the high bit, now or by the sum. The sum of a byte that sets it may spoil its neighbour, and no
        // other does.
        let more = values | values.wrapping_add(ONES * (0x7f - 9));
        (more & (ONES << 7) == 0).then_some(digits)
    }

    /// The digits that these bytes are known to be.
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

    /// The number in the first six digits.
    #[inline]
    pub(super) fn area(self) -> u32 {
        let [province, regency, kecamatan, _] = pairs(self.halves()[0]);
        (province * 100 + regency) * 100 + kecamatan
    }

    /// The numbers in each two of the 7th to the 12th digit.
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

    #[expect(clippy::cast_possible_truncation, reason = "a half each")]
    #[inline]
    fn halves(self) -> [u64; 2] {
        [self.0 as u64, (self.0 >> 64) as u64]
    }
}

/// The numbers that each two of eight digits make.
#[inline]
fn pairs(digits: u64) -> [u32; 4] {
    // Below 100 everywhere, so no byte runs over into the next. Every second one is a pair.
    let tens_and_ones = (digits * 10 + (digits >> 8)).to_le_bytes();
    [0, 2, 4, 6].map(|at| u32::from(tens_and_ones[at]))
}

#[cfg(test)]
mod tests {
    use super::Digits;

    #[test]
    fn only_sixteen_ascii_digits_are_read_and_each_in_its_place() {
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
    fn every_digit_has_its_place_in_a_key_of_its_own() {
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
