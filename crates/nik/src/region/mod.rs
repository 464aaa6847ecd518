//! Regions of Indonesia by their codes, current and retired.
//!
//! A NIK is issued once, for life, with the code of that day, so retired codes are as valid in it
//! as current ones.
//!
//! Source: UU 23/2006 art. 13 (a NIK is for life); PP 40/2019 art. 30; Kepmendagri
//! 300.2.2-2138/2025 as amended by 300.2.2-2430/2025 (the codes in force).

mod code;
mod describe;
mod history;
mod index;
mod parse;
mod row;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use index::Index;

pub use code::{Code, CodeError, Level};
pub use describe::{Description, Parent};
pub use history::Retirement;
pub use index::AreaId;
pub use parse::{ParseError, Tables};
pub use row::{Confidence, Current, RETIRED_HEADER, Retired};

/// Which retired codes count as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetiredCodes {
    /// All of them, whatever their confidence, so that no holder of an old card is rejected.
    All,
    /// Only those on which two independent sources agree.
    Confirmed,
    /// None of them: only current codes are known.
    None,
}

impl RetiredCodes {
    /// Whether a retired code of this confidence counts as known.
    fn admits(self, confidence: Confidence) -> bool {
        match self {
            Self::All => true,
            Self::Confirmed => confidence == Confidence::Confirmed,
            Self::None => false,
        }
    }
}

crate::named! {
    /// Whether a code is in force. The names are those in results, metrics and the manifest.
    pub enum State {
        /// In the decree in force.
        Current = "current",
        /// No longer in force.
        Retired = "retired",
    }
}

/// The names of a kecamatan and the regions above it, as they were when its code was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area<'a> {
    /// The name of the province.
    pub province: &'a str,
    /// The name of the regency or city, such as `Kabupaten Bogor` or `Kota Bandung`.
    pub regency: &'a str,
    /// The name of the kecamatan; unknown for some retired codes.
    pub kecamatan: Option<&'a str>,
}

/// Every kecamatan whose code counts as known.
///
/// ```
/// use nik::region::{Regions, RetiredCodes};
///
/// let current = "32\tJawa Barat\n3273\tKota Bandung\n327301\tSukasari\n";
/// let regions = Regions::parse(current, "", RetiredCodes::All)?;
/// let area = regions.find(327_301).map(|id| regions.area(id)).unwrap();
/// assert_eq!(area.kecamatan, Some("Sukasari"));
/// assert_eq!(area.regency, "Kota Bandung");
/// assert!(regions.find(327_399).is_none());
/// # Ok::<(), nik::region::ParseError>(())
/// ```
#[derive(Debug)]
pub struct Regions {
    index: Index,
    provinces: Vec<Box<str>>,
    regencies: Vec<Regency>,
    kecamatan: Vec<Kecamatan>,
    /// The index of each province and regency, retired ones included, in its list.
    places: BTreeMap<Code, usize>,
    /// Every retired code, in rising order.
    retirements: Vec<Retirement>,
    counts: [[usize; 2]; 3],
}

#[derive(Debug)]
struct Regency {
    name: Box<str>,
    province: usize,
}

#[derive(Debug)]
struct Kecamatan {
    name: Option<Box<str>>,
    regency: usize,
}

impl Regions {
    /// Reads both tables as [`Tables::parse`] does; `retired` selects the retired codes that count
    /// as known.
    pub fn parse(
        current_tsv: &str,
        retired_tsv: &str,
        retired: RetiredCodes,
    ) -> Result<Self, ParseError> {
        Ok(Self::new(&Tables::parse(current_tsv, retired_tsv)?, retired))
    }

    /// The regions of checked tables; `retired` selects the retired codes that count as known.
    pub fn new(tables: &Tables<'_>, retired: RetiredCodes) -> Self {
        let mut regions = Self {
            index: Index::new(),
            provinces: Vec::new(),
            regencies: Vec::new(),
            kecamatan: Vec::with_capacity(tables.current().len() + tables.retired().len()),
            places: BTreeMap::new(),
            retirements: tables.retired().iter().map(Retirement::of).collect(),
            counts: [[0; 2]; 3],
        };
        for row in tables.current() {
            regions.push(row.code, Some(row.name));
            regions.count_one(row.code.level(), State::Current);
        }
        for row in tables.retired() {
            let admitted = retired.admits(row.confidence);
            // A retired regency still names the admitted kecamatan below it.
            if admitted || row.code.level() != Level::Kecamatan {
                regions.push(row.code, row.name);
            }
            if admitted {
                regions.count_one(row.code.level(), State::Retired);
            }
        }
        regions
    }

    /// The kecamatan with this six-digit code; `None` if the number is not a known code.
    #[inline]
    pub fn find(&self, code: u32) -> Option<AreaId> {
        self.index.find(code)
    }

    /// The names of a kecamatan by its id.
    ///
    /// # Panics
    /// May panic if the id is of other `Regions`.
    pub fn area(&self, id: AreaId) -> Area<'_> {
        self.names(&self.kecamatan[id.index()])
    }

    /// The names of all known kecamatan, in the order of their ids.
    pub fn areas(&self) -> impl Iterator<Item = Area<'_>> {
        self.kecamatan.iter().map(|kecamatan| self.names(kecamatan))
    }

    /// The number of known kecamatan.
    pub fn len(&self) -> usize {
        self.kecamatan.len()
    }

    /// Whether no kecamatan is known.
    pub fn is_empty(&self) -> bool {
        self.kecamatan.is_empty()
    }

    /// The number of known codes of a level and state.
    pub fn count(&self, level: Level, state: State) -> usize {
        self.counts[level as usize][state as usize]
    }

    fn names<'a>(&'a self, kecamatan: &'a Kecamatan) -> Area<'a> {
        let regency = &self.regencies[kecamatan.regency];
        Area {
            province: &self.provinces[regency.province],
            regency: &regency.name,
            kecamatan: kecamatan.name.as_deref(),
        }
    }

    fn count_one(&mut self, level: Level, state: State) {
        self.counts[level as usize][state as usize] += 1;
    }

    /// [`Tables`] guarantees that a parent precedes its children.
    fn push(&mut self, code: Code, name: Option<&str>) {
        // A province has no parent and does not use this.
        let above = code.parent().map_or(0, |parent| self.places[&parent]);
        match code.level() {
            Level::Province => {
                self.places.insert(code, self.provinces.len());
                self.provinces.push(name.unwrap_or_default().into());
            }
            Level::Regency => {
                self.places.insert(code, self.regencies.len());
                self.regencies
                    .push(Regency { name: name.unwrap_or_default().into(), province: above });
            }
            Level::Kecamatan => {
                let id =
                    AreaId::new(self.kecamatan.len()).expect("`Tables` limits the number of lines");
                self.index.insert(code.number(), id);
                self.kecamatan.push(Kecamatan { name: name.map(Into::into), regency: above });
            }
        }
    }
}
