//! From files and the environment to settings, or to everything that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use config::{Config, ConfigError, Map, Source, Value};

use super::layers::{self, Keys, Layer};
use super::{Problem, Problems, Settings, check};

/// Settings and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// By key: a file, an environment variable, or `default`.
    pub origins: BTreeMap<String, String>,
}

/// Says what is wrong with a property of librdkafka, by its name and value: only the `kafka` layer knows.
pub type PropertyCheck = fn(&str, &str) -> Result<(), String>;

/// Reads the settings: the defaults, each file over the ones before it, the environment's `variables` over them all.
pub fn load_from(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    property: PropertyCheck,
) -> Result<Loaded, Problems> {
    let (keys, defaults) = layers::defaults();
    let mut stack = vec![defaults];
    let mut problems = Vec::new();
    let read = files.iter().map(|path| layers::file(&keys, path));
    for (layer, refused) in read.chain([layers::environment(&keys, variables)]) {
        stack.push(layer);
        problems.extend(refused);
    }

    let names = problems.len();
    let mut settings = deserialize(&keys, &mut stack, &mut problems)?;
    // Values are read in no order of their own.
    problems[names..]
        .sort_by(|one, other| (&one.origin, &one.key).cmp(&(&other.origin, &other.key)));
    let mut origins: BTreeMap<String, String> = stack
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.origin().unwrap_or_default().to_owned()))
        .collect();
    read_password(&mut settings, &mut origins, &mut problems);
    let broken: BTreeSet<_> = problems.iter().filter_map(|it| it.key.clone()).collect();
    problems.extend(check::check(&settings, &origins, &broken, property));

    if problems.is_empty() { Ok(Loaded { settings, origins }) } else { Err(Problems(problems)) }
}

/// Reads the layers into the tree. A value that cannot be read becomes a problem and leaves its layer, so that the rest, the
/// value below it included, gets read as well.
fn deserialize(
    keys: &Keys,
    stack: &mut [Layer],
    problems: &mut Vec<Problem>,
) -> Result<Settings, Problems> {
    loop {
        let error = match merge(keys, stack).and_then(Config::try_deserialize::<Settings>) {
            Ok(settings) => return Ok(settings),
            Err(error) => error,
        };
        let (key, text) = match error {
            ConfigError::At { error, key: Some(key), .. } => (key, error.to_string()),
            other => (String::new(), other.to_string()),
        };
        let value = stack.iter_mut().rev().find_map(|layer| layer.remove(&key));
        let at_fault = value.is_some();
        problems.push(Problem {
            origin: value.as_ref().and_then(Value::origin).unwrap_or(layers::DEFAULT).to_owned(),
            key: Some(key),
            text,
        });
        if !at_fault {
            return Err(Problems(std::mem::take(problems)));
        }
    }
}

fn merge(keys: &Keys, stack: &[Layer]) -> Result<Config, ConfigError> {
    stack
        .iter()
        .fold(Config::builder(), |builder, layer| builder.add_source(Tree(nest(keys, layer))))
        .build()
}

/// A layer in the shape that `config` takes: paths of single keys, and for each open table a map of its properties, whose names
/// hold dots that are no paths.
#[derive(Clone, Debug)]
struct Tree(Map<String, Value>);

fn nest(keys: &Keys, layer: &Layer) -> Map<String, Value> {
    let mut tree = Map::new();
    let mut tables: BTreeMap<&str, Map<String, Value>> =
        keys.open().map(|it| (it, Map::new())).collect();
    for (key, value) in layer {
        match keys.in_open(key) {
            Some((table, property)) => {
                let table = tables.entry(table).or_default();
                table.insert(property.to_owned(), value.clone());
            }
            None => {
                tree.insert(key.clone(), value.clone());
            }
        }
    }
    tree.extend(tables.into_iter().map(|(key, table)| (key.to_owned(), table.into())));
    tree
}

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads the password file, if there is one; a line break at its end belongs to the file.
fn read_password(
    settings: &mut Settings,
    origins: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) {
    const KEY: &str = "kafka.security.password_file";
    let security = &mut settings.kafka.security;
    let Some(path) = &security.password_file else {
        return;
    };
    let password = match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    };
    let text = match password {
        Ok(text) if text.is_empty() => format!("{} is empty", path.display()),
        Ok(text) if security.password.is_none() => {
            let origin = path.display().to_string();
            origins.insert("kafka.security.password".to_owned(), origin);
            security.password = Some(text.into());
            return;
        }
        Ok(_) => "expected either a password or a password_file, found both".to_owned(),
        Err(text) => text,
    };
    problems.push(Problem {
        origin: origins.get(KEY).cloned().unwrap_or_default(),
        key: Some(KEY.to_owned()),
        text,
    });
}
