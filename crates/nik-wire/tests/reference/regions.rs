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

/// Names by code, of two digits (province), four (regency) and six (kecamatan).
pub struct Regions(BTreeMap<String, String>);

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
        for line in current_tsv.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            names.insert(columns[0].to_owned(), columns[1].to_owned());
        }
        for line in retired_tsv.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let (code, name, confidence) = (columns[0], columns[2], columns[7]);
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
        Self(names)
    }

    /// The area of a six-digit code, if it is a known kecamatan.
    pub fn find(&self, code: &str) -> Option<Area> {
        if code.len() != 6 {
            return None;
        }
        let kecamatan = self.0.get(code)?;
        Some(Area {
            province: self.0[&code[..2]].clone(),
            regency: self.0[&code[..4]].clone(),
            kecamatan: Some(kecamatan.clone()).filter(|name| !name.is_empty()),
        })
    }
}
