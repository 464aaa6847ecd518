//! What the value of a key may be, and how it is read.
//!
//! Unlike the conversions of the `config` crate, where 2.7 becomes 3 and true becomes 1, these
//! accept a value only if it is written as its type; an environment variable is always text, so a
//! number or a switch may be text as well. No message quotes a value: it may be a secret.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use config::{Value, ValueKind};

use super::secret::{HIDDEN, Secret, without_line_break};

/// The type of a key's value, as data: messages and `config show` derive from it.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Integer(RangeInclusive<i64>),
    /// A number from 0 to 1.
    Ratio,
    Boolean,
    /// Text that is not empty.
    Text,
    /// Text in the form that is described here.
    Form(&'static str),
    /// Text; empty means not set.
    OptionalText,
    /// Optional text that is never shown.
    Secret,
    /// One of these names, in any case.
    OneOf(Vec<&'static str>),
    /// A table of librdkafka's properties, of any name.
    Properties,
}

impl Type {
    /// The value, normalized for the conversions; `None` if this type does not allow it.
    pub fn normalize(&self, given: &ValueKind) -> Option<ValueKind> {
        use ValueKind::{Boolean, Float, I64, String as Text};
        match (self, given) {
            // `echo`, editors and mounted secrets add a line break that is not part of the value.
            (_, Text(text)) if text.ends_with(['\r', '\n']) => {
                self.normalize(&Text(without_line_break(text).to_owned()))
            }
            (Self::Integer(range), I64(number)) => range.contains(number).then(|| given.clone()),
            (Self::Integer(_), Text(text)) => self.normalize(&I64(text.parse().ok()?)),
            (Self::Ratio, Float(number)) => (0.0..=1.0).contains(number).then(|| given.clone()),
            (Self::Ratio, I64(_)) => self.normalize(&Text(given.to_string())),
            (Self::Ratio, Text(text)) => self.normalize(&Float(text.parse().ok()?)),
            (Self::Boolean, Boolean(_)) | (Self::OptionalText | Self::Secret, Text(_)) => {
                Some(given.clone())
            }
            (Self::Boolean, Text(text)) => Some(Boolean(text.parse().ok()?)),
            (Self::Text | Self::Form(_), Text(text)) => (!text.is_empty()).then(|| given.clone()),
            (Self::OneOf(names), Text(text)) => {
                let name = names.iter().find(|name| name.eq_ignore_ascii_case(text))?;
                Some(Text((*name).to_owned()))
            }
            // librdkafka reads every property from text.
            (Self::Properties, Text(_) | Boolean(_) | I64(_) | Float(_)) => {
                Some(Text(given.to_string()))
            }
            _ => None,
        }
    }

    /// A normalized value as TOML, for people to read.
    pub fn show(&self, value: &ValueKind) -> String {
        match value {
            ValueKind::String(text) => {
                let hide = matches!(self, Self::Secret) && !text.is_empty();
                // JSON's escapes are TOML's as well.
                serde_json::Value::from(if hide { HIDDEN } else { text }).to_string()
            }
            number_or_boolean => number_or_boolean.to_string(),
        }
    }
}

/// Completes a sentence that begins with "expected".
impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(range) => {
                write!(formatter, "a whole number from {} to {}", range.start(), range.end())
            }
            Self::Ratio => formatter.write_str("a number from 0 to 1"),
            Self::Boolean => formatter.write_str("true or false"),
            Self::Text => formatter.write_str("text in quotes, not empty"),
            Self::Form(description) => formatter.write_str(description),
            Self::OptionalText | Self::Secret => formatter.write_str("text in quotes"),
            Self::OneOf(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
                formatter.write_str(&names.join(" or "))
            }
            Self::Properties => formatter.write_str("text, a number, true or false"),
        }
    }
}

/// A type, and the conversion of its normalized values.
pub(super) struct Rule<T> {
    pub expects: Type,
    convert: fn(Value) -> Option<T>,
}

impl<T> Rule<T> {
    /// The value, and how to show it; `None` if the type does not allow it.
    pub fn read(&self, given: &ValueKind) -> Option<(T, String)> {
        let value = self.expects.normalize(given)?;
        let shown = self.expects.show(&value);
        Some(((self.convert)(value.into())?, shown))
    }
}

pub(super) fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> Rule<T> {
    let convert = |value: Value| T::try_from(value.into_int().ok()?).ok();
    Rule { expects: Type::Integer(range), convert }
}

pub(super) fn ratio() -> Rule<f64> {
    Rule { expects: Type::Ratio, convert: |value| value.into_float().ok() }
}

pub(super) fn switch() -> Rule<bool> {
    Rule { expects: Type::Boolean, convert: |value| value.into_bool().ok() }
}

pub(super) fn text() -> Rule<String> {
    Rule { expects: Type::Text, convert: |value| value.into_string().ok() }
}

pub(super) fn optional<T: From<String>>() -> Rule<Option<T>> {
    let convert = |value: Value| {
        let text = value.into_string().ok()?;
        Some((!text.is_empty()).then(|| text.into()))
    };
    Rule { expects: Type::OptionalText, convert }
}

pub(super) fn secret() -> Rule<Option<Secret>> {
    Rule { expects: Type::Secret, ..optional() }
}

pub(super) fn parsed<T: FromStr>(description: &'static str) -> Rule<T> {
    let convert = |value: Value| value.into_string().ok()?.parse().ok();
    Rule { expects: Type::Form(description), convert }
}

pub(super) fn choice<T: Choice>() -> Rule<T> {
    let convert = |value: Value| {
        let text = value.into_string().ok()?;
        T::NAMES.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice)
    };
    Rule { expects: Type::OneOf(T::NAMES.iter().map(|(name, _)| *name).collect()), convert }
}

/// A closed set of values with names.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const NAMES: &'static [(&'static str, Self)];

    fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, value)| *value == self);
        named.map_or("", |(name, _)| name)
    }
}
