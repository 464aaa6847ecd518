//! A producer's bad release: the flood breaker opens before the dead letters fill their topic, and nothing is lost by it.

use super::audit::{Differences, counted, counters, differences};
use super::load::Requests;
use super::stage::{Stage, assigned, ready, stop, wait_until};
use crate::cluster::{NewRecord, Program, ProgramSettings, shared};

const PARTITIONS: usize = 4;
/// The most dead letters that are no flood.
const LIMIT: usize = 100;

/// A breaker that opens above [`LIMIT`] of twice as many, and tries again after so long.
fn settings(stage: &Stage, cool_down_ms: &str) -> ProgramSettings {
    stage
        .settings()
        .set("delivery.max_failure_ratio", "0.5")
        .set("delivery.failure_window", "200")
        .set("delivery.failure_cool_down_ms", cool_down_ms)
}

/// Requests that cannot be read, numbered from `first` on.
fn broken(first: usize, count: usize) -> impl Iterator<Item = NewRecord> {
    let requests = Requests::new(first, PARTITIONS).take(count);
    requests.map(|request| NewRecord { value: Some(b"{".to_vec()), ..request })
}

/// Requests as good as any: one in ten is broken.
fn sound(first: usize, count: usize) -> impl Iterator<Item = NewRecord> {
    Requests::new(first, PARTITIONS).take(count)
}

/// An instance whose two workers have their shares. (What a worker sends in mid change may be given up and come again, and waits then
/// behind the breaker that it has opened.)
fn settled(settings: &ProgramSettings) -> Program {
    let program = ready(settings);
    wait_until("each worker has a share", || {
        let log = program.stderr();
        let is_some = |worker: usize, first: usize| {
            log.contains(&format!(r#""worker":{worker},"change":"Assigned([{first}"#))
        };
        (0..2).all(|worker| (0..PARTITIONS).any(|first| is_some(worker, first)))
    });
    program
}

fn is_open(program: &Program) -> bool {
    let metrics = program.get("/metrics"); // none until HTTP is served
    metrics.is_some_and(|(_, text)| text.contains("\nnik_stream_breaker_open 1\n"))
}

fn dead_letters(stage: &Stage) -> usize {
    shared().read_committed(&stage.failures).len()
}

/// How often the breaker changed to this state, by the log.
fn changes(program: &Program, state: &str) -> usize {
    program.stderr().matches(&format!(r#""breaker":"{state}""#)).count()
}

#[test]
fn a_flood_stops_after_a_window_and_goes_on_when_an_operator_accepts_it() {
    let stage = Stage::new(shared(), "flood", PARTITIONS);
    let program = settled(&settings(&stage, "600000"));
    let mut sent: Vec<_> = broken(0, 2_000).collect();
    shared().produce(&stage.requests, &sent);
    wait_until("the breaker opens", || is_open(&program));
    let (status, why) = program.get("/readyz").expect("an answer");
    assert_eq!(status, 503);
    assert!(why.contains("the flood breaker is open until 20"), "{why}");
    assert_eq!(program.get("/livez").expect("an answer").0, 200);
    wait_until("what went out is committed", || dead_letters(&stage) == LIMIT);
    // Good requests behind the flood wait as well.
    sent.extend(sound(2_000, 1_000));
    shared().produce(&stage.requests, &sent[2_000..]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (results, failures) = stage.outcomes(shared());
    assert_eq!((results.len(), failures.len()), (0, LIMIT));

    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 200);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    wait_until("all is counted, once", || counted(&program.metrics()) == counters(&sent));
    wait_until("it is ready", || program.ready());
    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 409);
    for state in ["open", "accepted"] {
        assert_eq!(changes(&program, state), 1, "{state}");
    }
    stop(program);
}

#[test]
fn after_each_cool_down_a_window_more_goes_out_until_the_flood_is_over() {
    for guarantee in ["exactly_once", "at_least_once"] {
        let stage = Stage::new(shared(), "half-open", PARTITIONS);
        let program = settled(&settings(&stage, "1500").set("delivery.guarantee", guarantee));
        let mut sent: Vec<_> = broken(0, 450).collect();
        shared().produce(&stage.requests, &sent);
        wait_until("all of the flood is out", || {
            let found = dead_letters(&stage);
            let windows = 1 + changes(&program, "half_open");
            assert!(found <= windows * LIMIT, "{found} in {windows} windows");
            found == sent.len()
        });
        assert_eq!(changes(&program, "open"), 4);
        assert_eq!(changes(&program, "closed"), 0);
        sent.extend(sound(450, 1_000));
        shared().produce(&stage.requests, &sent[450..]);
        wait_until("the flood is over", || changes(&program, "closed") > 0);
        let outcomes = stage.wait_for_outcomes(shared(), sent.len());
        assert_eq!(differences(&sent, &outcomes), Differences::default());
        wait_until("it is ready", || program.ready());
        stop(program);
    }
}

#[test]
fn while_it_is_open_members_come_and_go_and_a_stop_ends_well() {
    let stage = Stage::new(shared(), "flood-rebalance", PARTITIONS);
    // A worker each: no other of its instance joins while the flood goes out.
    let settings = settings(&stage, "600000").set("kafka.workers", "1");
    let first = ready(&settings);
    let mut sent: Vec<_> = broken(0, 2_000).collect();
    shared().produce(&stage.requests, &sent);
    wait_until("the breaker opens", || is_open(&first));
    wait_until("what went out is committed", || dead_letters(&stage) == LIMIT);
    let second = settings.run();
    wait_until("it answers", || second.get("/livez").is_some());
    wait_until("both have partitions", || {
        assigned(&first) > 0 && assigned(&second) == PARTITIONS - assigned(&first)
    });
    wait_until("the other opens its own", || is_open(&second));
    wait_until("what went out is committed", || dead_letters(&stage) == 2 * LIMIT);
    stop(first);
    wait_until("the other has all partitions", || assigned(&second) == PARTITIONS);
    sent.extend(sound(2_000, 500));
    shared().produce(&stage.requests, &sent[2_000..]);
    assert_eq!(second.post("/breaker/resume").expect("an answer").0, 200);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    // A partition that was paused, went away and came back is read.
    let third = settings.run();
    wait_until("it answers", || third.get("/livez").is_some());
    wait_until("both have partitions", || {
        assigned(&third) > 0 && assigned(&third) == PARTITIONS - assigned(&second)
    });
    stop(third);
    wait_until("it has all partitions", || assigned(&second) == PARTITIONS);
    let more: Vec<_> = sound(3_000, 500).collect();
    shared().produce(&stage.requests, &more);
    sent.extend(more);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    stop(second);
}

#[test]
fn with_a_share_of_one_the_breaker_is_off() {
    let stage = Stage::new(shared(), "no-breaker", PARTITIONS);
    let sent: Vec<_> = broken(0, 2_000).collect();
    shared().produce(&stage.requests, &sent);
    let settings = settings(&stage, "600000").set("delivery.max_failure_ratio", "1");
    let program = settings.run();
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    assert_eq!(changes(&program, "open"), 0);
    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 409);
    stop(program);
}
