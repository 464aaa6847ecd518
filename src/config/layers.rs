//! Where values come from: the built-in defaults, files, the environment. Each becomes a layer of known keys.
//!
//! The `config` crate reads the files and merges the layers. Its own sources take any key and any path; here an unknown key is a
//! problem with its origin and the nearest known name, and the names of librdkafka's properties keep their dots.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::Problem;

/// `config/default.toml`, which is also the list of known keys.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The origin of a value that nobody set.
pub(super) const DEFAULT: &str = "default";

/// How the names of this program's variables begin. Two underscores: Kubernetes makes variables of its own for a service
/// named `nik-stream`, `NIK_STREAM_PORT` and the like.
const PREFIX: &str = "NIK_STREAM__";

/// The keys of one origin with their values; each value knows its origin. A key of an open table ends with a property's name.
pub(super) type Layer = BTreeMap<String, Value>;

/// Which keys there are.
pub(super) struct Keys {
    /// Those of one value.
    single: BTreeSet<String>,
    /// Tables that take any name, such as librdkafka's properties: those that stand empty among the defaults.
    open: BTreeSet<String>,
}

impl Keys {
    fn new(defaults: &[(String, Value)]) -> Self {
        let (open, single): (Vec<_>, Vec<_>) =
            defaults.iter().partition(|(_, value)| matches!(value.kind, ValueKind::Table(_)));
        let names = |entries: Vec<&(String, Value)>| {
            entries.into_iter().map(|(key, _)| key.clone()).collect()
        };
        Self { single: names(single), open: names(open) }
    }

    /// The open table that a key belongs into, and the rest of the key.
    pub(super) fn in_open<'k>(&self, key: &'k str) -> Option<(&str, &'k str)> {
        self.open.iter().find_map(|table| {
            let property = key.strip_prefix(table.as_str())?.strip_prefix('.')?;
            Some((table.as_str(), property))
        })
    }

    /// The open tables.
    pub(super) fn open(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(String::as_str)
    }

    fn is_table(&self, key: &str) -> bool {
        let begins = |known: &String| {
            known.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.open.iter().any(begins)
            || (self.single.iter().any(begins) && !self.single.contains(key))
    }

    /// The known key nearest to one that is unknown, by all of its text or, as for one in the wrong table, by its last part.
    fn nearest(&self, key: &str) -> Option<&str> {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        self.single
            .iter()
            .chain(&self.open)
            .map(|known| {
                let whole = strsim::normalized_damerau_levenshtein(known, key);
                let part = strsim::normalized_damerau_levenshtein(&last(known), &last(key));
                (known.as_str(), whole.max(part * 0.9))
            })
            .filter(|(_, likeness)| *likeness > 0.6)
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(known, _)| known)
    }

    /// Sorts what an origin says into values of known keys and problems.
    fn admit(&self, entries: impl IntoIterator<Item = (String, Value)>) -> (Layer, Vec<Problem>) {
        let mut layer = Layer::new();
        let mut problems = Vec::new();
        for (key, value) in entries {
            match self.admit_one(&key, &value.kind) {
                Ok(None) => {}
                Ok(Some(kind)) => {
                    let origin = value.origin().map(str::to_owned);
                    layer.insert(key, Value::new(origin.as_ref(), kind));
                }
                Err(text) => problems.push(Problem {
                    origin: value.origin().unwrap_or_default().to_owned(),
                    key: Some(key),
                    text,
                }),
            }
        }
        (layer, problems)
    }

    /// The value to keep for a key, none for an empty table; or what is wrong.
    fn admit_one(&self, key: &str, kind: &ValueKind) -> Result<Option<ValueKind>, String> {
        let is_table = matches!(kind, ValueKind::Table(_));
        if self.single.contains(key) {
            return match kind {
                ValueKind::Table(_) | ValueKind::Array(_) => Err("expected one value".to_owned()),
                one => Ok(Some(one.clone())),
            };
        }
        if self.is_table(key) {
            return if is_table {
                Ok(None)
            } else {
                Err("expected a table of settings".to_owned())
            };
        }
        if self.in_open(key).is_some() {
            return match kind {
                ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => {
                    Err("expected a text, a number or a switch".to_owned())
                }
                // librdkafka reads every property from text.
                one => Ok(Some(one.to_string().into())),
            };
        }
        Err(match self.nearest(key) {
            Some(known) => format!("unknown key, the nearest known one is {known}"),
            None => "unknown key".to_owned(),
        })
    }
}

/// The layer of the built-in defaults, and the keys that it defines.
pub(super) fn defaults() -> (Keys, Layer) {
    let table = parse(DEFAULTS).expect("the built-in defaults are TOML, as a test shows");
    let entries = flatten(&table, DEFAULT);
    let keys = Keys::new(&entries);
    let (layer, problems) = keys.admit(entries);
    debug_assert!(problems.is_empty());
    (keys, layer)
}

/// The layer of a file.
pub(super) fn file(keys: &Keys, path: &Path) -> (Layer, Vec<Problem>) {
    let origin = path.display().to_string();
    let table = fs::read_to_string(path)
        .map_err(|error| format!("cannot be read: {error}"))
        .and_then(|text| parse(&text));
    match table {
        Ok(table) => keys.admit(flatten(&table, &origin)),
        Err(text) => {
            let key = None;
            (Layer::new(), vec![Problem { origin, key, text }])
        }
    }
}

/// The layer of the environment.
pub(super) fn environment(
    keys: &Keys,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Layer, Vec<Problem>) {
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let mut key = path.to_lowercase().replace("__", ".");
        if let Some((table, property)) = keys.in_open(&key) {
            key = format!("{table}.{}", property.replace('_', "."));
        }
        match value.into_string() {
            Ok(value) => entries.push((key, Value::new(Some(&name), value))),
            Err(_) => problems.push(Problem {
                origin: name,
                key: Some(key),
                text: "expected UTF-8".to_owned(),
            }),
        }
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (layer, refused) = keys.admit(entries);
    problems.extend(refused);
    (layer, problems)
}

/// What a text in TOML says, or what is wrong with it.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    File::from_str(text, FileFormat::Toml).collect().map_err(|error| match error {
        ConfigError::FileParse { cause, .. } => without_quotation(&cause.to_string()),
        other => other.to_string(),
    })
}

/// The parser quotes the line that it cannot read, which may be that of a password: only the place and the reason remain.
fn without_quotation(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let quoted = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        !quoted.trim_start().starts_with('|')
    });
    lines.collect::<Vec<_>>().join(": ")
}

/// Every value of a table with its key, and every empty table, sorted by key.
fn flatten(table: &Map<String, Value>, origin: &str) -> Vec<(String, Value)> {
    let origin = origin.to_owned();
    let mut entries: Vec<_> = table
        .iter()
        .flat_map(|(key, value)| -> Vec<(String, Value)> {
            match &value.kind {
                ValueKind::Table(inner) if !inner.is_empty() => flatten(inner, &origin)
                    .into_iter()
                    .map(|(rest, value)| (format!("{key}.{rest}"), value))
                    .collect(),
                kind => vec![(key.clone(), Value::new(Some(&origin), kind.clone()))],
            }
        })
        .collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
}
