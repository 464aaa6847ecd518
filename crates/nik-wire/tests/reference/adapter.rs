//! The processor with the types of the reference, so that their outcomes can be compared.

use super::explain::Counts;
use super::regions::Retired;
use super::request::{Process, Reason};
use super::{Answer, Settings, Summary, TOKEN_KEY};
use nik::Date;
use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::process::{self, Outcome, Privacy, Processor};
use nik_wire::{Absent, Framing, Limits, TokenKey};
use std::sync::Arc;

/// A processor that reuses its buffers from request to request, as in the service.
pub struct ProcessorAdapter {
    processor: Processor,
    out: Vec<u8>,
}

impl ProcessorAdapter {
    pub fn new(settings: &Settings, retired: Retired) -> Self {
        let regions = dataset::regions(match retired {
            Retired::All => RetiredCodes::All,
            Retired::Confirmed => RetiredCodes::Confirmed,
            Retired::None => RetiredCodes::None,
        });
        let (id, key) = TOKEN_KEY;
        let key = || TokenKey::new(id, &key).expect("an id");
        let privacy = Privacy {
            tokens: settings.tokens.then(|| key().into()),
            failures_by_reference: settings.failures_by_reference,
        };
        let settings = process::Settings {
            limits: Limits {
                niks_per_request: settings.niks_per_request,
                request_bytes: settings.request_bytes,
            },
            result_bytes: settings.result_bytes,
            framing: Framing::default(), // `process/framing.rs` has its table
            min_age: settings.min_age,
            absent: if settings.absent_null { Absent::Null } else { Absent::Text },
        };
        let regions = Arc::new(regions.expect("well-formed tables"));
        Self {
            processor: Processor::new(regions, settings).with_privacy(privacy),
            out: b"the request before".to_vec(),
        }
    }

    pub fn answer(&mut self, value: Option<&[u8]>, reference: Date) -> Answer {
        let kind = match self.processor.process(value, reference, &mut self.out) {
            Outcome::Result { process, summary } => Ok((process_of(process), summary_of(summary))),
            Outcome::Failure { reason, process } => {
                Err((reason_of(reason), process.map(process_of)))
            }
        };
        let explained = match kind {
            Ok((Process::Explain, _)) => counts_of(self.processor.explained()),
            _ => Counts::new(),
        };
        Answer { kind, bytes: self.out.clone(), explained }
    }
}

fn process_of(process: nik_wire::Process) -> Process {
    match process {
        nik_wire::Process::Limited => Process::Limited,
        nik_wire::Process::Full => Process::Full,
        nik_wire::Process::Explain => Process::Explain,
    }
}

fn reason_of(reason: nik_wire::Reason) -> Reason {
    match reason {
        nik_wire::Reason::Tombstone => Reason::Tombstone,
        nik_wire::Reason::RequestTooLarge => Reason::RequestTooLarge,
        nik_wire::Reason::MalformedJson => Reason::MalformedJson,
        nik_wire::Reason::InvalidRequest => Reason::InvalidRequest,
        nik_wire::Reason::UnknownProcess => Reason::UnknownProcess,
        nik_wire::Reason::TooManyNiks => Reason::TooManyNiks,
        nik_wire::Reason::ResultTooLarge => Reason::ResultTooLarge,
        nik_wire::Reason::Internal => panic!("a panic in the processor"),
    }
}

fn summary_of(summary: nik::Summary) -> Summary {
    Summary {
        number: summary.number,
        number_processed: summary.number_processed,
        error: summary.error,
        all_section: summary.all_section,
        length: summary.length,
        area: summary.area,
        dob: summary.dob,
        gender: summary.gender,
        computerized: summary.computerized,
    }
}

/// The counts that are not 0, by name.
fn counts_of(explained: &nik::ExplainedSummary) -> Counts {
    let reasons = nik::SectionReason::ALL.map(|it| format!("{}.{}", it.section(), it.as_str()));
    let reasons = reasons.into_iter().zip(explained.reasons);
    let warnings = nik::Warning::ALL.map(|it| it.as_str().to_owned());
    let warnings = warnings.into_iter().zip(explained.warnings);
    let declared = nik::Declared::FIELDS.into_iter().zip(explained.declared);
    let declared = declared.flat_map(|(field, counts)| {
        let names = nik::Comparison::ALL.map(|it| format!("{field}.{}", it.as_str()));
        names.into_iter().zip(counts)
    });
    let claims = [
        ("consistent".to_owned(), explained.consistent),
        ("inconsistent".to_owned(), explained.inconsistent),
    ];
    let all = reasons.chain(warnings).chain(declared).chain(claims);
    all.filter(|(_, count)| *count > 0).collect()
}
