//! Reads and checks the two tables; rows borrow from the text.
//!
//! `current.tsv` holds `code TAB name`, `retired.tsv` the nine columns of [`RETIRED_HEADER`]. Both
//! are sorted by code, no code is in both, and the parent of every code is known before it. A table
//! with an error anywhere is refused whole, with the line and what was expected there: tables can
//! come from other places than this crate.
//!
//! Nothing is quoted or escaped, so that columns are split at tabs and need no CSV parser.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

use super::code::{Code, Level};
use super::row::{Confidence, Current, RETIRED_HEADER, Retired};

/// The largest number of lines in a table: the codes of both tables together must fit the 16 bits
/// of an [`AreaId`](super::AreaId).
const MAX_LINES: usize = 32_000;

/// The first line that is wrong in one of the tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: expected {expected}, found {found:?}")]
pub struct ParseError {
    /// `current.tsv` or `retired.tsv`.
    pub file: &'static str,
    /// The number of the line, starting at 1.
    pub line: usize,
    /// What the line should hold.
    pub expected: String,
    /// What it holds instead.
    pub found: String,
}

/// Both tables, checked.
#[derive(Debug)]
pub struct Tables<'a> {
    current: Vec<Current<'a>>,
    retired: Vec<Retired<'a>>,
}

impl<'a> Tables<'a> {
    /// Reads and checks both tables. An empty text is a table without rows.
    pub fn parse(current: &'a str, retired: &'a str) -> Result<Self, ParseError> {
        let mut tables = Self { current: Vec::with_capacity(8_000), retired: Vec::new() };
        for line in Line::all("current.tsv", current) {
            tables.push_current(&line)?;
        }
        for line in Line::all("retired.tsv", retired) {
            if line.number > 1 {
                tables.push_retired(&line)?;
            } else if line.text != RETIRED_HEADER {
                return Err(line.error("the header of the table", line.text));
            }
        }
        Ok(tables)
    }

    /// The current codes, in rising order.
    pub fn current(&self) -> &[Current<'a>] {
        &self.current
    }

    /// The retired codes, in rising order.
    pub fn retired(&self) -> &[Retired<'a>] {
        &self.retired
    }

    pub(super) fn find_current(&self, code: Code) -> Option<Current<'a>> {
        let at = self.current.binary_search_by_key(&code, |row| row.code).ok()?;
        Some(self.current[at])
    }

    pub(super) fn find_retired(&self, code: Code) -> Option<Retired<'a>> {
        let at = self.retired.binary_search_by_key(&code, |row| row.code).ok()?;
        Some(self.retired[at])
    }

    fn push_current(&mut self, line: &Line<'a>) -> Result<(), ParseError> {
        let [code, name] = line.columns()?;
        let row = Current { code: line.code(code)?, name: line.name(name)? };
        self.check_place(line, row.code, self.current.last().map(|row| row.code))?;
        self.current.push(row);
        Ok(())
    }

    fn push_retired(&mut self, line: &Line<'a>) -> Result<(), ParseError> {
        let [code, level, name, first_seen, last_seen, successor, evidence, confidence, note] =
            line.columns()?;
        let code = line.code(code)?;
        let expected_level = code.level() as usize + 1;
        if level.parse() != Ok(expected_level) {
            return Err(line.error(format!("level {expected_level} for {code}"), level));
        }
        let confidence = Confidence::from_text(confidence)
            .ok_or_else(|| line.error("a confidence such as \"confirmed\"", confidence))?;
        let nameless = name.is_empty()
            && confidence == Confidence::CodeOnly
            && code.level() == Level::Kecamatan;
        let name = if nameless { None } else { Some(line.name(name)?) };
        let successor = if successor.is_empty() { None } else { Some(line.code(successor)?) };
        self.check_place(line, code, self.retired.last().map(|row| row.code))?;
        if self.find_current(code).is_some() {
            return Err(line.error("a code that is not in current.tsv", code));
        }
        if let Some(successor) = successor {
            if self.find_current(successor).is_none() {
                return Err(line.error("a current code as successor", successor));
            }
            let levels = [Some(code), code.parent()].map(|it| it.map(Code::level));
            if !levels.contains(&Some(successor.level())) {
                return Err(line.error("a successor of the same level or the one above", successor));
            }
        }
        self.retired.push(Retired {
            code,
            name,
            first_seen,
            last_seen,
            successor,
            evidence,
            confidence,
            note,
        });
        Ok(())
    }

    /// Checks a code against the row before it and against the parents that are known so far.
    fn check_place(
        &self,
        line: &Line<'_>,
        code: Code,
        previous: Option<Code>,
    ) -> Result<(), ParseError> {
        if line.number > MAX_LINES {
            return Err(line.error(format!("at most {MAX_LINES} lines"), line.text));
        }
        if let Some(previous) = previous.filter(|previous| *previous >= code) {
            return Err(line.error(format!("a code above {previous}"), code));
        }
        let known = |code| self.find_current(code).is_some() || self.find_retired(code).is_some();
        match code.parent() {
            Some(parent) if !known(parent) => {
                Err(line.error(format!("{parent} in a line above"), code))
            }
            _ => Ok(()),
        }
    }
}

/// A line of a table, and its place for errors.
struct Line<'a> {
    file: &'static str,
    number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn all(file: &'static str, table: &'a str) -> impl Iterator<Item = Self> {
        (1..).zip(table.lines()).map(move |(number, text)| Self { file, number, text })
    }

    fn error(&self, expected: impl Display, found: impl Display) -> ParseError {
        let (expected, found) = (expected.to_string(), found.to_string());
        ParseError { file: self.file, line: self.number, expected, found }
    }

    fn columns<const N: usize>(&self) -> Result<[&'a str; N], ParseError> {
        let columns: Vec<_> = self.text.split('\t').collect();
        let wrong = |_| self.error(format!("{N} columns separated by tabs"), self.text);
        columns.try_into().map_err(wrong)
    }

    fn code(&self, text: &str) -> Result<Code, ParseError> {
        Code::from_digits(text).ok_or_else(|| self.error("a code of 2, 4 or 6 digits", text))
    }

    fn name(&self, text: &'a str) -> Result<&'a str, ParseError> {
        let sound = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
        let expected = "a name without surrounding spaces or control characters";
        if sound { Ok(text) } else { Err(self.error(expected, text)) }
    }
}
