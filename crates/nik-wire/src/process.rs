//! The transformation of one record: the bytes of a request in, the bytes of its one outcome out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{
    Absent, Limits, Naming, Plain, Process, Reason, Refusal, Request, RequestReader, ResultBody,
    ResultWriter, Span, TokenKey, Tokens, Unreadable, write_failure,
};
use nik::region::Regions;
use nik::{Date, Nik, Summary, assess};

/// Rules and limits, set by the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// The largest result, in bytes.
    pub result_bytes: usize,
    /// The lowest valid age, in years.
    pub min_age: u8,
    /// The notation of absent values.
    pub absent: Absent,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: Limits::default(), result_bytes: 4 << 20, min_age: 0, absent: Absent::Text }
    }
}

/// What outcomes keep to themselves. By default nothing.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// Results hold the tokens of this key in the places of NIKs.
    pub tokens: Option<Arc<TokenKey>>,
    /// Failures hold nothing of the request, only where it is.
    pub failures_by_reference: bool,
}

/// The kind of an outcome; its payload is in the output buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A result, for the results topic.
    Result { process: Process, summary: Summary },
    /// A failure, for the failures topic.
    Failure {
        reason: Reason,
        /// The process, if it could be read.
        process: Option<Process>,
    },
}

/// Processes records one at a time and reuses its buffers. Each worker has a clone; clones share
/// the region data.
#[derive(Clone)]
pub struct Processor {
    regions: Arc<Regions>,
    settings: Settings,
    privacy: Privacy,
    reader: RequestReader,
    writer: ResultWriter,
}

impl Processor {
    /// Takes about a millisecond, because it renders the names of all areas; cloning is cheap.
    pub fn new(regions: Arc<Regions>, settings: Settings) -> Self {
        let writer = ResultWriter::new(&regions, settings.absent);
        let (privacy, reader) = (Privacy::default(), RequestReader::default());
        Self { regions, settings, privacy, reader, writer }
    }

    #[must_use]
    pub fn with_privacy(self, privacy: Privacy) -> Self {
        Self { privacy, ..self }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn privacy(&self) -> &Privacy {
        &self.privacy
    }

    /// Replaces the content of `out` by the outcome of one request. `value` is the record's value,
    /// `None` for a tombstone; ages and centuries are as of the day `reference`. The same arguments
    /// give the same bytes. Never panics: a panic inside becomes the outcome [`Reason::Internal`].
    pub fn process(&mut self, value: Option<&[u8]>, reference: Date, out: &mut Vec<u8>) -> Outcome {
        guarded(out, |out| match self.answer(value, reference, out) {
            Ok((process, summary)) => Outcome::Result { process, summary },
            Err(refusal) => self.fail(value, refusal, out),
        })
    }

    /// Replaces the content of `out` by a failure, for a request whose outcome the broker refused.
    /// `reason` is [`Reason::ResultTooLarge`] if that outcome was a result, else the reason of the
    /// failure. `with_niks` includes the list, if it can be read.
    pub fn refuse(
        &mut self,
        value: Option<&[u8]>,
        reason: Reason,
        with_niks: bool,
        out: &mut Vec<u8>,
    ) -> Outcome {
        guarded(out, |out| {
            let (process, niks) =
                match self.reader.read(value.unwrap_or_default(), self.settings.limits) {
                    Ok(request) => (Some(request.process), Some(request.niks)),
                    Err(refusal) => (refusal.process, refusal.niks),
                };
            self.fail(value, Refusal { reason, process, niks: niks.filter(|_| with_niks) }, out)
        })
    }

    fn answer(
        &mut self,
        value: Option<&[u8]>,
        reference: Date,
        out: &mut Vec<u8>,
    ) -> Result<(Process, Summary), Refusal> {
        let Some(bytes) = value else {
            return Err(Refusal { reason: Reason::Tombstone, process: None, niks: None });
        };
        let request = self.reader.read(bytes, self.settings.limits)?;
        let judgement =
            Judgement { regions: &self.regions, min_age: self.settings.min_age, reference };
        let (writer, count) = (&mut self.writer, request.len());
        let summary = match &self.privacy.tokens {
            None => judgement.answer(&request, writer.begin(out, count, Plain)),
            Some(key) => judgement.answer(&request, writer.begin(out, count, Tokens(key))),
        };
        if out.len() > self.settings.result_bytes {
            return Err(Refusal {
                reason: Reason::ResultTooLarge,
                process: Some(request.process),
                niks: Some(request.niks),
            });
        }
        Ok((request.process, summary))
    }

    /// Writes the failure, without the list if that would exceed the limit of a result or failures
    /// are references.
    fn fail(&self, value: Option<&[u8]>, refusal: Refusal, out: &mut Vec<u8>) -> Outcome {
        let list = |niks: Span| value.and_then(|bytes| bytes.get(niks.range()));
        out.clear();
        let niks = refusal.niks.filter(|_| !self.privacy.failures_by_reference);
        write_failure(out, niks.and_then(list));
        if out.len() > self.settings.result_bytes {
            out.clear();
            write_failure(out, None);
        }
        Outcome::Failure { reason: refusal.reason, process: refusal.process }
    }
}

struct Judgement<'a> {
    regions: &'a Regions,
    min_age: u8,
    reference: Date,
}

impl Judgement<'_> {
    fn answer<N: Naming>(&self, request: &Request<'_>, result: ResultBody<'_, N>) -> Summary {
        match (request.process, request.digit_list()) {
            (Process::Limited, Some(niks)) => self.write::<false, N>(niks.map(Ok), result),
            (Process::Limited, None) => self.write::<false, N>(request.elements(), result),
            (Process::Full, Some(niks)) => self.write::<true, N>(niks.map(Ok), result),
            (Process::Full, None) => self.write::<true, N>(request.elements(), result),
        }
    }

    /// Judges and writes all elements. It is compiled separately for each kind of list, each process
    /// and each naming, so that the loop does not branch on them and computes only what it writes.
    fn write<'a, const FULL: bool, N: Naming>(
        &self,
        elements: impl Iterator<Item = Result<Nik<'a>, Unreadable<'a>>>,
        mut result: ResultBody<'_, N>,
    ) -> Summary {
        let mut summary = Summary::default();
        for element in elements {
            match element {
                Ok(nik) => {
                    let nik = assess(&nik, self.regions, self.min_age, self.reference);
                    summary.add_nik(&nik);
                    if FULL {
                        result.full(&nik);
                    } else {
                        result.limited(nik.length.value, nik.is_valid());
                    }
                }
                Err(element) => {
                    summary.add_error();
                    result.error(element);
                }
            }
        }
        result.finish(&summary);
        summary
    }
}

/// Clears `out` and runs `work`; a panic becomes an internal failure. No buffer stays inconsistent
/// after a panic, because each is cleared before its next use.
fn guarded(out: &mut Vec<u8>, work: impl FnOnce(&mut Vec<u8>) -> Outcome) -> Outcome {
    out.clear();
    catch_unwind(AssertUnwindSafe(|| work(out))).unwrap_or_else(|_| {
        out.clear();
        write_failure(out, None);
        Outcome::Failure { reason: Reason::Internal, process: None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_failure_without_a_list() {
        let mut out = b"the record before".to_vec();
        let outcome = guarded(&mut out, |out| {
            out.extend_from_slice(b"half a result");
            panic!("on purpose, in a test");
        });
        assert_eq!(outcome, Outcome::Failure { reason: Reason::Internal, process: None });
        assert_eq!(out, br#"{"message":"failed","data":[]}"#);
    }
}
