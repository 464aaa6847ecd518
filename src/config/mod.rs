//! The settings: a typed tree, where its values come from, and what is wrong with them, all at once.
//!
//! `config/default.toml` is the list of known keys; each has a field of the same name here, with its type and its range.
//! [`load_from`] layers the files and the environment over it. Rules that concern several settings are in `check`.

mod check;
mod kafka;
mod layers;
mod load;
mod problem;
mod secret;
mod show;
mod value;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use kafka::{GroupProtocol, Kafka, SaslMechanism, Security, SecurityProtocol};
pub use load::{Loaded, PropertyCheck, load_from};
pub use problem::{Problem, Problems};
pub use secret::{Properties, Secret};

use crate::pipeline::breaker;
use crate::telemetry::logging::Format;
use nik::Date;
use nik::region::RetiredCodes;
use nik_wire::Absent;
use nik_wire::process;
use value::{choice, names, optional, reference_date, share, text, whole};

/// Every setting.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Settings {
    pub kafka: Kafka,
    pub topics: Topics,
    pub delivery: Delivery,
    pub rules: Rules,
    pub limits: Limits,
    pub http: Http,
    pub log: Log,
}

/// The three topics.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Topics {
    #[serde(deserialize_with = "text")]
    pub requests: String,
    #[serde(deserialize_with = "text")]
    pub results: String,
    #[serde(deserialize_with = "text")]
    pub failures: String,
    #[serde(deserialize_with = "optional")]
    pub reply_allowed: Option<String>,
}

impl Topics {
    /// The topics that a request may name for its result.
    pub fn replies(&self) -> impl Iterator<Item = &str> {
        let names = self.reply_allowed.iter();
        names.flat_map(|names| names.split(',').map(str::trim))
    }
}

/// When outcomes count as delivered, and when a worker stops rather than deliver more failures.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Delivery {
    #[serde(with = "choice")]
    pub guarantee: Guarantee,
    #[serde(deserialize_with = "whole::<1, 10_000, _, _>")]
    pub commit_interval_ms: u64,
    #[serde(deserialize_with = "whole::<0, 10_000, _, _>")]
    pub commit_min_interval_ms: u64,
    #[serde(deserialize_with = "whole::<1, 10_000_000, _, _>")]
    pub commit_records: usize,
    #[serde(deserialize_with = "whole::<1_024, 1_073_741_824, _, _>")]
    pub commit_bytes: usize,
    #[serde(deserialize_with = "share")]
    pub max_failure_ratio: f64,
    #[serde(deserialize_with = "whole::<10, 1_000_000, _, _>")]
    pub failure_window: usize,
    #[serde(deserialize_with = "whole::<1_000, 86_400_000, _, _>")]
    pub failure_cool_down_ms: u64,
}

impl Delivery {
    /// When the flood breaker opens.
    pub fn breaker(&self) -> breaker::Policy {
        breaker::Policy {
            ratio: self.max_failure_ratio,
            window: self.failure_window,
            cool_down: Duration::from_millis(self.failure_cool_down_ms),
        }
    }
}

/// What happens to outcomes and offsets at a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarantee {
    /// Both in one transaction.
    ExactlyOnce,
    /// Offsets follow their outcomes.
    AtLeastOnce,
}

names!(Guarantee { ExactlyOnce: "exactly_once", AtLeastOnce: "at_least_once" });

impl Guarantee {
    /// The name that the settings give it.
    pub fn as_str(self) -> &'static str {
        value::name_of(self)
    }
}

/// How a NIK is judged and written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Rules {
    #[serde(deserialize_with = "whole::<0, 150, _, _>")]
    pub min_age: u8,
    #[serde(with = "choice")]
    pub absent: Absent,
    #[serde(with = "reference_date")]
    pub reference_date: ReferenceDate,
    #[serde(with = "choice")]
    pub retired_codes: RetiredCodes,
}

names!(Absent { Text: "text", Null: "null" });
names!(RetiredCodes { All: "all", Confirmed: "confirmed", None: "none" });

/// The day that ages and centuries are counted at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReferenceDate {
    /// That of the record's timestamp.
    Record,
    /// Today.
    Now,
    /// This one.
    Date(Date),
}

impl ReferenceDate {
    /// The day, where it is the same for every request.
    pub fn fixed(self) -> Option<Date> {
        match self {
            Self::Date(day) => Some(day),
            Self::Record | Self::Now => None,
        }
    }
}

/// How large things may be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Limits {
    #[serde(deserialize_with = "whole::<1, 1_000_000, _, _>")]
    pub niks_per_request: usize,
    #[serde(deserialize_with = "whole::<1_024, 268_435_456, _, _>")]
    pub request_bytes: usize,
    #[serde(deserialize_with = "whole::<1_024, 268_435_456, _, _>")]
    pub result_bytes: usize,
}

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Http {
    #[serde(deserialize_with = "value::address")]
    pub listen: SocketAddr,
    #[serde(deserialize_with = "value::switch")]
    pub api: bool,
    #[serde(deserialize_with = "value::switch")]
    pub breaker_resume_from_anywhere: bool,
}

names!(Format { Auto: "auto", Text: "text", Json: "json" });

/// The log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Log {
    #[serde(with = "choice")]
    pub format: Format,
    #[serde(deserialize_with = "text")]
    pub level: String,
}

impl Settings {
    /// What the pipeline needs of them.
    pub fn process(&self) -> process::Settings {
        process::Settings {
            limits: nik_wire::Limits {
                niks_per_request: self.limits.niks_per_request,
                request_bytes: self.limits.request_bytes,
            },
            result_bytes: self.limits.result_bytes,
            min_age: self.rules.min_age,
            absent: self.rules.absent,
        }
    }
}
