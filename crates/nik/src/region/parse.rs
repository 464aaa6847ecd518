//! The two tables as text, read and checked: the rows borrow from the text.
//!
//! `current.tsv` holds `code TAB name`, `retired.tsv` the nine columns of [`RETIRED_HEADER`]. Both are sorted by code and hold a
//! code once between them, each code below a parent that is known. Anything else is refused with its line: a table that is
//! wrong in one place is not trusted in the others.
//!
//! Columns are split at tabs, without the `csv` crate: nothing is quoted or escaped here, so a quote is a character of a name,
//! and nearly all of this file is what the columns mean.

use super::code::{Code, CodeError, Level};
use super::row::{Confidence, Current, RETIRED_HEADER, Retired};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// The most lines of a table: the ids of both together must fit 16 bits.
const MAX_LINES: usize = 32_000;

/// Which of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `current.tsv`
    Current,
    /// `retired.tsv`
    Retired,
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Current => "current.tsv",
            Self::Retired => "retired.tsv",
        })
    }
}

/// Where a table is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{table}, line {line}: {problem}")]
pub struct ParseError {
    /// The table.
    pub table: Table,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The retired table does not open with its header.
    #[error("expected the header {RETIRED_HEADER:?}")]
    Header,
    /// Too few or too many columns.
    #[error("expected {expected} columns parted by tabs, found {found}")]
    Columns {
        /// How many the table has.
        expected: usize,
        /// How many the line has.
        found: usize,
    },
    /// Not a code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The level column and the code's length differ.
    #[error("expected level 1, 2 or 3 as the code {code} has digits in pairs, found {found:?}")]
    Level {
        /// The code of the line.
        code: Code,
        /// The level column.
        found: String,
    },
    /// An empty name, or one with space around it or control characters in it.
    #[error("expected a name without space around it, found {found:?}")]
    Name {
        /// The name column.
        found: String,
    },
    /// A confidence nobody defined.
    #[error("expected a confidence such as \"confirmed\" or \"low\", found {found:?}")]
    Confidence {
        /// The confidence column.
        found: String,
    },
    /// A code for the second time, in this table or the other.
    #[error("{code} was given before, and a code stands once in both tables together")]
    Duplicate {
        /// The code.
        code: Code,
    },
    /// A code below the one before it.
    #[error("expected the codes in rising order, found {code} after {previous}")]
    Order {
        /// The code of the line.
        code: Code,
        /// The code of the line before.
        previous: Code,
    },
    /// A code whose parent is in neither table, or only further down.
    #[error("{code} has no parent: expected {parent} above it")]
    Orphan {
        /// The code.
        code: Code,
        /// The code that is missing.
        parent: Code,
    },
    /// A successor that is not in force.
    #[error("the successor {successor} of {code} is not in force: expected a current code")]
    Successor {
        /// The code.
        code: Code,
        /// What stands in the successor column.
        successor: Code,
    },
    /// A table longer than ids reach.
    #[error("expected at most {MAX_LINES} lines")]
    TooLong,
}

/// Both tables, checked.
#[derive(Debug)]
pub struct Tables<'a> {
    current: Vec<Current<'a>>,
    retired: Vec<Retired<'a>>,
}

impl<'a> Tables<'a> {
    /// Reads and checks both tables; the error is the first line that is wrong. A text of no bytes is a table without rows.
    pub fn parse(current: &'a str, retired: &'a str) -> Result<Self, ParseError> {
        let mut tables = Self { current: Vec::with_capacity(8_000), retired: Vec::new() };
        let at = |table, line| move |problem| ParseError { table, line, problem };
        for (number, line) in (1..).zip(current.lines()) {
            let pushed = tables.push_current(line, number);
            pushed.map_err(at(Table::Current, number))?;
        }
        for (number, line) in (1..).zip(retired.lines()) {
            let pushed = tables.push_retired(line, number);
            pushed.map_err(at(Table::Retired, number))?;
        }
        Ok(tables)
    }

