//! The settings: their keys and types, where values come from, and all problems with them at once.
//!
//! Each struct reads its keys, one per line, with the type and range of each; `config/default.toml`
//! holds the defaults and documents every key. [`load_from`] layers files and the environment over
//! them. Rules that concern several keys are in `check`.

mod check;
mod kafka;
mod layers;
mod load;
mod privacy;
mod problem;
mod reader;
mod reload;
mod rule;
mod schema;
mod secret;
mod topics;
mod traces;
mod warnings;

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime};
use sha2::{Digest, Sha256};

pub use kafka::{GroupProtocol, Kafka, Reload, SaslMechanism, Security, SecurityProtocol};
pub use load::{Loaded, PropertyCheck, load_again, load_candidate, load_from};
pub use privacy::{FailureForm, OutcomeForm, Privacy, read_keys};
pub use problem::{Problem, Problems};
pub use schema::schema;
pub use secret::{Properties, Secret, without_line_break};
pub use topics::{DroppedHeaders, Topics};
pub use traces::Traces;

use crate::pipeline::breaker;
use crate::pipeline::judge::Dating;
pub use crate::pipeline::judge::ReferenceDate;
use crate::pipeline::timestamps::{OUTCOME_MAX_AHEAD_MS, TimestampLimits};
use crate::telemetry::logging::Format;
use nik::Date;
use nik::region::{Regions, RetiredCodes};
use nik_wire::Absent;
use nik_wire::process::{self, Processor};
use reader::Reader;
use rule::{Choice, choice, optional, parsed, ratio, switch, text, whole};

#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: Kafka,
    pub topics: Topics,
    pub delivery: Delivery,
    pub rules: Rules,
    pub regions: RegionData,
    pub limits: SizeLimits,
    pub privacy: Privacy,
    pub traces: Traces,
    pub http: Http,
    pub log: Log,
}

impl Settings {
    fn read(keys: &mut Reader) -> Self {
        Self {
            kafka: Kafka::read(keys),
            topics: Topics::read(keys),
            delivery: Delivery::read(keys),
            rules: Rules::read(keys),
            regions: RegionData::read(keys),
            limits: SizeLimits::read(keys),
            privacy: Privacy::read(keys),
            traces: Traces::read(keys),
            http: Http::read(keys),
            log: Log::read(keys),
        }
    }

    /// The value of `nik-judged-by`: everything that an outcome depends on beside its request.
    pub fn judged_by(&self, version: &str, regions_release: &str) -> String {
        // Every rule and limit counts, also those that are added later.
        let rules = format!("{:?} {:?}", self.rules, self.limits);
        let hash = Sha256::digest(rules);
        let short =
            hash[..8].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        format!("{version}/{regions_release}/{short}")
    }

    /// What judges requests under these settings.
    pub fn processor(&self, regions: Regions) -> Processor {
        let processor = Processor::new(regions.into(), self.process());
        processor.with_privacy(self.privacy.process())
    }

    /// The settings of the pure processing of a request.
    pub fn process(&self) -> process::Settings {
        process::Settings {
            limits: nik_wire::Limits {
                niks_per_request: self.limits.niks_per_request,
                request_bytes: self.limits.request_bytes,
            },
            result_bytes: self.limits.result_bytes,
            framing: self.topics.framing(),
            min_age: self.rules.min_age,
            absent: self.rules.absent,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Delivery {
    pub guarantee: Guarantee,
    pub judged_by: bool,
    pub commit_interval_ms: u64,
    pub commit_min_interval_ms: u64,
    pub commit_records: usize,
    pub commit_bytes: usize,
    pub max_failure_ratio: f64,
    pub failure_window: usize,
    pub failure_cool_down_ms: u64,
}

impl Delivery {
    fn read(keys: &mut Reader) -> Self {
        Self {
            guarantee: keys.read("delivery.guarantee", choice()),
            judged_by: keys.read("delivery.judged_by", switch()),
            commit_interval_ms: keys.read("delivery.commit_interval_ms", whole(1..=10_000)),
            commit_min_interval_ms: keys.read("delivery.commit_min_interval_ms", whole(0..=10_000)),
            commit_records: keys.read("delivery.commit_records", whole(1..=10_000_000)),
            commit_bytes: keys.read("delivery.commit_bytes", whole(1_024..=1 << 30)),
            max_failure_ratio: keys.read("delivery.max_failure_ratio", ratio()),
            failure_window: keys.read("delivery.failure_window", whole(10..=1_000_000)),
            failure_cool_down_ms: keys
                .read("delivery.failure_cool_down_ms", whole(1_000..=86_400_000)),
        }
    }

    /// When the flood breaker opens.
    pub fn breaker(&self) -> breaker::Policy {
        breaker::Policy {
            ratio: self.max_failure_ratio,
            window: self.failure_window,
            cool_down: Duration::from_millis(self.failure_cool_down_ms),
        }
    }
}

/// How outcomes and offsets are committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarantee {
    /// In one transaction.
    ExactlyOnce,
    /// Offsets after their outcomes; a crash between them repeats outcomes.
    AtLeastOnce,
}

impl Choice for Guarantee {
    const NAMES: &'static [(&'static str, Self)] =
        &[("exactly_once", Self::ExactlyOnce), ("at_least_once", Self::AtLeastOnce)];
}

