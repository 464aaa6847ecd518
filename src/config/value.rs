//! How single values are read: strictly, and with errors that say what was expected.
//!
//! The `config` crate is lenient (2.7 is 3, true is 1, 1.10 is the text "1.1"); here a value is what it was written as, except
//! that a number or a switch may be text, as every environment variable is. No error quotes a text, which may be a secret.

use std::fmt;
use std::net::SocketAddr;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serializer};

/// A value as it was written.
enum Scalar {
    Switch(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Switch(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Whole(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Fraction(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) fn whole<'de, const MIN: i64, const MAX: i64, T, D>(
    deserializer: D,
) -> Result<T, D::Error>
where
    T: TryFrom<i64>,
    D: Deserializer<'de>,
{
    let number = match Scalar::deserialize(deserializer)? {
        Scalar::Whole(number) => Some(number),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Switch(_) | Scalar::Fraction(_) => None,
    };
    number
        .filter(|number| (MIN..=MAX).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Error::custom(format!("expected a whole number from {MIN} to {MAX}")))
}

/// A number from 0 to 1.
pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Fraction(number) => Some(number),
        Scalar::Whole(0) => Some(0.0),
        Scalar::Whole(1) => Some(1.0),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Switch(_) | Scalar::Whole(_) => None,
    }
    .filter(|number| (0.0..=1.0).contains(number))
    .ok_or_else(|| Error::custom("expected a number from 0 to 1"))
}

/// `true` or `false`.
pub(super) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Switch(on) => Some(on),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Whole(_) | Scalar::Fraction(_) => None,
    }
    .ok_or_else(|| Error::custom("expected true or false"))
}

/// Text, at least one character.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    optional(deserializer)?.ok_or_else(|| Error::custom("expected text, found none"))
}

/// Text; none if it is empty.
pub(super) fn optional<'de, T: From<String>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => Ok(Some(text.into())),
        Scalar::Switch(_) | Scalar::Whole(_) | Scalar::Fraction(_) => {
            Err(Error::custom("expected text, in quotes"))
        }
    }
}

/// An IP address and a port.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    text(deserializer)?.parse().map_err(|_| {
        Error::custom("expected an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464")
    })
}

/// The values of a closed set by their names in the settings.
pub(super) trait Named: Copy + PartialEq + 'static {
    /// Each value and its name.
    const NAMES: &'static [(&'static str, Self)];
}

/// The name of a value.
pub(super) fn name_of<T: Named>(value: T) -> &'static str {
    let name = T::NAMES.iter().find(|(_, other)| *other == value);
    name.map_or("", |(name, _)| name)
}

/// Gives the variants of an enum their names in the settings.
macro_rules! names {
    ($kind:ident { $($variant:ident: $name:literal),+ }) => {
        impl $crate::config::value::Named for $kind {
            const NAMES: &'static [(&'static str, Self)] = &[$(($name, Self::$variant)),+];
        }
    };
}
pub(super) use names;

/// One of a closed set, in any case of letters.
pub(super) mod choice {
    use super::{Deserializer, Error, Named, Serializer, name_of, optional};

    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text: String = optional(deserializer)?.unwrap_or_default();
        T::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&text))
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let names: Vec<_> = T::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
                Error::custom(format!("expected {}", names.join(" or ")))
            })
    }

    pub fn serialize<T: Named, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(*value))
    }
}

/// `record`, `now` or a day.
pub(super) mod reference_date {
    use super::super::ReferenceDate;
    use super::{Deserializer, Error, Serializer, text};
    use nik::Date;

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ReferenceDate, D::Error> {
        match text(deserializer)?.as_str() {
            "record" => Ok(ReferenceDate::Record),
            "now" => Ok(ReferenceDate::Now),
            day => Date::parse(day).map(ReferenceDate::Date).map_err(|_| {
                Error::custom("expected \"record\" or \"now\" or a day, written YYYY-MM-DD")
            }),
        }
    }

    // By reference, as serde calls it.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    pub fn serialize<S: Serializer>(
        value: &ReferenceDate,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            ReferenceDate::Record => serializer.serialize_str("record"),
            ReferenceDate::Now => serializer.serialize_str("now"),
            ReferenceDate::Date(day) => serializer.collect_str(day),
        }
    }
}
