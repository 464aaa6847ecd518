//! The synthetic requests: the same for the same seed, and judged as they are meant.

use clap::{Args, Command, FromArgMatches};
use nik_stream::cli::generate::{GenerateArgs, generate};
use nik_stream::codec::{Limits, Process};
use nik_stream::dataset;
use nik_stream::generate::{Fault, Generator, Options};
use nik_stream::nik::Summary;
use nik_stream::pipeline::process::{Outcome, Processor, Settings};
use nik_stream::region::RetiredCodes;

use crate::sample::{date, processor, regions};

fn arguments(list: &str) -> Result<GenerateArgs, clap::Error> {
    let command = GenerateArgs::augment_args(Command::new("generate").no_binary_name(true));
    GenerateArgs::from_arg_matches(&command.try_get_matches_from(list.split(' '))?)
}

fn generated(list: &str) -> String {
    let mut output = Vec::new();
    generate(&arguments(list).unwrap(), &regions(), &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

/// The counts over `count` requests of ten NIKs, by process.
fn judged(
    processor: &mut Processor,
    mut generator: Generator,
    count: usize,
) -> [(usize, Summary); 2] {
    let mut counts = [(0, Summary::default()); 2];
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
fn seed_1_gives_the_bytes_it_always_gave() {
    let lines = generated("--count 20 --seed 1 --niks-per-request 3 --invalid 0.3");
    assert_eq!(lines, include_str!("golden/generate/seed-1.jsonl"));
    assert_ne!(lines, generated("--count 20 --seed 2 --niks-per-request 3 --invalid 0.3"));
}

#[test]
fn as_many_lines_and_niks_as_asked_for() {
    for (count, niks) in [(0, 1), (1, 0), (7, 1), (3, 11)] {
        let lines = generated(&format!("--count {count} --niks-per-request {niks}"));
        assert_eq!(lines.lines().count(), count);
        for line in lines.lines() {
            let request: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(request["nik"].as_array().unwrap().len(), niks);
        }
    }
    let full = generated("--count 50 --process full");
    assert!(full.lines().all(|line| line.ends_with(r#""process":"full"}"#)));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for list in [
        "--seed 1",
        "--count x",
        "--count 1 --invalid 1.1",
        "--count 1 --invalid NaN",
        "--count 1 --process x",
    ] {
        assert_eq!(arguments(list).expect_err("wrong").exit_code(), 2, "{list}");
    }
}

#[test]
fn without_invalid_ones_every_nik_is_valid_under_the_codes_in_force() {
    let regions = dataset::regions(RetiredCodes::None).unwrap();
    let options = Options { niks_per_request: 10, invalid: 0.0, ..Options::default() };
    let generator = Generator::new(&regions, 5, options);
    let settings = Settings { min_age: 17, ..Settings::default() };
    let counts = judged(&mut Processor::new(regions.into(), settings), generator, 1000);
    for (requests, summary) in counts {
        assert!((400..600).contains(&requests), "{requests} of 1000");
        assert_eq!(summary.all_section, summary.number);
    }
}

#[test]
fn invalid_niks_are_invalid_in_every_section_and_have_their_share() {
    let options = Options {
        niks_per_request: 10,
        invalid: 1.0,
        process: Some(Process::Full),
        ..Options::default()
    };
    let [_, (_, all)] =
        judged(&mut processor(Settings::default()), Generator::new(&regions(), 5, options), 1000);
    assert_eq!((all.number_processed, all.all_section), (10_000, 0));
    for valid in [all.length, all.area, all.dob, all.gender, all.computerized] {
        assert!((1000..9900).contains(&valid), "{all:?}");
    }

    let options = Options { invalid: 0.25, unreadable: 0.1, ..options };
    let [_, (_, all)] =
        judged(&mut processor(Settings::default()), Generator::new(&regions(), 5, options), 1000);
    assert!((900..1100).contains(&all.error), "{all:?}");
    assert!((6500..7000).contains(&all.all_section), "{all:?}");
}

#[test]
fn every_fault_ends_as_it_should_in_all_its_variants() {
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
