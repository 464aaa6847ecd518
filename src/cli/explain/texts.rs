//! The text of every reason, warning and comparison. The tables of docs/explain.md and
//! docs/requests.md have the same text, which a test compares.

/// What a name in an outcome means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The name in outcomes, headers and metrics.
    pub name: &'static str,
    /// When it holds.
    pub rule: &'static str,
    /// The law or the setting that the rule comes from.
    pub source: &'static str,
    /// What to say to the person, or for a failure to the owner of the producer.
    pub say: &'static str,
    /// What an operator should look at.
    pub look: &'static str,
}

/// Where a name appears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Length,
    Area,
    Dob,
    Gender,
    Computerized,
    Warning,
    Declared,
    Failure,
}

impl Group {
    /// In the order of an outcome.
    pub const ALL: [Self; 8] = [
        Self::Length,
        Self::Area,
        Self::Dob,
        Self::Gender,
        Self::Computerized,
        Self::Warning,
        Self::Declared,
        Self::Failure,
    ];

    /// A section by its key, else what the names are.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Area => "area",
            Self::Dob => "dob",
            Self::Gender => "gender",
            Self::Computerized => "computerized",
            Self::Warning => "warning",
            Self::Declared => "declared",
            Self::Failure => "failure",
        }
    }

    /// Whether it is a section of a NIK.
    pub const fn is_section(self) -> bool {
        !matches!(self, Self::Warning | Self::Declared | Self::Failure)
    }

    /// Its explanations, in the order of the checks.
    pub const fn explanations(self) -> &'static [Explanation] {
        match self {
            Self::Length => &LENGTH,
            Self::Area => &AREA,
            Self::Dob => &DOB,
            Self::Gender => &GENDER,
            Self::Computerized => &COMPUTERIZED,
            Self::Warning => &WARNINGS,
            Self::Declared => &DECLARED,
            Self::Failure => &FAILURES,
        }
    }
}

/// All explanations of all groups.
pub fn explanations() -> impl Iterator<Item = &'static Explanation> {
    Group::ALL.iter().flat_map(|group| group.explanations())
}

const NIK_LAW: &str = "PP 37/2007 art. 37";
const FOR_LIFE: &str = "PP 40/2019 art. 30";
/// The page that is the contract with clients.
const REQUESTS: &str = "docs/requests.md";

const LENGTH: [Explanation; 3] = [
    Explanation {
        name: "too_short",
        rule: "The NIK has fewer than 16 characters.",
        source: NIK_LAW,
        say: "A NIK has 16 digits. Please enter all of them as on the identity card.",
        look: "an input field that is too short, and a producer that joins the NIK from parts without their leading zeros.",
    },
    Explanation {
        name: "too_long",
        rule: "The NIK has more than 16 characters.",
        source: NIK_LAW,
        say: "A NIK has 16 digits, without spaces, dots or dashes.",
        look: "a space, a line break or a second field that the producer sends along.",
    },
    Explanation {
        name: "not_digits",
        rule: "The NIK has 16 characters, and not all of them are the digits 0 to 9.",
        source: NIK_LAW,
        say: "A NIK has only digits. Please check for letters that look like digits, such as O and I.",
        look: "text recognition that reads letters, and keyboards that type digits of another script.",
    },
];

const AREA: [Explanation; 5] = [
    Explanation {
        name: "not_digits",
        rule: "One of the first six characters is not a digit 0 to 9.",
        source: NIK_LAW,
        say: "A NIK begins with six digits. Please check for letters that look like digits, such as O and I.",
        look: "a character before the NIK, such as a space or an apostrophe of a spreadsheet: it moves every section.",
    },
    Explanation {
        name: "unknown_province",
        rule: "The first two digits are not the code of a province, current or retired.",
        source: NIK_LAW,
        say: "Please compare the first two digits with the identity card.",
        look: "another number in the field, such as that of a passport or an account.",
    },
    Explanation {
        name: "unknown_regency",
        rule: "The province is known, and the first four digits are not the code of a regency or city, current or retired.",
        source: NIK_LAW,
        say: "Please compare the first four digits with the identity card.",
        look: "`nik-stream regions lookup` with these digits. If the share rises after a decree, the region data is old.",
    },
    Explanation {
        name: "unknown_kecamatan",
        rule: "The regency is known, and the first six digits are not the code of a kecamatan, current or retired.",
        source: NIK_LAW,
        say: "Please compare the first six digits with the identity card. If they agree, a person has to check the card.",
        look: "`nik-stream regions lookup` with these digits. If the share rises after a decree, the region data is old.",
    },
    Explanation {
        name: "retired",
        rule: "The code is retired, and `rules.retired_codes` leaves it out.",
        source: "the setting `rules.retired_codes`; by PP 40/2019 art. 30 a NIK keeps its code for life",
        say: "The number can be right: the area was split or renamed after it was issued. Do not ask for another one.",
        look: "`rules.retired_codes`: only `all` knows every retired code.",
    },
];

