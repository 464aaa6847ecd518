//! Region codes read line by line from the project's tables into one ordered map.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The names a kecamatan code stands for; a retired code can have a place in the tables and no known name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    pub province: String,
    pub regency: String,
    pub kecamatan: Option<String>,
}

/// Which retired codes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    All,
    Confirmed,
    None,
}

/// Names by code, of two digits (province), four (regency) and six (kecamatan).
pub struct Regions(BTreeMap<String, String>);

impl Regions {
    /// The project's tables, `data/regions`, read once for each policy.
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
            // The policy is about the code a NIK begins with; an old regency keeps its name whatever the policy.
            let counts = match retired {
                Retired::All => true,
                Retired::Confirmed => confidence == "confirmed",
                Retired::None => false,
            };
            if counts || code.len() < 6 {
                names.insert(code.to_owned(), name.to_owned());
            }
        }
        Self(names)
    }

    /// The area six characters stand for, if they are a kecamatan's code.
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
