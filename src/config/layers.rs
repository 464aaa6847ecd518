//! Where values come from: the built-in defaults, files, the environment, the password file. Each
//! is a layer: a flat map of keys.
//!
//! The `config` crate parses the files. Its own sources for files and the environment accept any
//! key; here an unknown key is reported with its origin, and librdkafka's properties keep their
//! dots.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::{Problem, without_line_break};

/// The origin of a value that is not set anywhere else.
pub(super) const DEFAULT: &str = "default";

/// Two underscores: Kubernetes creates variables such as `NIK_STREAM_PORT` for a service named
/// `nik-stream`.
const PREFIX: &str = "NIK_STREAM__";

/// Tables of librdkafka's properties, whose names contain dots.
const PROPERTY_TABLES: [&str; 3] = ["kafka.librdkafka", "kafka.consumer", "kafka.producer"];

/// Values with their origins by key, such as `kafka.group_id`. An empty table is a value as well.
pub(super) type Layer = BTreeMap<String, Value>;

/// The part of `key` below `table`.
pub(super) fn below<'k>(key: &'k str, table: &str) -> Option<&'k str> {
    key.strip_prefix(table)?.strip_prefix('.')
}

/// The defaults, with a comment above each key.
pub(super) const DEFAULT_FILE: &str = include_str!("../../config/default.toml");

pub(super) fn defaults() -> Layer {
    parse(DEFAULT_FILE, DEFAULT).expect("a test loads the built-in defaults")
}

pub(super) fn file(path: &Path, problems: &mut Vec<Problem>) -> Layer {
    let origin = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
    text.and_then(|text| parse(&text, &origin)).unwrap_or_else(|text| {
        problems.push(Problem { origin, key: None, text });
        Layer::new()
    })
}

pub(super) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::new();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let mut key = path.to_lowercase().replace("__", ".");
        for table in PROPERTY_TABLES {
            if let Some(property) = below(&key, table) {
                key = format!("{table}.{}", property.replace('_', "."));
            }
        }
        if let Ok(value) = value.into_string() {
            layer.insert(key, Value::new(Some(&name), value));
        } else {
            let text = "expected UTF-8".to_owned();
            problems.push(Problem { origin: name, key: Some(key), text });
        }
    }
    layer
}

/// The variables that OpenTelemetry defines for any program. Files and this program's own variables
/// override them.
pub(super) fn open_telemetry(variables: &[(OsString, OsString)]) -> Layer {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let value = variables.iter().find(|(name, _)| name == NAME);
    let value = value.map(|(_, value)| value.to_string_lossy().into_owned());
    let layer =
        value.map(|text| ("traces.endpoint".to_owned(), Value::new(Some(&NAME.to_owned()), text)));
    layer.into_iter().collect()
}

/// The password in `kafka.security.password_file`, if the layers set that. A line break at the end
/// of the file is not part of the password.
pub(super) fn password_file(layers: &[Layer], problems: &mut Vec<Problem>) -> Layer {
    const FILE: &str = "kafka.security.password_file";
    const PASSWORD: &str = "kafka.security.password";
    let set = |key| {
        let value = layers.iter().rev().find_map(|layer| layer.get(key))?;
        match &value.kind {
            ValueKind::String(text) => {
                let text = without_line_break(text);
                (!text.is_empty()).then_some((text, value))
            }
            _ => None,
        }
    };
    let Some((path, value)) = set(FILE) else {
        return Layer::new();
    };
    let text = fs::read_to_string(path);
    let problem = match text.as_ref().map(|text| without_line_break(text)) {
        Err(error) => format!("{path} cannot be read: {error}"),
        Ok(_) if set(PASSWORD).is_some() => {
            "expected either a password or a password_file, found both".to_owned()
        }
        Ok("") => format!("{path} is empty"),
        Ok(password) => {
            return Layer::from([(
                PASSWORD.to_owned(),
                Value::new(Some(&path.to_owned()), password),
            )]);
        }
    };
    problems.push(Problem::new(FILE, value, problem));
    Layer::new()
}

/// The keys of a text in TOML, or what is wrong with it.
fn parse(text: &str, origin: &str) -> Result<Layer, String> {
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| match error {
        ConfigError::FileParse { cause, .. } => without_quotation(&cause.to_string()),
        other => other.to_string(),
    })?;
    let mut layer = Layer::new();
    flatten(table, "", &origin.to_owned(), &mut layer);
    Ok(layer)
}

/// Removes the lines that the parser quotes, which may hold a password: the position and the reason
/// remain.
fn without_quotation(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let quoted = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        !quoted.trim_start().starts_with('|')
    });
    lines.collect::<Vec<_>>().join(": ")
}

fn flatten(table: Map<String, Value>, prefix: &str, origin: &String, layer: &mut Layer) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => {
                flatten(inner, &format!("{key}."), origin, layer);
            }
            kind => {
                layer.insert(key, Value::new(Some(origin), kind));
            }
        }
    }
}