const DOB: [Explanation; 6] = [
    Explanation {
        name: "incomplete",
        rule: "The NIK ends before its 12th character.",
        source: NIK_LAW,
        say: "A NIK has 16 digits. Please enter all of them as on the identity card.",
        look: "the same as for `too_short`.",
    },
    Explanation {
        name: "day_out_of_range",
        rule: "The 7th and 8th digits are neither 01 to 31 nor, for a woman, 41 to 71 (the day and 40).",
        source: NIK_LAW,
        say: "The 7th and 8th digits are the day of birth; for a woman 40 is added. Please compare them with the identity card.",
        look: "a producer that builds dates in another order, such as year first.",
    },
    Explanation {
        name: "month_out_of_range",
        rule: "The 9th and 10th digits are not 01 to 12.",
        source: NIK_LAW,
        say: "The 9th and 10th digits are the month of birth. Please compare them with the identity card.",
        look: "a producer that swaps day and month: then every date after the 12th of a month has this reason.",
    },
    Explanation {
        name: "no_such_day",
        rule: "The month does not have this day, neither in the year 19YY nor in 20YY.",
        source: NIK_LAW,
        say: "This date does not exist, such as 31 April. Please compare the 7th to 12th digits with the identity card.",
        look: "whether one producer sends most of them: it may compute dates.",
    },
    Explanation {
        name: "after_reference_date",
        rule: "The date exists only after the reference date.",
        source: NIK_LAW,
        say: "The date of birth is in the future. Please compare the 7th to 12th digits with the identity card.",
        look: "`rules.reference_date`, and the timestamps of the requests: if the producer's clock is behind, today's dates are in the future.",
    },
    Explanation {
        name: "below_min_age",
        rule: "The age on the reference date is below `rules.min_age` years.",
        source: "the setting `rules.min_age`",
        say: "The service requires a minimum age. Someone over 100 is read as a child: then ask for the date of birth.",
        look: "`rules.min_age`, 0 by default.",
    },
];

const GENDER: [Explanation; 1] = [Explanation {
    name: "out_of_range",
    rule: "The seventh digit is 8 or 9. It is 0 to 3 for a man and 4 to 7 for a woman.",
    source: NIK_LAW,
    say: "The seventh digit is at most 7. Please compare it with the identity card.",
    look: "the same as for `day_out_of_range`, which occurs with it in a NIK of at least 12 characters.",
}];

const COMPUTERIZED: [Explanation; 3] = [
    Explanation {
        name: "missing",
        rule: "The NIK ends before its 13th character.",
        source: NIK_LAW,
        say: "A NIK has 16 digits. Please enter all of them as on the identity card.",
        look: "the same as for `too_short`.",
    },
    Explanation {
        name: "not_four_digits",
        rule: "The characters from the 13th on are not exactly four digits 0 to 9.",
        source: NIK_LAW,
        say: "A NIK ends with four digits. Please compare them with the identity card.",
        look: "the same as for `too_short` and `too_long`.",
    },
    Explanation {
        name: "zero",
        rule: "The last four digits are 0000.",
        source: "the civil registry (Dukcapil): serials start at 0001",
        say: "No NIK ends with 0000. Please compare the last four digits with the identity card.",
        look: "numbers made up to fill the field, and programs that round large numbers: send NIKs as strings.",
    },
];

const WARNINGS: [Explanation; 4] = [
    Explanation {
        name: "retired_area",
        rule: "The area is valid, and its code is retired.",
        source: FOR_LIFE,
        say: "Nothing: a NIK keeps the code of the day it was issued.",
        look: "`now` for the area of today, if it is known.",
    },
    Explanation {
        name: "unnamed_area",
        rule: "The area is valid and retired, and its name is unknown.",
        source: "the region data of this program",
        say: "Nothing: the code is known, and only its name is missing.",
        look: "`nik-stream regions lookup` with the code, for the evidence.",
    },
    Explanation {
        name: "uncertain_area",
        rule: "The area is valid and retired, and the evidence for its code is of confidence `medium` or `low`.",
        source: "the region data of this program",
        say: "Nothing. Compare the identity card yourself if much depends on it.",
        look: "`nik-stream regions lookup` with the code, for the evidence. `rules.retired_codes` can leave such codes out.",
    },
    Explanation {
        name: "ambiguous_century",
        rule: "The date of birth exists in 19YY and in 20YY, both not after the reference date. The later one is shown.",
        source: "PP 37/2007 art. 37: the year has two digits",
        say: "If the age matters, ask for the date of birth.",
        look: "a claim with `birth_date`, which settles the century.",
    },
];

