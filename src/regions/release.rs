//! A release of the region data, checked whole before anything uses it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use super::manifest::{Manifest, manifest};
use nik::dataset::{CURRENT_TSV, RETIRED_TSV};
use nik::region::{Confidence, Level, ParseError, Regions, Retired, RetiredCodes, State, Tables};

const CURRENT: &str = "current.tsv";
const RETIRED: &str = "retired.tsv";

/// Both tables and their manifest.
#[derive(Debug)]
pub struct Release {
    pub manifest: Manifest,
    current: Cow<'static, str>,
    retired: Cow<'static, str>,
}

/// Why a folder is not a release, or may not follow the one in force.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("{file} cannot be read: {error}")]
    Unreadable { file: String, error: io::Error },
    #[error("manifest.json: {0}")]
    Manifest(#[from] serde_json::Error),
    #[error("manifest.json: expected {0} in `files`")]
    Unnamed(&'static str),
    #[error("manifest.json: expected names of files in the same folder in `files`, found {0:?}")]
    Elsewhere(String),
    #[error("{file}: expected the SHA-256 {expected} of manifest.json, found {found}")]
    Checksum { file: String, expected: String, found: String },
    #[error("{0}: expected UTF-8")]
    NotText(&'static str),
    #[error(transparent)]
    Table(#[from] ParseError),
    #[error("manifest.json: expected {found} as the number of {of} in the tables, found {listed}")]
    Count { of: String, found: usize, listed: usize },
    #[error(
        "{level}: {after} codes where the data in force has {before}, a loss of more than 1 %; if it is \
         meant, script/refresh-regions --allow-shrink writes it into the manifest"
    )]
    Shrunk { level: Level, before: usize, after: usize },
}

impl Release {
    pub fn built_in() -> Result<Self, ReleaseError> {
        let (current, retired) = (Cow::Borrowed(CURRENT_TSV), Cow::Borrowed(RETIRED_TSV));
        Ok(Self { manifest: manifest()?, current, retired })
    }

    /// Reads a folder as `script/refresh-regions` writes it. Every file that the manifest names must
    /// have its checksum, and the tables must be well-formed and as long as the manifest says.
    pub fn read(folder: &Path) -> Result<Self, ReleaseError> {
        let manifest: Manifest = serde_json::from_slice(&read(folder, "manifest.json")?)?;
        let [mut current, mut retired] = [None, None];
        for (name, expected) in &manifest.files {
            let mut parts = Path::new(name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(ReleaseError::Elsewhere(name.clone()));
            }
            let bytes = read(folder, name)?;
            check_sum(name, &bytes, expected)?;
            match name.as_str() {
                CURRENT => current = Some(bytes),
                RETIRED => retired = Some(bytes),
                _ => {}
            }
        }
        let text = |name, bytes: Option<Vec<u8>>| {
            let bytes = bytes.ok_or(ReleaseError::Unnamed(name))?;
            String::from_utf8(bytes).map_err(|_| ReleaseError::NotText(name))
        };
        let (current, retired) = (text(CURRENT, current)?, text(RETIRED, retired)?);
        let both = [current.as_bytes(), retired.as_bytes()].concat();
        check_sum("current.tsv followed by retired.tsv", &both, &manifest.sha256)?;
        let release = Self { manifest, current: current.into(), retired: retired.into() };
        release.check_counts()?;
        Ok(release)
    }

    /// Whether this release may replace the one in force: a release that lost codes is more likely
    /// damaged than right, since retired codes stay in the data.
    pub fn check_successor_of(&self, in_force: &Self) -> Result<(), ReleaseError> {
        for level in Level::ALL {
            let [before, after] = [in_force, self].map(|release| release.codes(level));
            if after * 100 < before * 99 && !self.manifest.allow_shrink {
                return Err(ReleaseError::Shrunk { level, before, after });
            }
        }
        Ok(())
    }

    pub fn tables(&self) -> Result<Tables<'_>, ParseError> {
        Tables::parse(&self.current, &self.retired)
    }

    /// The known kecamatan.
    pub fn regions(&self, retired: RetiredCodes) -> Result<Regions, ParseError> {
        Regions::parse(&self.current, &self.retired, retired)
    }

    /// The number of codes of a level in both tables, by the manifest.
    fn codes(&self, level: Level) -> usize {
        self.manifest.counts.get(level.as_str()).map_or(0, |states| states.values().sum())
    }

    fn check_counts(&self) -> Result<(), ReleaseError> {
        let tables = self.tables()?;
        let regions = Regions::new(&tables, RetiredCodes::All);
        let Manifest { counts, retired_confidence, .. } = &self.manifest;
        let check = |of: String, found, listed| {
            if found == listed { Ok(()) } else { Err(ReleaseError::Count { of, found, listed }) }
        };
        for level in Level::ALL {
            for state in State::ALL {
                let of = format!("{} codes of level {level}", state.as_str());
                let listed = listed(counts, level, state.as_str());
                check(of, regions.count(level, state), listed)?;
            }
            for confidence in Confidence::ALL {
                let is_one =
                    |row: &&Retired<'_>| row.code.level() == level && row.confidence == confidence;
                let of = format!("retired codes of level {level}, {}", confidence.as_str());
                let listed = listed(retired_confidence, level, confidence.as_str());
                check(of, tables.retired().iter().filter(is_one).count(), listed)?;
            }
        }
        Ok(())
    }
}

/// The number in a table of the manifest; 0 if it is not listed.
fn listed(table: &BTreeMap<String, BTreeMap<String, usize>>, level: Level, column: &str) -> usize {
    table.get(level.as_str()).and_then(|row| row.get(column)).copied().unwrap_or(0)
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, ReleaseError> {
    let path = folder.join(name);
    fs::read(&path)
        .map_err(|error| ReleaseError::Unreadable { file: path.display().to_string(), error })
}

fn check_sum(file: &str, bytes: &[u8], expected: &str) -> Result<(), ReleaseError> {
    let found = format!("{:x}", Sha256::digest(bytes));
    if found == expected {
        return Ok(());
    }
    let (file, expected) = (file.to_owned(), expected.to_owned());
    Err(ReleaseError::Checksum { file, expected, found })
}
