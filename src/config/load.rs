//! Loads the settings from files and the environment, or reports everything that is wrong with
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{Reader, Shown, show};
use super::warnings::warnings;
use super::{Privacy, Problem, Problems, RegionData, Settings, check, layers};
use crate::regions::{Release, ReleaseError};

/// Settings, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// The region data that the settings name.
    pub release: Arc<Release>,
    /// By key: a file, an environment variable, or `default`.
    pub origins: BTreeMap<String, String>,
    /// Settings that are allowed and may be a mistake.
    pub warnings: Vec<Problem>,
    /// In the order of `config/default.toml`.
    pub(super) shown: Vec<Shown>,
}

impl Loaded {
    /// The settings as TOML, in the order of `config/default.toml`: every key with its value and,
    /// as a comment, its origin. Secrets are hidden.
    pub fn show(&self) -> String {
        show(&self.shown)
    }

    /// The problem that librdkafka reports when a client is made: at the key whose property its
    /// `reason` names.
    pub fn refused(&self, reason: &str) -> Problem {
        let named = |key: &&String| {
            let property = check::property_of(key);
            property.is_some_and(|property| names(reason, property))
        };
        let key = self.origins.keys().filter(named).max_by_key(|key| key.len());
        Problem {
            origin: key.map_or("kafka", |key| &self.origins[key]).to_owned(),
            key: key.cloned(),
            text: format!("librdkafka: {reason}"),
        }
    }
}

/// Whether a text contains this name, and not as a part of a longer one.
fn names(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
    text.split(|c| !is_part(c)).any(|word| word.trim_end_matches('.') == name)
}

/// Checks a property of librdkafka, given its name and value. It is a parameter because only the
/// `kafka` module uses librdkafka.
pub type PropertyCheck = fn(&str, &str) -> Result<(), String>;

/// Loads the settings: later files override earlier ones, and the environment's `variables`
/// override all files.
pub fn load_from(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    property: PropertyCheck,
) -> Result<Loaded, Problems> {
    load_candidate(files, variables, &[], property)
}

/// As [`load_from`], with files that override the environment, too: settings to be tried.
pub fn load_candidate(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    candidate: &[PathBuf],
    property: PropertyCheck,
) -> Result<Loaded, Problems> {
    load(files, variables, candidate, property, first_release)
}

/// As [`load_from`], in a process in which `release` is in force and stays.
pub fn load_again(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    property: PropertyCheck,
    release: &Arc<Release>,
) -> Result<Loaded, Problems> {
    load(files, variables, &[], property, |_| Ok(Arc::clone(release)))
}

/// The release of a start: it must not know far fewer codes than the data built in.
fn first_release(folder: Option<&Path>) -> Result<Arc<Release>, ReleaseError> {
    let built_in = Release::built_in()?;
    let Some(folder) = folder else {
        return Ok(Arc::new(built_in));
    };
    let release = Release::read(folder)?;
    release.check_successor_of(&built_in)?;
    Ok(Arc::new(release))
}

/// `release` gives the region data for `regions.directory`.
fn load(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    candidate: &[PathBuf],
    property: PropertyCheck,
    release: impl FnOnce(Option<&Path>) -> Result<Arc<Release>, ReleaseError>,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let variables: Vec<_> = variables.into_iter().collect();
    let mut layers = vec![layers::defaults(), layers::open_telemetry(&variables)];
    layers.extend(files.iter().map(|path| layers::file(path, &mut problems)));
    layers.push(layers::environment(variables, &mut problems));
    layers.extend(candidate.iter().map(|path| layers::file(path, &mut problems)));
    layers.push(layers::password_file(&layers, &mut problems));

    let mut reader = Reader::new(&layers);
    let mut settings = Settings::read(&mut reader);
    problems.append(&mut reader.unknown_keys());
    problems.append(&mut reader.problems);
    let Reader { origins, shown, .. } = reader;
    let problem = |key: &str, text| {
        let origin = origins.get(key).cloned().unwrap_or_default();
        Problem { origin, key: Some(key.to_owned()), text }
    };
    if let Err(text) = settings.privacy.load_keys() {
        problems.push(problem(Privacy::KEY_FILE, text));
    }
    let release = release(settings.regions.folder());
    if let Err(error) = &release {
        problems.push(problem(RegionData::DIRECTORY, error.to_string()));
    }
    let broken: BTreeSet<_> = problems.iter().filter_map(|it| it.key.clone()).collect();
    problems.append(&mut check::check(&settings, &origins, &broken, property));

    match release {
        Ok(release) if problems.is_empty() => {
            let warnings = warnings(&settings, &origins);
            Ok(Loaded { settings, release, origins, warnings, shown })
        }
        _ => Err(Problems(problems)),
    }
}