    /// The codes in force, in rising order.
    pub fn current(&self) -> &[Current<'a>] {
        &self.current
    }

    /// The codes no longer in force, in rising order.
    pub fn retired(&self) -> &[Retired<'a>] {
        &self.retired
    }

    /// The row of a code in force.
    pub(super) fn find_current(&self, code: Code) -> Option<Current<'a>> {
        let at = self.current.binary_search_by_key(&code, |row| row.code).ok()?;
        Some(self.current[at])
    }

    /// The row of a code no longer in force.
    pub(super) fn find_retired(&self, code: Code) -> Option<Retired<'a>> {
        let at = self.retired.binary_search_by_key(&code, |row| row.code).ok()?;
        Some(self.retired[at])
    }

    fn push_current(&mut self, line: &'a str, number: usize) -> Result<(), Problem> {
        let [code, name] = columns(line)?;
        let row = Current { code: read_code(code)?, name: read_name(name)? };
        self.check(row.code, self.current.last().map(|row| row.code), number)?;
        self.current.push(row);
        Ok(())
    }

    fn push_retired(&mut self, line: &'a str, number: usize) -> Result<(), Problem> {
        if number == 1 {
            return if line == RETIRED_HEADER { Ok(()) } else { Err(Problem::Header) };
        }
        let [code, level, name, first_seen, last_seen, successor, evidence, confidence, note] =
            columns(line)?;
        let code = read_code(code)?;
        if level.parse() != Ok(code.level() as usize + 1) {
            return Err(Problem::Level { code, found: level.to_owned() });
        }
        let confidence = read_confidence(confidence)?;
        let nameless = name.is_empty()
            && confidence == Confidence::CodeOnly
            && code.level() == Level::Kecamatan;
        let name = (!nameless).then(|| read_name(name)).transpose()?;
        let successor = (!successor.is_empty()).then(|| read_code(successor)).transpose()?;
        self.check(code, self.retired.last().map(|row| row.code), number)?;
        if self.find_current(code).is_some() {
            return Err(Problem::Duplicate { code });
        }
        if let Some(successor) = successor.filter(|code| self.find_current(*code).is_none()) {
            return Err(Problem::Successor { code, successor });
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

    /// What holds for a row of either table, given the row before it.
    fn check(&self, code: Code, previous: Option<Code>, line: usize) -> Result<(), Problem> {
        if line > MAX_LINES {
            return Err(Problem::TooLong);
        }
        match previous {
            Some(previous) if previous == code => return Err(Problem::Duplicate { code }),
            Some(previous) if previous > code => return Err(Problem::Order { code, previous }),
            _ => {}
        }
        let Some(parent) = code.parent() else {
            return Ok(());
        };
        // Right above nearly every row stands its parent or a sibling, whose parent was looked up then.
        let near = previous.is_some_and(|row| row == parent || row.parent() == Some(parent));
        let known =
            near || self.find_current(parent).is_some() || self.find_retired(parent).is_some();
        if known { Ok(()) } else { Err(Problem::Orphan { code, parent }) }
    }
}

fn columns<const N: usize>(line: &str) -> Result<[&str; N], Problem> {
    let mut columns = [""; N];
    let mut found = 0;
    for column in line.split('\t') {
        if let Some(place) = columns.get_mut(found) {
            *place = column;
        }
        found += 1;
    }
    if found == N { Ok(columns) } else { Err(Problem::Columns { expected: N, found }) }
}

fn read_code(text: &str) -> Result<Code, Problem> {
    Code::from_digits(text).ok_or_else(|| CodeError { text: text.to_owned() }.into())
}

fn read_name(text: &str) -> Result<&str, Problem> {
    let sound = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
    if sound { Ok(text) } else { Err(Problem::Name { found: text.to_owned() }) }
}

fn read_confidence(text: &str) -> Result<Confidence, Problem> {
    Confidence::ALL
        .into_iter()
        .find(|confidence| confidence.as_str() == text)
        .ok_or_else(|| Problem::Confidence { found: text.to_owned() })
}
