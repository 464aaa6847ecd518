//! The transformation of one record: the bytes of a request in, the bytes of its one outcome out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{
    Absent, Framing, Limits, Naming, Plain, Process, Reason, Refusal, Request, RequestReader,
    ResultBody, ResultWriter, Span, TokenKey, Tokens, Unreadable, write_failure,
};
use nik::region::Regions;
use nik::{Claim, Date, ExplainedSummary, Nik, SectionReason, Summary, assess, explain};

/// Rules and limits, set by the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// The largest result, in bytes, its schema id included.
    pub result_bytes: usize,
    /// Schema ids in front of requests and outcomes.
    pub framing: Framing,
    /// The lowest valid age, in years.
    pub min_age: u8,
    /// The notation of absent values.
    pub absent: Absent,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            result_bytes: 4 << 20,
            framing: Framing::default(),
            min_age: 0,
            absent: Absent::Text,
        }
    }
}

/// What outcomes do not show of a request; by default they show everything.
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
    explained: ExplainedSummary,
}

impl Processor {
    /// Takes about a millisecond, because it renders the names of all areas; cloning is cheap.
    pub fn new(regions: Arc<Regions>, settings: Settings) -> Self {
        let writer = ResultWriter::new(&regions, settings.absent);
        let (privacy, reader) = (Privacy::default(), RequestReader::default());
        let explained = ExplainedSummary::default();
        Self { regions, settings, privacy, reader, writer, explained }
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

    /// The same rules and limits, for requests and outcomes without schema ids.
    #[must_use]
    pub fn without_framing(mut self) -> Self {
        self.settings.framing = Framing::default();
        self
    }

    /// The counts of a result of the process `explain`, if that is the last outcome. They are not
    /// part of [`Outcome`], which is copied for every record.
    pub fn explained(&self) -> &ExplainedSummary {
        &self.explained
    }

    /// Replaces the content of `out` by the outcome of one request. `value` is the record's value,
    /// `None` for a tombstone; ages and centuries are as of the day `reference`. The same arguments
    /// give the same bytes. Never panics: a panic inside becomes the outcome [`Reason::Internal`].
    pub fn process(&mut self, value: Option<&[u8]>, reference: Date, out: &mut Vec<u8>) -> Outcome {
        guarded(self.settings.framing, out, |out| match self.answer(value, reference, out) {
            Ok((process, summary)) => Outcome::Result { process, summary },
            Err(refusal) => self.fail(value, refusal, out),
        })
    }

    /// Judges each element of the list, in order, and calls `visit` with the reason of each section
    /// (`None`: valid), or with `None` for an element that is not a NIK. Of a request that is
    /// refused it judges nothing.
    pub fn judge_each(
        &mut self,
        value: &[u8],
        reference: Date,
        mut visit: impl FnMut(Option<[Option<SectionReason>; 5]>),
    ) {
        let (regions, min_age) = (&self.regions, self.settings.min_age);
        let (json, limits) = unframed(value, &self.settings);
        let Ok(request) = self.reader.read(json, limits) else { return };
        let reasons =
            |nik: Nik<'_>| explain(&nik, regions, min_age, reference).assessment.reasons();
        match request.digit_list() {
            Some(niks) => niks.for_each(|nik| visit(Some(reasons(nik)))),
            None => request.elements().for_each(|element| visit(element.ok().map(reasons))),
        }
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
        guarded(self.settings.framing, out, |out| {
            let (json, limits) = unframed(value.unwrap_or_default(), &self.settings);
            let (process, niks) = match self.reader.read(json, limits) {
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
        let (json, limits) = unframed(bytes, &self.settings);
        let request = self.reader.read(json, limits)?;
        let judgement =
            Judgement { regions: &self.regions, min_age: self.settings.min_age, reference };
        self.settings.framing.start_result(out);
        let (writer, count, explained) = (&mut self.writer, request.len(), &mut self.explained);
        let summary = match &self.privacy.tokens {
            None => judgement.answer(&request, writer.begin(out, count, Plain), explained),
            Some(key) => {
                judgement.answer(&request, writer.begin(out, count, Tokens(key)), explained)
            }
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

    /// Writes the failure. The list is left out if the failure would exceed the limit of a result, or
    /// if failures are references.
    fn fail(&self, value: Option<&[u8]>, refusal: Refusal, out: &mut Vec<u8>) -> Outcome {
        let framing = self.settings.framing;
        let list = |niks: Span| value.and_then(|bytes| framing.json(bytes).get(niks.range()));
        framing.start_failure(out);
        let niks = refusal.niks.filter(|_| !self.privacy.failures_by_reference);
        write_failure(out, niks.and_then(list));
        if out.len() > self.settings.result_bytes {
            framing.start_failure(out);
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
    /// Writes the result; `explained` gets what only the process `explain` counts.
    fn answer<N: Naming>(
        &self,
        request: &Request<'_>,
        result: ResultBody<'_, N>,
        explained: &mut ExplainedSummary,
    ) -> Summary {
        match (request.process, request.digit_list()) {
            (Process::Limited, Some(niks)) => self.write::<false, N>(niks.map(Ok), result),
            (Process::Limited, None) => self.write::<false, N>(request.elements(), result),
            (Process::Full, Some(niks)) => self.write::<true, N>(niks.map(Ok), result),
            (Process::Full, None) => self.write::<true, N>(request.elements(), result),
            (Process::Explain, Some(niks)) => {
                let claims = niks.map(|nik| (Ok(nik), Claim::default()));
                self.explain(claims, result, explained)
            }
            (Process::Explain, None) => {
                let claims = request.elements().zip(request.claims());
                self.explain(claims, result, explained)
            }
        }
    }

    /// Judges and writes all elements. It is compiled separately for each kind of list, each
    /// process and each naming, so that the loop does not branch on them and computes only what it
    /// writes.
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

    /// Judges, explains and writes all elements, and compares them with what they declare. It is
    /// not inlined, so that it does not burden the other processes.
    #[inline(never)]
    fn explain<'a, N: Naming>(
        &self,
        elements: impl Iterator<Item = (Result<Nik<'a>, Unreadable<'a>>, Claim)>,
        result: ResultBody<'_, N>,
        counts: &mut ExplainedSummary,
    ) -> Summary {
        *counts = ExplainedSummary::default();
        let mut summary = Summary::default();
        let mut result = result.explained(self.regions);
        for (index, (element, claim)) in elements.enumerate() {
            match element {
                Ok(nik) => {
                    let nik = explain(&nik, self.regions, self.min_age, self.reference);
                    let declared = claim.compare(&nik, self.regions, self.reference);
                    summary.add_nik(&nik.assessment);
                    counts.add(&nik, declared.as_ref());
                    result.nik(index, &nik, declared.as_ref());
                }
                Err(element) => {
                    summary.add_error();
                    result.error(element);
                }
            }
        }
        result.finish(&summary, counts);
        summary
    }
}

/// The JSON of a request, and the limits of its size: that of the request includes the schema id.
fn unframed<'a>(request: &'a [u8], settings: &Settings) -> (&'a [u8], Limits) {
    let json = settings.framing.json(request);
    let prefix = request.len() - json.len();
    let request_bytes = settings.limits.request_bytes.saturating_sub(prefix);
    (json, Limits { request_bytes, ..settings.limits })
}

/// Runs `work`, which replaces the content of `out`; a panic becomes an internal failure. No buffer
/// stays inconsistent after a panic, because each is cleared before its next use.
fn guarded(
    framing: Framing,
    out: &mut Vec<u8>,
    work: impl FnOnce(&mut Vec<u8>) -> Outcome,
) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| work(out))).unwrap_or_else(|_| {
        framing.start_failure(out);
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
        for (failures, expected) in [
            (0, &br#"{"message":"failed","data":[]}"#[..]),
            (0x0102_0a00, b"\0\x01\x02\x0a\0{\"message\":\"failed\",\"data\":[]}"),
        ] {
            let framing = Framing { failures, ..Framing::default() };
            let outcome = guarded(framing, &mut out, |out| {
                out.extend_from_slice(b"half a result");
                panic!("on purpose, in a test");
            });
            assert_eq!(outcome, Outcome::Failure { reason: Reason::Internal, process: None });
            assert_eq!(out, expected);
        }
    }
}
