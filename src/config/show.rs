//! The settings in force, as TOML that says where each value comes from.
//!
//! Written line by line, in the order of `config/default.toml`: the origins are comments, and `toml` writes none; `toml_edit` would
//! first have to be rid of those of the defaults.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Loaded, layers};

impl Loaded {
    /// Every key in the order of `config/default.toml`, with its value and its origin; secrets hidden.
    pub fn show(&self) -> String {
        // Text, numbers and switches always have a form in JSON.
        let settings = serde_json::to_value(&self.settings).unwrap_or_default();
        let (keys, _) = layers::defaults();
        let mut shown = String::new();
        let mut table = "";
        for line in layers::DEFAULTS.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
                let gap = if shown.is_empty() { "" } else { "\n" };
                let _ = writeln!(shown, "{gap}[{name}]");
                table = name;
                for (key, origin) in &self.origins {
                    if let Some((_, property)) =
                        keys.in_open(key).filter(|(open, _)| *open == table)
                    {
                        let text = &value(&settings, table)[property];
                        let _ = writeln!(shown, "{property:?} = {text} # {origin}");
                    }
                }
            } else if let Some((name, _)) =
                line.split_once(" = ").filter(|_| !line.starts_with('#'))
            {
                let key = format!("{table}.{name}");
                let origin = self.origins.get(&key).map_or(layers::DEFAULT, String::as_str);
                // JSON's texts, numbers and switches are TOML's as well.
                let _ = match value(&settings, &key) {
                    Value::Null => writeln!(shown, "{name} = \"\" # {origin}"),
                    value => writeln!(shown, "{name} = {value} # {origin}"),
                };
            }
        }
        shown
    }
}

/// The value of a key, or the table of that name.
fn value<'a>(settings: &'a Value, key: &str) -> &'a Value {
    key.split('.').fold(settings, |value, part| &value[part])
}
