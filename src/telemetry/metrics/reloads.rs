//! What was read again while the program runs, and when certificates expire.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::register;

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

const WHAT: [&str; 5] = ["certificate", "key", "password", "regions", "settings"];

impl Reloads {
    pub(super) fn new(registry: &Registry) -> Self {
        let options = Opts::new(
            "nik_stream_reloads_total",
            "What was read again while the program runs, because a file changed or on SIGHUP, by whether it is in use.",
        );
        let reloads = register(registry, IntCounterVec::new(options, &["what", "outcome"]));
        for what in WHAT {
            for outcome in [Outcome::Taken, Outcome::Refused] {
                reloads.with_label_values(&[what, outcome.label()]);
            }
        }
        let options = Opts::new(
            "nik_stream_certificate_expiry_timestamp_seconds",
            "When the first certificate of a file of kafka.security expires, in seconds since 1970.",
        );
        let certificate_expiry = register(registry, IntGaugeVec::new(options, &["file"]));
        Self { reloads, certificate_expiry }
    }

    pub fn count(&self, what: &str, outcome: Outcome) {
        self.reloads.with_label_values(&[what, outcome.label()]).inc();
    }

    pub fn set_expiry(&self, file: &str, seconds: i64) {
        self.certificate_expiry.with_label_values(&[file]).set(seconds);
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