impl Guarantee {
    pub fn as_str(self) -> &'static str {
        self.name()
    }
}

#[derive(Clone, Debug)]
pub struct Rules {
    pub min_age: u8,
    pub absent: Absent,
    pub reference_date: ReferenceDate,
    pub retired_codes: RetiredCodes,
    pub earliest_timestamp: Midnight,
    pub max_timestamp_ahead_ms: i64,
}

impl Rules {
    fn read(keys: &mut Reader) -> Self {
        const DATE: &str = "\"record\" or \"now\" or a date, written YYYY-MM-DD";
        const DAY: &str = "a date, written YYYY-MM-DD";
        const MAX_AHEAD_MS: i64 = 100 * 365 * 86_400_000;
        Self {
            min_age: keys.read("rules.min_age", whole(0..=150)),
            absent: keys.read("rules.absent", choice()),
            reference_date: keys.read("rules.reference_date", parsed(DATE)),
            retired_codes: keys.read("rules.retired_codes", choice()),
            earliest_timestamp: keys.read("rules.earliest_timestamp", parsed(DAY)),
            max_timestamp_ahead_ms: keys
                .read("rules.max_timestamp_ahead_ms", whole(OUTCOME_MAX_AHEAD_MS..=MAX_AHEAD_MS)),
        }
    }

    /// Which day a request is judged for.
    pub fn dating(&self) -> Dating {
        Dating { reference_date: self.reference_date, timestamps: self.timestamps() }
    }

    /// Which timestamps of requests are plausible.
    pub fn timestamps(&self) -> TimestampLimits {
        TimestampLimits {
            earliest: self.earliest_timestamp.0,
            max_ahead: self.max_timestamp_ahead_ms,
        }
    }
}

impl Choice for Absent {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("null", Self::Null)];
}

impl Choice for RetiredCodes {
    const NAMES: &'static [(&'static str, Self)] =
        &[("all", Self::All), ("confirmed", Self::Confirmed), ("none", Self::None)];
}

impl FromStr for ReferenceDate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "record" => Ok(Self::Record),
            "now" => Ok(Self::Now),
            day => Date::parse(day).map(Self::Date).map_err(|_| "not a date"),
        }
    }
}

/// The first moment of a day in UTC, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Midnight(pub i64);

impl FromStr for Midnight {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "not a date";
        let day = Date::parse(text).map_err(|_| PROBLEM)?;
        let year = i32::try_from(day.year()).map_err(|_| PROBLEM)?;
        let day = NaiveDate::from_ymd_opt(year, day.month(), day.day()).ok_or(PROBLEM)?;
        Ok(Self(NaiveDateTime::from(day).and_utc().timestamp_millis()))
    }
}

/// The region data in use.
#[derive(Clone, Debug)]
pub struct RegionData {
    /// The folder to read it from; `None`: the data built in.
    pub directory: Option<String>,
}

impl RegionData {
    pub const DIRECTORY: &str = "regions.directory";

    fn read(keys: &mut Reader) -> Self {
        Self { directory: keys.read(Self::DIRECTORY, optional()) }
    }

    pub fn folder(&self) -> Option<&Path> {
        self.directory.as_deref().map(Path::new)
    }
}

/// The largest request and result.
#[derive(Clone, Debug)]
pub struct SizeLimits {
    pub niks_per_request: usize,
    pub request_bytes: usize,
    pub result_bytes: usize,
}

impl SizeLimits {
    fn read(keys: &mut Reader) -> Self {
        Self {
            niks_per_request: keys.read("limits.niks_per_request", whole(1..=1_000_000)),
            request_bytes: keys.read("limits.request_bytes", whole(1_024..=256 << 20)),
            result_bytes: keys.read("limits.result_bytes", whole(1_024..=256 << 20)),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    pub api: bool,
    pub breaker_resume_from_anywhere: bool,
}

impl Http {
    fn read(keys: &mut Reader) -> Self {
        const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464";
        Self {
            listen: keys.read("http.listen", parsed(ADDRESS)),
            api: keys.read("http.api", switch()),
            breaker_resume_from_anywhere: keys.read("http.breaker_resume_from_anywhere", switch()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: Format,
    pub level: String,
}

impl Log {
    fn read(keys: &mut Reader) -> Self {
        Self { format: keys.read("log.format", choice()), level: keys.read("log.level", text()) }
    }
}

impl Choice for Format {
    const NAMES: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)];
}
