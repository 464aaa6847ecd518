//! Lookup of a code of any level, with everything the tables say about it.

use super::code::Code;
use super::parse::Tables;
use super::row::Retired;
use alloc::vec::Vec;

/// A code with everything the tables say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// The code.
    pub code: Code,
    /// The name; unknown for some retired kecamatan.
    pub name: Option<&'a str>,
    /// The regions above it, from the nearest up.
    pub parents: Vec<Parent<'a>>,
    /// The row of a retired code; `None` for a current one.
    pub retired: Option<Retired<'a>>,
}

/// A region above the one looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent<'a> {
    /// The code.
    pub code: Code,
    /// The name.
    pub name: &'a str,
    /// Whether the code is retired.
    pub retired: bool,
}

impl<'a> Tables<'a> {
    /// Looks `code` up in both tables.
    pub fn describe(&self, code: Code) -> Option<Description<'a>> {
        let (name, retired) = self.find(code)?;
        Some(Description { code, name, parents: self.parents(code), retired })
    }

    /// The known regions above `code`, from the nearest up. `code` itself may be unknown.
    pub fn parents(&self, code: Code) -> Vec<Parent<'a>> {
        let above = core::iter::successors(code.parent(), |code| code.parent());
        let known = above.filter_map(|code| {
            let (name, retired) = self.find(code)?;
            Some(Parent {
                code,
                name: name?, // always known: only kecamatan have unknown names, and they are never parents
                retired: retired.is_some(),
            })
        });
        known.collect()
    }

    /// The name of a code, and its row if it is retired.
    fn find(&self, code: Code) -> Option<(Option<&'a str>, Option<Retired<'a>>)> {
        match self.find_current(code) {
            Some(row) => Some((Some(row.name), None)),
            None => self.find_retired(code).map(|row| (row.name, Some(row))),
        }
    }
}
