//! The measured cases: requests of every size, with every process, of valid NIKs only and of a
//! mixture, and those of `explain` also of claims.

use std::hint::black_box;
use std::sync::Arc;

use nik::Date;
use nik::dataset;
use nik::region::{Regions, RetiredCodes};
use nik_wire::Process;
use nik_wire::generate::{Generator, Options};
use nik_wire::process::{Processor, Settings};

/// Numbers of NIKs per request.
const SIZES: [usize; 6] = [1, 3, 10, 100, 1_000, 10_000];
/// The number of NIKs in all requests of a case: enough that the branch predictor cannot memorize
/// them.
const NIKS: usize = 10_000;

/// Requests of one kind.
pub struct Case {
    /// For example `limited/valid/10`.
    pub name: String,
    /// The number of NIKs in each request.
    pub size: usize,
    pub requests: Vec<Vec<u8>>,
}

/// Every case; the requests are the same at each call.
pub fn all(regions: &Regions) -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds = [
        ("valid", Options { invalid: 0.0, ..Options::default() }),
        ("mixed", Options { invalid: 0.3, unreadable: 0.05, ..Options::default() }),
        ("claims", Options { invalid: 0.0, claims: 1.0, mismatch: 0.3, ..Options::default() }),
    ];
    for process in Process::ALL {
        for (kind, options) in kinds {
            // The other processes do not read claims.
            if kind == "claims" && process != Process::Explain {
                continue;
            }
            for size in SIZES {
                let options = Options { niks_per_request: size, process: Some(process), ..options };
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

pub fn regions() -> Arc<Regions> {
    Arc::new(dataset::regions(RetiredCodes::All).expect("well-formed tables"))
}

/// A worker of the service without Kafka: default settings, and buffers that are reused.
pub struct Worker {
    processor: Processor,
    reference: Date,
    out: Vec<u8>,
}

impl Worker {
    pub fn new(regions: Arc<Regions>) -> Self {
        Self {
            processor: Processor::new(regions, Settings::default()),
            reference: Date::parse("2026-06-15").expect("a date"),
            out: Vec::new(),
        }
    }

    pub fn answer(&mut self, request: &[u8]) {
        let request = black_box(Some(request));
        let outcome = self.processor.process(request, self.reference, &mut self.out);
        black_box((outcome, self.out.as_slice()));
    }
}
