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

crate::named! {
    /// How reliable a row of `retired.tsv` is, from the most reliable down. The names are those in
    /// the table.
    pub enum Confidence {
        /// Two sources agree: the list of 2013, and the annex of a decree or an index of 2011.
        Confirmed = "confirmed",
        /// One good source.
        High = "high",
        /// The code is as reliable as `High`, but the name is unknown.
        CodeOnly = "code high / name unknown",
        /// An incomplete source, or a name matched by similarity.
        Medium = "medium",
        /// An inference.
        Low = "low",
    }
}
