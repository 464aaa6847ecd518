//! The region codes of the project's tables, in one map.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The names of a kecamatan and its parents; the name of a retired kecamatan can be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    pub province: String,
    pub regency: String,
    pub kecamatan: Option<String>,
}

/// Which retired codes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    All,
    Confirmed,
    None,
}

/// What the tables say about a code; the name is empty if it is unknown.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// Only for a retired code.
    pub retired: Option<RetiredRow>,
}

/// What the tables say about a retired code alone.
#[derive(Clone, Debug)]
pub struct RetiredRow {
    pub successor: Option<String>,
    pub confidence: String,
}

/// Codes of two digits (province), four (regency) and six (kecamatan).
pub struct Regions {
    /// The names of known codes.
    names: BTreeMap<String, String>,
    /// Both tables, whatever the policy.
    rows: BTreeMap<String, Row>,
}

impl Regions {
    /// The tables in `data/regions`, read once for each policy.
    pub fn of_the_project(retired: Retired) -> &'static Self {
        static ALL: LazyLock<Regions> = LazyLock::new(|| Regions::embedded(Retired::All));
        static CONFIRMED: LazyLock<Regions> =
            LazyLock::new(|| Regions::embedded(Retired::Confirmed));
        static NONE: LazyLock<Regions> = LazyLock::new(|| Regions::embedded(Retired::None));
        match retired {
            Retired::All => &ALL,
            Retired::Confirmed => &CONFIRMED,
            Retired::None => &NONE,
        }
    }

    fn embedded(retired: Retired) -> Self {
        Self::read(
            include_str!("../../../../data/regions/current.tsv"),
            include_str!("../../../../data/regions/retired.tsv"),
            retired,
        )
    }

    fn read(current_tsv: &str, retired_tsv: &str, retired: Retired) -> Self {
        let mut names = BTreeMap::new();
        let mut rows = BTreeMap::new();
        for line in current_tsv.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            names.insert(columns[0].to_owned(), columns[1].to_owned());
            let row = Row { name: columns[1].to_owned(), retired: None };
            rows.insert(columns[0].to_owned(), row);
        }
        for line in retired_tsv.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let (code, name, confidence) = (columns[0], columns[2], columns[7]);
            let retired_row = RetiredRow {
                successor: Some(columns[5].to_owned()).filter(|code| !code.is_empty()),
                confidence: confidence.to_owned(),
            };
            let row = Row { name: name.to_owned(), retired: Some(retired_row) };
            rows.insert(code.to_owned(), row);
            // The policy applies to the codes of kecamatan; retired regencies always keep their
            // names.
            let known = match retired {
                Retired::All => true,
                Retired::Confirmed => confidence == "confirmed",
                Retired::None => false,
            };
            if known || code.len() < 6 {
                names.insert(code.to_owned(), name.to_owned());
            }
        }
        Self { names, rows }
    }

    /// The row of a code in either table, whatever the policy.
    pub fn row(&self, code: &str) -> Option<&Row> {
        self.rows.get(code)
    }

    /// The area of a six-digit code, if it is a known kecamatan.
    pub fn find(&self, code: &str) -> Option<Area> {
        if code.len() != 6 {
            return None;
        }
        let kecamatan = self.names.get(code)?;
        Some(Area {
            province: self.names[&code[..2]].clone(),
            regency: self.names[&code[..4]].clone(),
            kecamatan: Some(kecamatan.clone()).filter(|name| !name.is_empty()),
        })
    }
}
