//! Reads each key from the layers and keeps all problems.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use config::{Value, ValueKind};

use super::layers::{Layer, below};
use super::rule::{Rule, Type};
use super::secret::{HIDDEN, Secret, is_secret};
use super::{Problem, Properties};

/// A value as `config show` prints it, or an empty table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    table: &'static str,
    pub key: String,
    /// `None`: a table without properties.
    pub value: Option<ShownValue>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShownValue {
    name: String,
    pub text: String,
    /// The value itself if `text` does not show it.
    secret: Option<Secret>,
    origin: String,
}

impl ShownValue {
    /// Whether both are the same value, wherever they are set.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text && self.secret == other.secret
    }
}

/// The values as TOML, each with its origin.
pub(super) fn show(values: &[Shown]) -> String {
    let mut text = String::new();
    let mut last = "";
    for Shown { table, value, .. } in values {
        if last != *table {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{table}]");
            last = table;
        }
        if let Some(ShownValue { name, text: value, origin, .. }) = value {
            let _ = writeln!(text, "{name} = {value} # {origin}");
        }
    }
    text
}

/// Reads keys from layers. The keys that were read are the known ones.
#[derive(Default)]
pub(super) struct Reader<'a> {
    layers: &'a [Layer],
    pub keys: Vec<(&'static str, Type)>,
    /// The origin of each value, by key.
    pub origins: BTreeMap<String, String>,
    pub shown: Vec<Shown>,
    pub problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub fn new(layers: &'a [Layer]) -> Self {
        Self { layers, ..Self::default() }
    }

    /// The value of `key` in the topmost layer that has a valid one; the defaults, the lowest layer,
    /// always do. Each invalid value above it is a problem.
    pub fn read<T>(&mut self, key: &'static str, rule: Rule<T>) -> T {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut found = None;
        for value in self.layers.iter().rev().filter_map(|layer| layer.get(key)) {
            if let Some((read, shown)) = rule.read(&value.kind) {
                self.show(table, key, name, &shown, value);
                found = Some(read);
                break;
            }
            self.problems.push(Problem::new(key, value, format!("expected {}", rule.expects)));
        }
        self.keys.push((key, rule.expects));
        found.expect("config/default.toml has a valid value for each key")
    }

    /// The properties of librdkafka in `table`, merged from all layers.
    pub fn properties(&mut self, table: &'static str) -> Properties {
        self.shown.push(Shown { table, key: table.to_owned(), value: None });
        let mut topmost = BTreeMap::new();
        for (key, value) in
            self.layers.iter().flatten().filter(|(key, _)| below(key, table).is_some())
        {
            if let Some(text) = Type::Properties.normalize(&value.kind) {
                topmost.insert(key, (text, value));
            } else {
                let text = format!("expected {}", Type::Properties);
                self.problems.push(Problem::new(key, value, text));
            }
        }
        let mut properties = Properties::default();
        for (key, (text, value)) in topmost {
            let name = below(key, table).unwrap_or_default();
            let shown_as = if is_secret(name) { Type::Secret } else { Type::OptionalText };
            self.show(table, key, &format!("{name:?}"), &shown_as.show(&text), value);
            properties.insert(name, text.to_string());
        }
        self.keys.push((table, Type::Properties));
        properties
    }

    fn show(&mut self, table: &'static str, key: &str, name: &str, shown: &str, value: &Value) {
        let origin = value.origin().unwrap_or_default().to_owned();
        self.origins.insert(key.to_owned(), origin.clone());
        let (name, text) = (name.to_owned(), shown.to_owned());
        let secret = shown.contains(HIDDEN).then(|| Secret::from(value.to_string()));
        let value = Some(ShownValue { name, text, secret, origin });
        self.shown.push(Shown { table, key: key.to_owned(), value });
    }

    /// A problem for each key of the layers that was not read.
    pub fn unknown_keys(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (key, value) in self.layers.iter().flatten() {
            let is_known = self.keys.iter().any(|(known, expects)| match expects {
                Type::Properties => below(key, known).is_some(),
                _ => known == key,
            });
            let is_table =
                self.keys.iter().any(|(known, _)| known == key || below(known, key).is_some());
            if is_known || is_table && matches!(value.kind, ValueKind::Table(_)) {
                continue;
            }
            let text = match self.nearest(key) {
                _ if is_table => "expected a table of settings".to_owned(),
                Some(known) => format!("unknown key, the nearest known key is {known}"),
                None => "unknown key".to_owned(),
            };
            problems.push(Problem::new(key, value, text));
        }
        problems
    }

    /// The known key most similar to `key`, as a whole or in its last part (for a key in the wrong
    /// table).
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
