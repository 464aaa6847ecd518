//! What a region is, and which of them a NIK's first six characters name. Pure: no files, no clock.
//!
//! A NIK is issued once, for life, with the code of that day, so the codes no longer in force count like those in force.
//!
//! Source: UU 23/2006 art. 13 (a NIK is for life); PP 40/2019 art. 30; Kepmendagri 300.2.2-2138/2025 as amended by
//! 300.2.2-2430/2025 (the codes in force).

mod code;
mod describe;
mod index;
mod parse;
mod row;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use index::Index;

pub use code::{Code, CodeError, Level};
pub use describe::{Description, Parent};
pub use index::AreaId;
pub use parse::{ParseError, Problem, Table, Tables};
pub use row::{Confidence, Current, RETIRED_HEADER, Retired};

/// Which codes no longer in force count as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetiredCodes {
    /// Every one, however sure: a customer with an old card is not turned away.
    All,
    /// Those that two independent sources agree on.
    Confirmed,
    /// None: only the list in force counts.
    None,
}

impl RetiredCodes {
    /// Whether a row of this confidence counts.
    fn admits(self, confidence: Confidence) -> bool {
        match self {
            Self::All => true,
            Self::Confirmed => confidence == Confidence::Confirmed,
            Self::None => false,
        }
    }
}

/// Whether a code stands in the list in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It does.
    Current,
    /// It did.
    Retired,
}

impl State {
    /// Both states.
    pub const ALL: [Self; 2] = [Self::Current, Self::Retired];

    /// The state's name, as metrics and the manifest write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Retired => "retired",
        }
    }
}

/// The names of a kecamatan and the regions above it, as they were when its code was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area<'a> {
    /// The province's name.
    pub province: &'a str,
    /// The regency's or city's name, such as `Kabupaten Bogor` or `Kota Bandung`.
    pub regency: &'a str,
    /// The kecamatan's name; for some retired codes nobody knows it.
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
    /// Reads both tables whole, with the errors of [`Tables::parse`], and takes the retired codes that `retired` admits.
    pub fn parse(
        current_tsv: &str,
        retired_tsv: &str,
        retired: RetiredCodes,
    ) -> Result<Self, ParseError> {
        Ok(Self::new(&Tables::parse(current_tsv, retired_tsv)?, retired))
    }

    /// Takes the current codes of the tables and the retired ones that `retired` admits.
    pub fn new(tables: &Tables<'_>, retired: RetiredCodes) -> Self {
        let mut regions = Self {
            index: Index::new(),
            provinces: Vec::new(),
            regencies: Vec::new(),
            kecamatan: Vec::with_capacity(tables.current().len() + tables.retired().len()),
            counts: [[0; 2]; 3],
        };
        let mut places = BTreeMap::new();
        for row in tables.current() {
            regions.push(&mut places, row.code, Some(row.name));
            regions.count_one(row.code.level(), State::Current);
        }
        for row in tables.retired() {
            let admitted = retired.admits(row.confidence);
            // A regency that is not admitted still names the kecamatan below it that are.
            if admitted || row.code.level() != Level::Kecamatan {
                regions.push(&mut places, row.code, row.name);
            }
            if admitted {
                regions.count_one(row.code.level(), State::Retired);
            }
        }
        regions
    }

    /// The kecamatan behind a six-digit code, current or retired; `None` for every other number.
    #[inline]
    pub fn find(&self, code: u32) -> Option<AreaId> {
        self.index.find(code)
    }

    /// The names behind an id of this set.
    ///
    /// # Panics
    /// If the id came from a larger set.
    pub fn area(&self, id: AreaId) -> Area<'_> {
        self.names(&self.kecamatan[id.index()])
    }

    /// The names of every known kecamatan, in the order of their ids.
    pub fn areas(&self) -> impl Iterator<Item = Area<'_>> {
        self.kecamatan.iter().map(|kecamatan| self.names(kecamatan))
    }

    /// How many kecamatan are known.
    pub fn len(&self) -> usize {
        self.kecamatan.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.kecamatan.is_empty()
    }

    /// How many codes of a level and state count as known.
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

    /// `places` says where each province and regency went; [`Tables`] vouches that a parent comes before its children.
    fn push(&mut self, places: &mut BTreeMap<Code, usize>, code: Code, name: Option<&str>) {
        // A province has none above it and does not ask.
        let above = code.parent().map_or(0, |parent| places[&parent]);
        match code.level() {
            Level::Province => {
                places.insert(code, self.provinces.len());
                self.provinces.push(name.unwrap_or_default().into());
            }
            Level::Regency => {
                places.insert(code, self.regencies.len());
                self.regencies
                    .push(Regency { name: name.unwrap_or_default().into(), province: above });
            }
            Level::Kecamatan => {
                let id = AreaId::new(self.kecamatan.len())
                    .expect("`Tables` bounds the lines of both tables together");
                self.index.insert(code.number(), id);
                self.kecamatan.push(Kecamatan { name: name.map(Into::into), regency: above });
            }
        }
    }
}
