//! A JSON Schema of the settings, for editors: from the same table of keys and types that reads
//! them, with the defaults and comments of `config/default.toml`.

use std::collections::BTreeMap;

use config::ValueKind;
use serde_json::{Map, Value, json};

use super::reader::Reader;
use super::rule::Type;
use super::{Settings, layers};

/// The schema of a settings file, in draft 7, which editors support for TOML.
pub fn schema() -> Value {
    let defaults = [layers::defaults()];
    let mut reader = Reader::new(&defaults);
    let _ = Settings::read(&mut reader);
    let comments = comments(layers::DEFAULT_FILE);
    let mut root = table();
    for (key, expects) in &reader.keys {
        let mut property = property(expects);
        let default = defaults[0].get(*key).and_then(|value| json_of(&value.kind));
        let description = comments.get(*key).map(|text| json!(text));
        for (name, value) in [("default", default), ("description", description)] {
            if let Some(value) = value {
                property.insert(name.to_owned(), value);
            }
        }
        insert(&mut root, key, Value::Object(property));
    }
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("Settings of nik-stream"));
    Value::Object(root)
}

/// A table in which every key is known.
fn table() -> Map<String, Value> {
    let table = [
        ("type", json!("object")),
        ("additionalProperties", json!(false)),
        ("properties", json!({})),
    ];
    table.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Puts `property` at `key`, whose parts but the last are tables.
fn insert(table_of_key: &mut Map<String, Value>, key: &str, property: Value) {
    let Some(Value::Object(properties)) = table_of_key.get_mut("properties") else {
        return;
    };
    match key.split_once('.') {
        None => {
            properties.insert(key.to_owned(), property);
        }
        Some((name, rest)) => {
            let inner = properties.entry(name).or_insert_with(|| Value::Object(table()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, property);
            }
        }
    }
}

fn property(expects: &Type) -> Map<String, Value> {
    let property = match expects {
        Type::Integer(range) => {
            json!({"type": "integer", "minimum": range.start(), "maximum": range.end()})
        }
        Type::Ratio => json!({"type": "number", "minimum": 0, "maximum": 1}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Text | Type::Form(_) => json!({"type": "string", "minLength": 1}),
        Type::OptionalText => json!({"type": "string"}),
        Type::Secret => json!({"type": "string", "writeOnly": true}),
        // The program accepts the names in any case; an editor offers them as they are documented.
        Type::OneOf(names) => json!({"enum": names}),
        // A dotted name without quotes is a table.
        Type::Properties => json!({
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "object"]},
        }),
    };
    match property {
        Value::Object(property) => property,
        _ => Map::new(),
    }
}

fn json_of(value: &ValueKind) -> Option<Value> {
    match value {
        ValueKind::Boolean(value) => Some(json!(value)),
        ValueKind::I64(value) => Some(json!(value)),
        ValueKind::Float(value) => Some(json!(value)),
        ValueKind::String(value) => Some(json!(value)),
        _ => None,
    }
}

/// The comment of each key and table. A comment is about all keys below it, up to an empty line.
fn comments(file: &str) -> BTreeMap<String, String> {
    let (mut comments, mut table, mut comment) = (BTreeMap::new(), "", Vec::new());
    let mut in_comment = false;
    for line in file.lines() {
        if let Some(text) = line.strip_prefix('#') {
            if !in_comment {
                comment.clear();
            }
            comment.push(text.trim());
            in_comment = true;
            continue;
        }
        in_comment = false;
        let key = match (line.strip_prefix('['), line.split_once(" = ")) {
            (Some(name), _) => {
                table = name.trim_end_matches(']');
                Some(table.to_owned())
            }
            (None, Some((name, _))) => Some(format!("{table}.{name}")),
            (None, None) => None,
        };
        match key {
            Some(key) if !comment.is_empty() => {
                comments.insert(key, comment.join(" "));
            }
            _ => comment.clear(),
        }
        if line.starts_with('[') {
            comment.clear();
        }
    }
    comments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_describes_the_keys_directly_below_it() {
        let file = "# The file.\n\n[a]\n# One\n# and more.\nb = 1\nc = 2\n# Two.\nd = 3\n\ne = 4\n# Three.\n[a.f]\ng = 5\n";
        let found: Vec<_> = comments(file).into_iter().collect();
        let expected = [
            ("a.b", "One and more."),
            ("a.c", "One and more."),
            ("a.d", "Two."),
            ("a.f", "Three."),
        ];
        assert_eq!(found, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
    }
}
