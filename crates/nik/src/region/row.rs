//! The rows of the two tables: a code in force, and a code no longer in force with its provenance.

use super::code::Code;

/// The first line of `retired.tsv`.
pub const RETIRED_HEADER: &str =
    "code\tlevel\tname\tfirst_seen\tlast_seen\tsuccessor\tevidence\tconfidence\tnote";

/// A code of the list in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current<'a> {
    /// The code.
    pub code: Code,
    /// The name, in the decree's spelling.
    pub name: &'a str,
}

/// A code that stands in no list in force, but lives on in the NIKs issued with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired<'a> {
    /// The code.
    pub code: Code,
    /// The name at that time; for some numbers nobody knows it.
    pub name: Option<&'a str>,
    /// The first list the code was seen in, or a bound such as `before 2012`.
    pub first_seen: &'a str,
    /// The last list the code was seen in, or a bound such as `before 2003`.
    pub last_seen: &'a str,
    /// The code that took over the region, where known: of the same level or its parent's.
    pub successor: Option<Code>,
    /// What kind of finding the row rests on.
    pub evidence: &'a str,
    /// How much that finding is trusted.
    pub confidence: Confidence,
    /// The law that moved the region, or how the row was found; may be empty.
    pub note: &'a str,
}

/// How sure a retired row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Two sources agree: the list of 2013, and a decree's annex or an index of 2011.
    Confirmed,
    /// One good source.
    High,
    /// The code is as sure as `High`; its name is not known.
    CodeOnly,
    /// A source with gaps, or a name matched by likeness.
    Medium,
    /// An inference.
    Low,
}

impl Confidence {
    /// Every confidence, the surest first.
    pub const ALL: [Self; 5] =
        [Self::Confirmed, Self::High, Self::CodeOnly, Self::Medium, Self::Low];

    /// The table's text for it.
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
