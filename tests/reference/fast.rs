//! The pipeline, asked the reference's questions and answering in the reference's words, so that both answers can be compared.

use super::regions::Retired;
use super::request::{Process, Reason};
use super::{Answer, Settings, Summary};
use nik_stream::codec::{self, Absent, Limits};
use nik_stream::dataset;
use nik_stream::nik::Date;
use nik_stream::pipeline::process::{self, Outcome, Processor};
use nik_stream::region::RetiredCodes;
use std::sync::Arc;

/// A processor under the reference's settings; it keeps its buffers from request to request, as the service does.
pub struct Fast {
    processor: Processor,
    out: Vec<u8>,
}

impl Fast {
    pub fn new(settings: &Settings, retired: Retired) -> Self {
        let regions = dataset::regions(match retired {
            Retired::All => RetiredCodes::All,
            Retired::Confirmed => RetiredCodes::Confirmed,
            Retired::None => RetiredCodes::None,
        });
        let settings = process::Settings {
            limits: Limits {
                niks_per_request: settings.niks_per_request,
                request_bytes: settings.request_bytes,
            },
            result_bytes: settings.result_bytes,
            min_age: settings.min_age,
            absent: if settings.absent_null { Absent::Null } else { Absent::Text },
        };
        Self {
            processor: Processor::new(
                Arc::new(regions.expect("the tables are in order")),
                settings,
            ),
            out: b"left over from the last request".to_vec(),
        }
    }

    pub fn answer(&mut self, value: Option<&[u8]>, reference: Date) -> Answer {
        let kind = match self.processor.process(value, reference, &mut self.out) {
            Outcome::Result { process, summary } => Ok((process_of(process), summary_of(summary))),
            Outcome::Failure { reason, process } => {
                Err((reason_of(reason), process.map(process_of)))
            }
        };
        Answer { kind, bytes: self.out.clone() }
    }
}

fn process_of(process: codec::Process) -> Process {
    match process {
        codec::Process::Limited => Process::Limited,
        codec::Process::Full => Process::Full,
    }
}

fn reason_of(reason: codec::Reason) -> Reason {
    match reason {
        codec::Reason::Tombstone => Reason::Tombstone,
        codec::Reason::RequestTooLarge => Reason::RequestTooLarge,
        codec::Reason::MalformedJson => Reason::MalformedJson,
        codec::Reason::InvalidRequest => Reason::InvalidRequest,
        codec::Reason::UnknownProcess => Reason::UnknownProcess,
        codec::Reason::TooManyNiks => Reason::TooManyNiks,
        codec::Reason::ResultTooLarge => Reason::ResultTooLarge,
        codec::Reason::Internal => panic!("a fault in the pipeline"),
    }
}

fn summary_of(summary: nik_stream::nik::Summary) -> Summary {
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
