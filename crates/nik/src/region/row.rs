//! The rows of the two tables: current codes, and retired codes with their provenance.

use super::code::Code;

/// The first line of `retired.tsv`.
pub const RETIRED_HEADER: &str =
    "code\tlevel\tname\tfirst_seen\tlast_seen\tsuccessor\tevidence\tconfidence\tnote";

/// A row of `current.tsv`: a code in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current<'a> {
    /// The code.
    pub code: Code,
    /// The name as the decree spells it.
    pub name: &'a str,
}

/// A row of `retired.tsv`: a retired code, which is still part of the NIKs issued with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired<'a> {
    /// The code.
    pub code: Code,
    /// The name at that time; unknown for some kecamatan.
    pub name: Option<&'a str>,
    /// The first published list that has the code, or a bound such as `before 2012`.
    pub first_seen: &'a str,
    /// The last published list that has the code, or a bound such as `before 2003`.
    pub last_seen: &'a str,
    /// The current code that replaced it, if known: of the same level or the one above.
    pub successor: Option<Code>,
    /// The kind of evidence for the row.
    pub evidence: &'a str,
    /// How reliable that evidence is.
    pub confidence: Confidence,
    /// The law that moved the region, or how the row was derived; may be empty.
    pub note: &'a str,
}

/// How reliable a row of `retired.tsv` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Two sources agree: the list of 2013, and the annex of a decree or an index of 2011.
    Confirmed,
    /// One good source.
    High,
    /// The code is as reliable as `High`, but the name is unknown.
    CodeOnly,
    /// An incomplete source, or a name matched by similarity.
    Medium,
    /// An inference.
    Low,
}

impl Confidence {
    /// Every confidence, from the most reliable down.
    pub const ALL: [Self; 5] =
        [Self::Confirmed, Self::High, Self::CodeOnly, Self::Medium, Self::Low];

    /// The text in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::High => "high",
            Self::CodeOnly => "code high / name unknown",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}
