//! What was read again while the program runs, and when certificates expire.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges};

/// What was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The client's certificate, or the authorities that it trusts.
    Certificate,
    Key,
    Password,
    Regions,
    Settings,
}

/// Whether changed contents are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    /// They cannot be used; the old ones stay.
    Refused,
}

pub struct Reloads {
    reloads: IntCounterVec,
    certificate_expiry: IntGaugeVec,
}

impl Reloads {
    pub(super) fn new(registry: &Registry) -> Self {
        let reloads = counters(
            registry,
            "nik_stream_reloads_total",
            "What was read again while the program runs, because a file changed or on SIGHUP, by whether it is in use.",
            &["what", "outcome"],
        );
        for what in Reloaded::ALL {
            for outcome in [Outcome::Taken, Outcome::Refused] {
                reloads.with_label_values(&[what.label(), outcome.label()]);
            }
        }
        let certificate_expiry = gauges(
            registry,
            "nik_stream_certificate_expiry_timestamp_seconds",
            "When the first certificate of a file of kafka.security expires, in seconds since 1970.",
            &["file"],
        );
        Self { reloads, certificate_expiry }
    }

    pub fn count(&self, what: Reloaded, outcome: Outcome) {
        self.reloads.with_label_values(&[what.label(), outcome.label()]).inc();
    }

    pub fn set_expiry(&self, file: &str, seconds: i64) {
        self.certificate_expiry.with_label_values(&[file]).set(seconds);
    }
}

impl Reloaded {
    const ALL: [Self; 5] =
        [Self::Certificate, Self::Key, Self::Password, Self::Regions, Self::Settings];

    pub fn label(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Password => "password",
            Self::Regions => "regions",
            Self::Settings => "settings",
        }
    }
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}
