//! One record's fate: the bytes of a request in, the bytes of its one outcome out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{
    Absent, Limits, Process, Reason, Refusal, RequestReader, ResultBody, ResultWriter, Span,
    write_failure,
};
use nik::region::Regions;
use nik::{Date, Nik, Summary, assess};

/// What the operator decides about the judgement and its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How large a request may be.
    pub limits: Limits,
    /// Bytes of the largest result.
    pub result_bytes: usize,
    /// The age in years from which a date of birth is valid.
    pub min_age: u8,
    /// How a value that does not exist is written.
    pub absent: Absent,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: Limits::default(), result_bytes: 4 << 20, min_age: 0, absent: Absent::Text }
    }
}

/// What became of a record; its payload is in the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An answer.
    Result {
        /// How it was given.
        process: Process,
        /// Its counts.
        summary: Summary,
    },
    /// A dead letter.
    Failure {
        /// Why.
        reason: Reason,
        /// The process, where it could be read.
        process: Option<Process>,
    },
}

/// Processes records, one after the other: one for each worker, as it keeps its buffers. Clones
/// share what is large.
#[derive(Clone)]
pub struct Processor {
    regions: Arc<Regions>,
    settings: Settings,
    reader: RequestReader,
    writer: ResultWriter,
}

impl Processor {
    /// A processor; takes about a millisecond, its clones nothing.
    pub fn new(regions: Arc<Regions>, settings: Settings) -> Self {
        let writer = ResultWriter::new(&regions, settings.absent);
        Self { regions, settings, reader: RequestReader::default(), writer }
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces what is in `out` by the outcome of one request: `value` are the record's bytes,
    /// `None` a tombstone; ages and centuries are those of the day `reference`. The same arguments
    /// give the same bytes. Never panics: a fault in this program is an outcome too,
    /// [`Reason::Internal`].
    pub fn process(&mut self, value: Option<&[u8]>, reference: Date, out: &mut Vec<u8>) -> Outcome {
        guarded(out, |out| match self.answer(value, reference, out) {
            Ok((process, summary)) => Outcome::Result { process, summary },
            Err(refusal) => self.fail(value, refusal, out),
        })
    }

    /// Replaces what is in `out` by a failure of a request whose outcome the broker refused. The
    /// caller knows the `reason`: [`Reason::ResultTooLarge`] if that was a result, else the
    /// failure's own. `with_niks` gives its list back, if it can be read.
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
        let result = self.writer.begin(out, request.len());
        let summary = match (request.process, request.row()) {
            (Process::Limited, Some(niks)) => judgement.write::<false>(niks.map(Ok), result),
            (Process::Limited, None) => judgement.write::<false>(request.elements(), result),
            (Process::Full, Some(niks)) => judgement.write::<true>(niks.map(Ok), result),
            (Process::Full, None) => judgement.write::<true>(request.elements(), result),
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

    /// Writes the failure, without the list if it would be longer with it than a result may be.
    fn fail(&self, value: Option<&[u8]>, refusal: Refusal, out: &mut Vec<u8>) -> Outcome {
        let list = |niks: Span| value.and_then(|bytes| bytes.get(niks.range()));
        out.clear();
        write_failure(out, refusal.niks.and_then(list));
        if out.len() > self.settings.result_bytes {
            out.clear();
            write_failure(out, None);
        }
        Outcome::Failure { reason: refusal.reason, process: refusal.process }
    }
}

/// What every NIK of a request is judged by.
struct Judgement<'a> {
    regions: &'a Regions,
    min_age: u8,
    reference: Date,
}

impl Judgement<'_> {
    /// Judges all elements and writes them down. Compiled for each kind of list and each process by
    /// itself: what is known of all NIKs is not asked of each, and what is not told not kept.
    fn write<'a, const FULL: bool>(
        &self,
        elements: impl Iterator<Item = Result<Nik<'a>, &'a [u8]>>,
        mut result: ResultBody<'_>,
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
                Err(raw) => {
                    summary.add_error();
                    result.error(raw);
                }
            }
        }
        result.finish(&summary);
        summary
    }
}

/// Runs `work` on an emptied `out`; if it panics, the outcome is an internal failure. Nothing
/// broken stays behind: every buffer is emptied before it is used again.
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
        let mut out = b"left over".to_vec();
        let outcome = guarded(&mut out, |out| {
            out.extend_from_slice(b"half a result");
            panic!("on purpose, in a test");
        });
        assert_eq!(outcome, Outcome::Failure { reason: Reason::Internal, process: None });
        assert_eq!(out, br#"{"message":"failed","data":[]}"#);
    }
}
