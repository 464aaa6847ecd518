//! The topics, and how their records are framed: schema ids and headers.

use serde::Serialize;

use super::reader::Reader;
use super::rule::{Choice, choice, optional, text, whole};
use nik_wire::Framing;

/// A registry gives ids from 1 on, which are Java's `int`; 0 means that no id is written.
const SCHEMA_IDS: std::ops::RangeInclusive<i64> = 0..=i32::MAX as i64;

#[derive(Clone, Debug, Serialize)]
pub struct Topics {
    pub requests: String,
    pub results: String,
    pub failures: String,
    /// The ledger of positions, if it is kept.
    pub positions: Option<String>,
    pub reply_allowed: Option<String>,
    #[serde(skip)]
    pub drop_headers: Option<String>,
    #[serde(skip)]
    pub framing: RequestFraming,
    #[serde(skip)]
    pub results_schema_id: u32,
    #[serde(skip)]
    pub failures_schema_id: u32,
}

/// Whether requests have a schema id in front of their JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestFraming {
    /// Every byte is JSON.
    Plain,
    /// A request that begins with the byte 0 has one.
    Either,
}

impl Choice for RequestFraming {
    const NAMES: &'static [(&'static str, Self)] =
        &[("plain", Self::Plain), ("either", Self::Either)];
}

impl Topics {
    pub(super) fn read(keys: &mut Reader) -> Self {
        Self {
            requests: keys.read("topics.requests", text()),
            results: keys.read("topics.results", text()),
            failures: keys.read("topics.failures", text()),
            positions: keys.read("topics.positions", optional()),
            reply_allowed: keys.read("topics.reply_allowed", optional()),
            drop_headers: keys.read("topics.drop_headers", optional()),
            framing: keys.read("topics.framing", choice()),
            results_schema_id: keys.read("topics.results_schema_id", whole(SCHEMA_IDS)),
            failures_schema_id: keys.read("topics.failures_schema_id", whole(SCHEMA_IDS)),
        }
    }

    /// Which requests and outcomes have a schema id.
    pub fn framing(&self) -> Framing {
        Framing {
            requests: self.framing == RequestFraming::Either,
            results: self.results_schema_id,
            failures: self.failures_schema_id,
        }
    }

    /// The topics that a request may name for its result.
    pub fn replies(&self) -> impl Iterator<Item = &str> {
        separated(self.reply_allowed.as_ref())
    }

    /// The headers of a request that its outcome does not get.
    pub fn dropped_headers(&self) -> DroppedHeaders {
        let names = separated(self.drop_headers.as_ref());
        let names = names.map(|name| match name.strip_suffix('*') {
            Some(prefix) => (prefix.as_bytes().into(), true),
            None => (name.as_bytes().into(), false),
        });
        DroppedHeaders(names.collect())
    }
}

/// The parts of a text with commas between.
pub(super) fn separated(text: Option<&String>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split(',').map(str::trim))
}

/// Names of headers, and beginnings of names (true).
#[derive(Clone, Debug, Default)]
pub struct DroppedHeaders(Box<[(Box<[u8]>, bool)]>);

impl DroppedHeaders {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|(dropped, is_prefix)| match is_prefix {
            true => name.starts_with(dropped),
            false => name == &**dropped,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_from;

    #[test]
    fn a_dropped_header_has_exactly_a_name_of_the_list_or_begins_with_one_that_ends_with_a_star() {
        let variable = ("NIK_STREAM__TOPICS__DROP_HEADERS".into(), "__TypeId__, ce_*,x".into());
        let loaded = load_from(&[], [variable], |_, _| Ok(())).unwrap();
        let dropped = loaded.settings.topics.dropped_headers();
        for name in ["__TypeId__", "ce_", "ce_id", "x"] {
            assert!(dropped.contains(name.as_bytes()), "{name}");
        }
        for name in ["__typeid__", "__TypeId__2", "CE_id", "ce", "xy", "", "a x"] {
            assert!(!dropped.contains(name.as_bytes()), "{name}");
        }
        assert!(dropped.contains(b"ce_\xff"), "names are bytes");
        let none = load_from(&[], [], |_, _| Ok(())).unwrap().settings.topics.dropped_headers();
        assert!(none.is_empty() && !none.contains(b""));
    }
}
