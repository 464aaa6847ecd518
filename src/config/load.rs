//! From files and the environment to settings, or to everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::layers::{self, Layer, below};
use super::reader::{Effective, Reader};
use super::rule::Type;
use super::{Problem, Problems, Settings, check};

/// Settings, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    keys: Vec<(&'static str, Type)>,
    values: BTreeMap<String, Effective>,
}

/// Says what is wrong with a property of librdkafka, given its name and value. A parameter, as only
/// the `kafka` module knows librdkafka.
pub type PropertyCheck = fn(&str, &str) -> Result<(), String>;

/// Loads the settings: later files override earlier ones, the environment's `variables` override
/// them all.
pub fn load_from(
    files: &[PathBuf],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    property: PropertyCheck,
) -> Result<Loaded, Problems> {
    let mut layers = vec![layers::defaults()];
    let mut problems = Vec::new();
    for file in files {
        push(layers::file(file), &mut layers, &mut problems);
    }
    let (environment, mut refused) = layers::environment(variables);
    layers.push(environment);
    problems.append(&mut refused);
    push(layers::password_file(&layers), &mut layers, &mut problems);

    let mut reader = Reader::new(&layers);
    let settings = Settings::read(&mut reader);
    problems.append(&mut reader.unknown_keys());
    let Reader { keys, values, problems: mut broken_values, .. } = reader;
    problems.append(&mut broken_values);
    let broken: BTreeSet<_> = problems.iter().filter_map(|it| it.key.clone()).collect();
    problems.append(&mut check::check(&settings, &values, &broken, property));

    if problems.is_empty() {
        Ok(Loaded { settings, keys, values })
    } else {
        Err(Problems(problems))
    }
}

fn push(layer: Result<Layer, Problem>, layers: &mut Vec<Layer>, problems: &mut Vec<Problem>) {
    match layer {
        Ok(layer) => layers.push(layer),
        Err(problem) => problems.push(problem),
    }
}

impl Loaded {
    /// Where the value of a key comes from: a file, an environment variable, or `default`.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.origin.as_str())
    }

    /// The settings as TOML, in the order of `config/default.toml`: every key with its value and,
    /// as a comment, its origin. Secrets are hidden.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut last_table = "";
        for (key, expects) in &self.keys {
            let has_properties = matches!(expects, Type::Properties);
            let table =
                if has_properties { key } else { key.rsplit_once('.').unwrap_or_default().0 };
            if table != last_table {
                let gap = if last_table.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{table}]");
                last_table = table;
            }
            for (full_name, Effective { shown, origin }) in &self.values {
                let _ = match below(full_name, table) {
                    Some(property) if has_properties => {
                        writeln!(text, "{property:?} = {shown} # {origin}")
                    }
                    Some(name) if full_name == key => writeln!(text, "{name} = {shown} # {origin}"),
                    _ => Ok(()),
                };
            }
        }
        text
    }
}
