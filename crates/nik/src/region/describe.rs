//! What a code of any level means: for people who ask, off the path of the NIKs.

use super::code::Code;
use super::parse::Tables;
use super::row::Retired;
use alloc::vec::Vec;

/// A code with everything the tables know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// The code, which tells the level.
    pub code: Code,
    /// Its name; for some retired kecamatan nobody knows it.
    pub name: Option<&'a str>,
    /// The regions above it, the nearest first.
    pub parents: Vec<Parent<'a>>,
    /// The row of a code no longer in force; of a current one, none.
    pub retired: Option<Retired<'a>>,
}

/// A region above another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent<'a> {
    /// Its code.
    pub code: Code,
    /// Its name.
    pub name: &'a str,
    /// Whether it is no longer in force itself.
    pub retired: bool,
}

impl<'a> Tables<'a> {
    /// What `code` means, or `None` if neither table knows it.
    pub fn describe(&self, code: Code) -> Option<Description<'a>> {
        let (name, retired) = self.find(code)?;
        Some(Description { code, name, parents: self.parents(code), retired })
    }

    /// The known regions above `code`, the nearest first, whether or not `code` itself is known.
    pub fn parents(&self, code: Code) -> Vec<Parent<'a>> {
        let above = core::iter::successors(code.parent(), |code| code.parent());
        let known = above.filter_map(|code| {
            let (name, retired) = self.find(code)?;
            Some(Parent {
                code,
                name: name?, // only a kecamatan, which is above none, may have no name
                retired: retired.is_some(),
            })
        });
        known.collect()
    }

    /// The name behind a code, and its row if it is no longer in force.
    fn find(&self, code: Code) -> Option<(Option<&'a str>, Option<Retired<'a>>)> {
        match self.find_current(code) {
            Some(row) => Some((Some(row.name), None)),
            None => self.find_retired(code).map(|row| (row.name, Some(row))),
        }
    }
}
