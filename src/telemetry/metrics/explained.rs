//! Counters of what the process `explain` says about NIKs: reasons, warnings, and outcomes of what
//! was declared.

use prometheus::{IntCounter, Registry};

use super::counters;
use nik::{Comparison, Declared, ExplainedSummary, SectionReason, Warning};

pub(super) struct Explained {
    reasons: [IntCounter; SectionReason::ALL.len()],
    warnings: [IntCounter; Warning::ALL.len()],
    /// By field and outcome; `None` for an outcome that the field cannot have.
    declared: [[Option<IntCounter>; Comparison::ALL.len()]; Declared::FIELDS.len()],
}

impl Explained {
    pub(super) fn new(registry: &Registry) -> Self {
        let reasons = counters(
            registry,
            "nik_stream_reasons_total",
            "Invalid sections of NIKs in the process explain, by section and reason; other processes are not counted.",
            &["section", "reason"],
        );
        let warnings = counters(
            registry,
            "nik_stream_warnings_total",
            "NIKs with a warning in the process explain, by warning; other processes are not counted.",
            &["warning"],
        );
        let declared = counters(
            registry,
            "nik_stream_declared_total",
            "Comparisons of what claims declare with the NIK, by field and outcome.",
            &["field", "outcome"],
        );
        Self {
            reasons: SectionReason::ALL
                .map(|it| reasons.with_label_values(&[it.section(), it.as_str()])),
            warnings: Warning::ALL.map(|it| warnings.with_label_values(&[it.as_str()])),
            declared: Declared::FIELDS.map(|field| {
                let counter = |it: Comparison| declared.with_label_values(&[field, it.as_str()]);
                Comparison::ALL.map(|it| Declared::can_be(field, it).then(|| counter(it)))
            }),
        }
    }

    pub(super) fn add(&self, counts: &ExplainedSummary) {
        let reasons = self.reasons.iter().zip(counts.reasons);
        let warnings = self.warnings.iter().zip(counts.warnings);
        for (counter, count) in reasons.chain(warnings) {
            counter.inc_by(count);
        }
        let declared = self.declared.as_flattened().iter();
        for (counter, &count) in declared.zip(counts.declared.as_flattened()) {
            if let Some(counter) = counter {
                counter.inc_by(count);
            }
        }
    }
}
