//! The sampled requests of an epoch, for traces.

use std::time::SystemTime;

use super::OpenEpoch;
use super::outcome::Input;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::native::each_header;
use crate::telemetry::traces::{CommittedRequests, Parent, Sampled};
use nik_wire::process::Outcome;

impl OpenEpoch {
    /// Notes a request whose outcome is on its way, if it is sampled.
    pub fn note_sampled(&mut self, input: &Input<'_>, outcome: &Outcome) {
        let Some(traces) = &self.shared.telemetry.traces else {
            return;
        };
        let Some(parent) = parent(input.record).filter(|_| traces.admits(self.now)) else {
            return;
        };
        let failure = match outcome {
            Outcome::Result { .. } => None,
            Outcome::Failure { reason, .. } => Some(reason.as_str()),
        };
        let timestamp = input.time.judged();
        self.sampled.push(Sampled { parent, position: input.position, timestamp, failure });
    }

    /// Hands over the sampled requests of the epoch, which is committed.
    pub fn send_sampled(&mut self) {
        if let Some(traces) = &self.shared.telemetry.traces
            && !self.sampled.is_empty()
        {
            let ended = SystemTime::now();
            traces.committed(CommittedRequests {
                requests: std::mem::take(&mut self.sampled),
                records: self.epoch.records(),
                started: ended - self.last_duration,
                ended,
            });
        }
    }
}

/// The span that sent this record, if it is sampled; `None` if the header is repeated (W3C Trace
/// Context).
fn parent(record: &Record<'_>) -> Option<Parent> {
    let (mut headers, mut parent) = (0, None);
    each_header(record, |name, value| {
        if name == Parent::HEADER {
            headers += 1;
            parent = value.and_then(Parent::sampled);
        }
    });
    parent.filter(|_| headers == 1)
}