const DECLARED: [Explanation; 4] = [
    Explanation {
        name: "match",
        rule: "The declared value agrees with the NIK.",
        source: NIK_LAW,
        say: "Nothing. It does not prove who the person is: a NIK shows its date of birth and gender to all who read it.",
        look: "nothing.",
    },
    Explanation {
        name: "match_by_history",
        rule: "The declared area differs from the code in the NIK, and agrees once retired codes are replaced by their successors.",
        source: FOR_LIFE,
        say: "Nothing: the area was split or renamed.",
        look: "`now` for the area of today.",
    },
    Explanation {
        name: "mismatch",
        rule: "The declared value differs from the NIK.",
        source: NIK_LAW,
        say: "For the date of birth and the gender: please compare both with the identity card. For the area: nothing, since \
              a NIK keeps the area of the first registration when its holder moves.",
        look: "`nik_stream_declared_total` by `field`: if it rises for dates alone, a producer may swap day and month.",
    },
    Explanation {
        name: "not_comparable",
        rule: "The NIK has no existing date, no gender or no known area to compare with, or the declared area is not in the region data.",
        source: NIK_LAW,
        say: "What the reason of that section asks to say.",
        look: "the reason of that section.",
    },
];

const FAILURES: [Explanation; 8] = [
    Explanation {
        name: "tombstone",
        rule: "The record has no value (null). A value of 0 bytes is `malformed_json`.",
        source: REQUESTS,
        say: "A request needs a value. A deletion has no meaning in this topic.",
        look: "a connector that sends deletions.",
    },
    Explanation {
        name: "request_too_large",
        rule: "The request has more than `limits.request_bytes` bytes.",
        source: "the setting `limits.request_bytes`",
        say: "Send shorter lists.",
        look: "`limits.request_bytes`, and `max.message.bytes` of the topic.",
    },
    Explanation {
        name: "malformed_json",
        rule: "The request is not UTF-8, starts with a byte order mark, is not JSON, is nested deeper than 128, contains an escaped lone surrogate, or has bytes after the object.",
        source: REQUESTS,
        say: "Send one JSON object in UTF-8, with the NIKs as strings: a number with a leading zero is not JSON.",
        look: "the serializer of the producer: it writes Avro or Protobuf, or a schema id before the JSON while `topics.framing` is `plain`.",
    },
    Explanation {
        name: "invalid_request",
        rule: "The request is not an object, `nik` is missing, given twice or not an array, or `process` is missing, given twice or not a string.",
        source: REQUESTS,
        say: "Send one object with one array `nik` and one string `process`.",
        look: "an envelope around the request, such as a structured CloudEvent or the `schema` and `payload` of a converter.",
    },
    Explanation {
        name: "unknown_process",
        rule: "`process` is none of `limited`, `full` and `explain`.",
        source: REQUESTS,
        say: "Use one of these names in lower case.",
        look: "the release of the producer.",
    },
    Explanation {
        name: "too_many_niks",
        rule: "The list has more than `limits.niks_per_request` elements.",
        source: "the setting `limits.niks_per_request`",
        say: "Send shorter lists.",
        look: "`limits.niks_per_request`.",
    },
    Explanation {
        name: "result_too_large",
        rule: "The result would exceed `limits.result_bytes`, or the broker refuses its size.",
        source: "the setting `limits.result_bytes`, and `max.message.bytes` of the topic",
        say: "Send shorter lists, or ask for less detail.",
        look: "`nik-stream topics verify`, which compares both limits.",
    },
    Explanation {
        name: "internal",
        rule: "The program failed while it processed this request.",
        source: REQUESTS,
        say: "Nothing: this is a bug of nik-stream.",
        look: "the log. Report it with such a request (`nik-stream dlq show`).",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use nik::{Comparison, SectionReason, Warning};
    use nik_wire::Reason;

    #[test]
    fn every_name_of_an_outcome_has_its_text_in_the_order_of_the_checks() {
        let mut names = SectionReason::ALL.map(|it| (it.section(), it.as_str())).to_vec();
        names.extend(Warning::ALL.map(|it| ("warning", it.as_str())));
        names.extend(Comparison::ALL.map(|it| ("declared", it.as_str())));
        names.extend(Reason::ALL.map(|it| ("failure", it.as_str())));
        let explained = Group::ALL
            .into_iter()
            .flat_map(|group| group.explanations().iter().map(move |it| (group.title(), it.name)));
        assert_eq!(explained.collect::<Vec<_>>(), names);
    }
}
