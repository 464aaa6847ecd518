//! What is measured: requests of every size, in both processes, of valid NIKs and of a mixture.

use std::hint::black_box;
use std::sync::Arc;

use nik::Date;
use nik::dataset;
use nik::region::{Regions, RetiredCodes};
use nik_wire::Process;
use nik_wire::generate::{Generator, Options};
use nik_wire::process::{Processor, Settings};

/// NIKs of a request.
const SIZES: [usize; 6] = [1, 3, 10, 100, 1_000, 10_000];
/// About so many NIKs has a case together, so that no branch is learnt by heart.
const NIKS: usize = 10_000;

/// Requests of one kind, processed in turn.
pub struct Case {
    /// `limited/valid/10`
    pub name: String,
    /// NIKs of each request.
    pub size: usize,
    /// The requests.
    pub requests: Vec<Vec<u8>>,
}

/// Every case, the same at each call.
pub fn all(regions: &Regions) -> Vec<Case> {
    let mut cases = Vec::new();
    for process in Process::ALL {
        for (kind, invalid, unreadable) in [("valid", 0.0, 0.0), ("mixed", 0.3, 0.05)] {
            for size in SIZES {
                let options =
                    Options { niks_per_request: size, invalid, unreadable, process: Some(process) };
                let mut generator = Generator::new(regions, 7, options);
                let request = |_| {
                    let mut request = Vec::new();
                    generator.request(&mut request);
                    request
                };
                cases.push(Case {
                    name: format!("{}/{kind}/{size}", process.as_str()),
                    size,
                    requests: (0..NIKS / size).map(request).collect(),
                });
            }
        }
    }
    cases
}

/// The region data built in.
pub fn regions() -> Arc<Regions> {
    Arc::new(dataset::regions(RetiredCodes::All).expect("the tables are in order"))
}

/// The program's worker without Kafka: settings as they come, buffers that are kept.
pub struct Worker {
    processor: Processor,
    reference: Date,
    out: Vec<u8>,
}

impl Worker {
    /// A worker with empty buffers.
    pub fn new(regions: Arc<Regions>) -> Self {
        Self {
            processor: Processor::new(regions, Settings::default()),
            reference: Date::parse("2026-06-15").expect("a date"),
            out: Vec::new(),
        }
    }

    /// Answers one request.
    pub fn answer(&mut self, request: &[u8]) {
        let request = black_box(Some(request));
        let outcome = self.processor.process(request, self.reference, &mut self.out);
        black_box((outcome, self.out.as_slice()));
    }
}
