//! Counters of the spans of traces.

use prometheus::{IntCounter, Registry};

use super::counters;

pub struct Spans {
    pub sent: IntCounter,
    pub dropped: IntCounter,
}

impl Spans {
    pub(super) fn new(registry: &Registry) -> Self {
        let spans = counters(
            registry,
            "nik_stream_spans_total",
            "Spans of traces: sent to the collector, or dropped because of the limit per second, a full queue or the collector.",
            &["outcome"],
        );
        let [sent, dropped] = ["sent", "dropped"].map(|it| spans.with_label_values(&[it]));
        Self { sent, dropped }
    }
}
