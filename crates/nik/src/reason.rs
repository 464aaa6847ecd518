//! Why a section is invalid: names that are part of the wire format. They may grow in number and
//! never change their meaning.

/// Declares each section with its reasons once, so that the lists are complete.
macro_rules! reasons {
    ($($section:literal: { $($(#[$doc:meta])+ $name:ident = $text:literal,)+ })+) => {
        /// Why a section is invalid: the first check of the section that fails, in this order.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum SectionReason {
            $($($(#[$doc])+ $name,)+)+
        }

        impl SectionReason {
            /// Every reason, section by section, in the order of the checks.
            pub const ALL: [Self; [$($($text),+),+].len()] = [$($(Self::$name),+),+];

            /// The section that is invalid.
            pub const fn section(self) -> &'static str {
                match self {
                    $($(Self::$name)|+ => $section,)+
                }
            }

            /// The name of the reason; unique within its section.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => $text,)+)+
                }
            }
        }
    };
}

reasons! {
    "length": {
        /// Fewer than 16 characters.
        LengthTooShort = "too_short",
        /// More than 16 characters.
        LengthTooLong = "too_long",
        /// 16 characters, one of which is not an ASCII digit.
        LengthNotDigits = "not_digits",
    }
    "area": {
        /// One of the first six characters is not an ASCII digit.
        AreaNotDigits = "not_digits",
        /// No table has the province.
        AreaUnknownProvince = "unknown_province",
        /// No table has the regency or city.
        AreaUnknownRegency = "unknown_regency",
        /// No table has the kecamatan.
        AreaUnknownKecamatan = "unknown_kecamatan",
        /// The code is retired, and [`RetiredCodes`](crate::region::RetiredCodes) leaves it out.
        AreaRetired = "retired",
    }
    "dob": {
        /// Fewer than six characters.
        DobIncomplete = "incomplete",
        /// The day is neither 01 to 31 nor 41 to 71.
        DobDayOutOfRange = "day_out_of_range",
        /// The month is not 01 to 12.
        DobMonthOutOfRange = "month_out_of_range",
        /// The month does not have the day, in neither 19YY nor 20YY.
        DobNoSuchDay = "no_such_day",
        /// The day exists only after the reference date.
        DobAfterReferenceDate = "after_reference_date",
        /// The age is below the minimum.
        DobBelowMinAge = "below_min_age",
    }
    "gender": {
        /// The seventh character is 8 or 9.
        GenderOutOfRange = "out_of_range",
    }
    "computerized": {
        /// Nothing follows the 12th character.
        ComputerizedMissing = "missing",
        /// Other than four ASCII digits.
        ComputerizedNotFourDigits = "not_four_digits",
        /// `0000`.
        ComputerizedZero = "zero",
    }
}

/// What an invalid section holds: `()` for the verdict alone, which costs nothing, or its
/// [`SectionReason`]. Both come from the same checks.
pub(super) trait Cause: Copy {
    /// The cause for this reason. It calls `reason` only if it keeps it.
    fn because(reason: impl FnOnce() -> SectionReason) -> Self;
}

impl Cause for () {
    fn because(_: impl FnOnce() -> SectionReason) -> Self {}
}

impl Cause for SectionReason {
    fn because(reason: impl FnOnce() -> SectionReason) -> Self {
        reason()
    }
}
