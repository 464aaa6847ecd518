//! Counters change with commits: they never exceed what a `read_committed` reader sees, and equal
//! it when nothing is in flight.

use std::collections::HashSet;

use crate::cluster::{NewRecord, Program, Record, shared};
use crate::traffic::audit::{counted, counters};
use crate::traffic::load::{Load, Requests, number};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, ready, stop, wait_until};

const PARTITIONS: usize = 4;

/// The number of outcomes that an instance has counted.
fn outcomes_counted(program: &Program) -> u64 {
    let counts = counted(&program.metrics());
    let of_requests = |(name, _): &(&String, &u64)| name.starts_with("nik_stream_requests_total");
    counts.iter().filter(of_requests).map(|(_, count)| count).sum()
}

fn numbers((results, failures): &(Vec<Record>, Vec<Record>)) -> HashSet<Option<usize>> {
    let numbers = results.iter().chain(failures);
    numbers.map(|outcome| number(outcome.key.as_deref())).collect()
}

#[test]
fn every_counted_outcome_can_be_read_whenever_the_program_is_frozen() {
    let stage = Stage::new(shared(), "frozen", PARTITIONS);
    let load = Load::start(shared(), &stage.requests, PARTITIONS, 400);
    let reader = Reader::start(shared(), &stage);
    let program = stage.run();
    for moment in 0..15 {
        load.wait_for(40 + 7 * moment);
        let counted = outcomes_counted(&program);
        program.signal("STOP");
        wait_until("the counted outcomes can be read", || reader.count() as u64 >= counted);
        program.signal("CONT");
    }
    let sent = load.finish();
    reader.wait_for(sent.len());
    wait_until("the counters equal what was read", || {
        counted(&program.metrics()) == counters(&sent)
    });
    stop(program);
}

#[test]
fn each_process_counts_only_its_own_outcomes() {
    let stage = Stage::new(shared(), "lives", PARTITIONS);
    let mut requests = Requests::new(0, PARTITIONS);
    let mut send = |count: usize| -> Vec<NewRecord> {
        let sent: Vec<_> = requests.by_ref().take(count).collect();
        shared().produce(&stage.requests, &sent);
        sent
    };

    // Killed when idle: it has counted all its outcomes, and all can be read.
    let first = stage.run();
    let mut all = send(300);
    stage.wait_for_outcomes(shared(), 300);
    wait_until("the first process has counted its outcomes", || {
        counted(&first.metrics()) == counters(&all)
    });
    first.kill9();

    // Killed at work, which its many small epochs make long: at least as many outcomes can be read
    // as it has counted.
    let second = ready(&stage.settings().set("delivery.commit_bytes", "1024"));
    all.extend(send(20_000));
    let mut counted_last = 0;
    wait_until("the second process has counted outcomes", || {
        counted_last = outcomes_counted(&second);
        counted_last > 0
    });
    second.kill9();
    let read = numbers(&stage.outcomes(shared()));
    assert!(read.len() as u64 >= 300 + counted_last);
    assert!(read.len() < all.len(), "killed too late: no request was left");

    // The third counts exactly the remaining ones.
    let third = stage.run();
    stage.wait_for_outcomes(shared(), all.len());
    let rest = all.iter().filter(|request| !read.contains(&number(request.key.as_deref())));
    let rest = counters(rest);
    wait_until("the third process has counted the rest", || counted(&third.metrics()) == rest);
    stop(third);
}
