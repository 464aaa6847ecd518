//! Loads the settings from files and the environment, or reports everything that is wrong with
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use super::reader::Reader;
use super::warnings::warnings;
use super::{Privacy, Problem, Problems, Settings, check, layers};

/// Settings, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// By key: a file, an environment variable, or `default`.
    pub origins: BTreeMap<String, String>,
    /// What is allowed and may still not be meant.
    pub warnings: Vec<Problem>,
    shown: String,
}

impl Loaded {
    /// The settings as TOML, in the order of `config/default.toml`: every key with its value and,
    /// as a comment, its origin. Secrets are hidden.
    pub fn show(&self) -> String {
        self.shown.clone()
    }
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
    let mut problems = Vec::new();
    let mut layers = vec![layers::defaults()];
    layers.extend(files.iter().map(|path| layers::file(path, &mut problems)));
    layers.push(layers::environment(variables, &mut problems));
    layers.extend(candidate.iter().map(|path| layers::file(path, &mut problems)));
    layers.push(layers::password_file(&layers, &mut problems));

    let mut reader = Reader::new(&layers);
    let mut settings = Settings::read(&mut reader);
    problems.append(&mut reader.unknown_keys());
    problems.append(&mut reader.problems);
    let Reader { origins, shown, .. } = reader;
    if let Err(text) = settings.privacy.load_keys() {
        let key = Privacy::KEY_FILE.to_owned();
        let origin = origins.get(&key).cloned().unwrap_or_default();
        problems.push(Problem { origin, key: Some(key), text });
    }
    let broken: BTreeSet<_> = problems.iter().filter_map(|it| it.key.clone()).collect();
    problems.append(&mut check::check(&settings, &origins, &broken, property));

    if problems.is_empty() {
        let warnings = warnings(&settings, &origins);
        Ok(Loaded { settings, origins, warnings, shown })
    } else {
        Err(Problems(problems))
    }
}
