//! Generated requests have the outcomes that they were generated for.

use std::sync::Arc;

use nik::dataset;
use nik::region::RetiredCodes;
use nik::{ExplainedSummary, Summary};
use nik_wire::generate::{Fault, Generator, Options, Truth};
use nik_wire::process::{Outcome, Processor, Settings};
use nik_wire::{Limits, Process};

use crate::sample::{date, processor, regions};

/// The number of requests and their counts by process, over `count` requests.
fn summaries(
    processor: &mut Processor,
    mut generator: Generator,
    count: usize,
) -> [(usize, Summary); 3] {
    let mut counts = [(0, Summary::default()); 3];
    let (mut request, mut out) = (Vec::new(), Vec::new());
    for _ in 0..count {
        request.clear();
        generator.request(&mut request);
        match processor.process(Some(&request), date("2026-01-01"), &mut out) {
            Outcome::Result { process, summary } => {
                let (requests, counts) = &mut counts[process as usize];
                *requests += 1;
                *counts += summary;
            }
            failure @ Outcome::Failure { .. } => panic!("{failure:?}"),
        }
    }
    counts
}

#[test]
fn with_a_share_of_0_invalid_every_nik_is_valid() {
    let regions = dataset::regions(RetiredCodes::None).unwrap();
    let options = Options { niks_per_request: 10, invalid: 0.0, ..Options::default() };
    let generator = Generator::new(&regions, 5, options);
    let settings = Settings { min_age: 17, ..Settings::default() };
    let counts = summaries(&mut Processor::new(regions.into(), settings), generator, 1000);
    assert_eq!(counts[2].0, 0, "explain is not chosen without claims");
    for (requests, summary) in &counts[..2] {
        assert!((400..600).contains(requests), "{requests} of 1000");
        assert_eq!(summary.all_section, summary.number);
    }
}

#[test]
fn every_section_is_invalid_in_some_niks_and_the_shares_are_kept() {
    let options = Options {
        niks_per_request: 10,
        invalid: 1.0,
        process: Some(Process::Full),
        ..Options::default()
    };
    let [_, (_, all), _] = summaries(
        &mut processor(Settings::default()),
        Generator::new(&regions(), 5, options),
        1000,
    );
    assert_eq!((all.number_processed, all.all_section), (10_000, 0));
    for valid in [all.length, all.area, all.dob, all.gender, all.computerized] {
        assert!((1000..9900).contains(&valid), "{all:?}");
    }

    let options = Options { invalid: 0.25, unreadable: 0.1, ..options };
    let [_, (_, all), _] = summaries(
        &mut processor(Settings::default()),
        Generator::new(&regions(), 5, options),
        1000,
    );
    assert!((900..1100).contains(&all.error), "{all:?}");
    assert!((6500..7000).contains(&all.all_section), "{all:?}");
}

#[test]
fn claims_have_the_outcomes_that_they_were_generated_for() {
    let regions = Arc::new(dataset::regions(RetiredCodes::None).unwrap());
    for (invalid, mismatch) in [(0.0, 0.0), (0.0, 0.2), (0.3, 0.1), (1.0, 1.0)] {
        let options =
            Options { niks_per_request: 20, invalid, claims: 0.5, mismatch, ..Options::default() };
        let mut generator = Generator::new(&regions, 11, options);
        let mut processor = Processor::new(regions.clone(), Settings::default());
        let (mut request, mut out) = (Vec::new(), Vec::new());
        let mut sum = ExplainedSummary::default();
        let mut explained = 0;
        for _ in 0..300 {
            request.clear();
            generator.request(&mut request);
            let outcome = processor.process(Some(&request), date("2026-01-01"), &mut out);
            match outcome {
                Outcome::Result { process: Process::Explain, summary } => {
                    assert_eq!(summary.error, 0);
                    explained += summary.number;
                    sum += processor.explained();
                }
                Outcome::Result { summary, .. } => assert_eq!(summary.error, 0, "no claims"),
                failure @ Outcome::Failure { .. } => panic!("{failure:?}"),
            }
        }
        let Truth { consistent, inconsistent } = generator.truth();
        assert_eq!((sum.consistent, sum.inconsistent), (consistent, inconsistent));
        let claims = consistent + inconsistent;
        assert!((explained * 4 / 10..explained * 6 / 10).contains(&claims), "{claims}");
        assert_eq!(inconsistent == 0, mismatch == 0.0, "{inconsistent} of {claims}");
        let areas = sum.declared[2].iter().sum::<u64>();
        assert!(areas > claims / 2, "{areas} areas");
    }
}

#[test]
fn every_fault_gives_its_reason_in_all_its_variants() {
    for (niks_per_request, limits) in
        [(1, Limits::default()), (3, Limits { niks_per_request: 3000, request_bytes: 1 << 19 })]
    {
        let settings =
            Settings { limits, result_bytes: 4 * limits.request_bytes / 2, ..Settings::default() };
        let mut processor = processor(settings);
        let options = Options { niks_per_request, ..Options::default() };
        let mut generator = Generator::new(&regions(), 9, options);
        let mut out = Vec::new();
        for fault in Fault::ALL {
            let large = [Fault::TooLarge, Fault::TooManyNiks, Fault::ResultTooLarge];
            for _ in 0..if large.contains(&fault) { 2 } else { 30 } {
                let value = generator.broken(fault, limits);
                let outcome = processor.process(value.as_deref(), date("2026-01-01"), &mut out);
                assert!(
                    matches!(outcome, Outcome::Failure { reason, .. } if reason == fault.reason()),
                    "{fault:?}: {outcome:?}"
                );
            }
        }
    }
}
