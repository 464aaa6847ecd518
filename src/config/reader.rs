//! Reads each key from the layers and keeps all problems.

use std::collections::BTreeMap;

use config::ValueKind;

use super::layers::{Layer, below};
use super::rule::{Rule, Type};
use super::secret::is_secret;
use super::{Problem, Properties};

/// A value in force.
#[derive(Clone, Debug)]
pub(super) struct Effective {
    /// As TOML; a secret is hidden.
    pub shown: String,
    pub origin: String,
}

/// Reads keys. Those that it was asked for are the known ones.
pub(super) struct Reader<'a> {
    layers: &'a [Layer],
    /// The known keys in the order of reading, which is that of `config/default.toml`.
    pub keys: Vec<(&'static str, Type)>,
    /// By key; a property of librdkafka is one of its own.
    pub values: BTreeMap<String, Effective>,
    pub problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub fn new(layers: &'a [Layer]) -> Self {
        Self { layers, keys: Vec::new(), values: BTreeMap::new(), problems: Vec::new() }
    }

    /// The value of `key` in the topmost layer where it is valid. The values that are not are
    /// problems; the lowest layer, the defaults, holds a valid one.
    pub fn read<T>(&mut self, key: &'static str, rule: Rule<T>) -> T {
        let mut found = None;
        for value in self.layers.iter().rev().filter_map(|layer| layer.get(key)) {
            if let Some((read, shown)) = rule.read(&value.kind) {
                let origin = value.origin().unwrap_or_default().to_owned();
                self.values.insert(key.to_owned(), Effective { shown, origin });
                found = Some(read);
                break;
            }
            self.problems.push(Problem::new(key, value, format!("expected {}", rule.expects)));
        }
        self.keys.push((key, rule.expects));
        found.expect("config/default.toml has a valid value for each key")
    }

    /// The properties of librdkafka in `table`, of all layers.
    pub fn properties(&mut self, table: &'static str) -> Properties {
        let mut properties = Properties::default();
        for (key, value) in self.layers.iter().flatten() {
            let Some(name) = below(key, table) else {
                continue;
            };
            let Some(text) = Type::Properties.normalize(&value.kind) else {
                let text = format!("expected {}", Type::Properties);
                self.problems.push(Problem::new(key, value, text));
                continue;
            };
            let shown_as = if is_secret(name) { Type::Secret } else { Type::OptionalText };
            let shown = shown_as.show(&text);
            let origin = value.origin().unwrap_or_default().to_owned();
            self.values.insert(key.clone(), Effective { shown, origin });
            properties.insert(name, text.to_string());
        }
        self.keys.push((table, Type::Properties));
        properties
    }

    /// A problem for each key of the layers that is not known. To be called when all are read.
    pub fn unknown_keys(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (key, value) in self.layers.iter().flatten() {
            let is_known = self.keys.iter().any(|(known, expects)| match expects {
                Type::Properties => below(key, known).is_some(),
                _ => known == key,
            });
            let is_table =
                self.keys.iter().any(|(known, _)| known == key || below(known, key).is_some());
            let text = match (&value.kind, self.nearest(key)) {
                _ if is_known => continue,
                (ValueKind::Table(_), _) if is_table => continue,
                _ if is_table => "expected a table of settings".to_owned(),
                (_, Some(known)) => format!("unknown key, the nearest known key is {known}"),
                (_, None) => "unknown key".to_owned(),
            };
            problems.push(Problem::new(key, value, text));
        }
        problems
    }

    /// The known key most similar to `key`: as a whole or, for a key in the wrong table, in its last
    /// part.
    fn nearest(&self, key: &str) -> Option<&str> {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        self.keys
            .iter()
            .map(|(known, _)| {
                let whole = strsim::normalized_damerau_levenshtein(known, key);
                let part = strsim::normalized_damerau_levenshtein(&last(known), &last(key));
                (*known, whole.max(part * 0.9))
            })
            .filter(|(_, similarity)| *similarity > 0.6)
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(known, _)| known)
    }
}
