//! A producer has a bad release: the flood breaker opens before dead letters fill their topic, and
//! no request is lost.

use crate::cluster::{NewRecord, Program, ProgramSettings, shared};
use crate::traffic::audit::{Differences, counted, counters, differences};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, assigned, ready, share, stop, wait_until};

const PARTITIONS: usize = 4;
/// The number of dead letters after which the breaker opens.
const LIMIT: usize = 100;

/// The breaker opens above [`LIMIT`] dead letters among twice as many outcomes, and half-opens
/// after the cool-down.
fn settings(stage: &Stage, cool_down_ms: &str) -> ProgramSettings {
    stage
        .settings()
        .set("delivery.max_failure_ratio", "0.5")
        .set("delivery.failure_window", "200")
        .set("delivery.failure_cool_down_ms", cool_down_ms)
}

/// Malformed requests, numbered from `first` on.
fn broken(first: usize, count: usize) -> impl Iterator<Item = NewRecord> {
    let requests = Requests::new(first, PARTITIONS).take(count);
    requests.map(|request| NewRecord { value: Some(b"{".to_vec()), ..request })
}

/// Ordinary requests, of which one in ten is broken.
fn ordinary(first: usize, count: usize) -> impl Iterator<Item = NewRecord> {
    Requests::new(first, PARTITIONS).take(count)
}

/// An instance whose two workers both have partitions. (A rebalance may abort the epoch that opened
/// the breaker. Fewer dead letters than expected are then committed.)
fn settled(settings: &ProgramSettings) -> Program {
    let program = ready(settings);
    wait_until("each worker has partitions", || {
        let log = program.stderr();
        let is_some = |worker: usize, first: usize| {
            log.contains(&format!(r#""worker":{worker},"change":"Assigned([{first}"#))
        };
        (0..2).all(|worker| (0..PARTITIONS).any(|first| is_some(worker, first)))
    });
    program
}

pub fn is_open(program: &Program) -> bool {
    let metrics = program.get("/metrics"); // no answer before HTTP is served
    metrics.is_some_and(|(_, text)| text.contains("\nnik_stream_breaker_open 1\n"))
}

/// The requests without a committed outcome.
fn lag(program: &Program) -> f64 {
    let metrics = program.metrics().into_iter();
    let of_partitions = metrics.filter(|(name, _)| name.starts_with("nik_stream_lag_records{"));
    of_partitions.map(|(_, records)| records).sum()
}

pub fn dead_letters(stage: &Stage) -> usize {
    shared().read_committed(&stage.failures).len()
}

/// The number of changes of the breaker to this state, by the log.
fn changes(program: &Program, state: &str) -> usize {
    program.stderr().matches(&format!(r#""breaker":"{state}""#)).count()
}

#[test]
fn a_flood_is_stopped_after_a_window_until_an_operator_resumes_it() {
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
    // Ordinary requests behind the flood wait, too.
    sent.extend(ordinary(2_000, 1_000));
    shared().produce(&stage.requests, &sent[2_000..]);
    wait_until("it has seen them", || lag(&program) >= 2_900.0);
    let (results, failures) = stage.outcomes(shared());
    assert_eq!((results.len(), failures.len()), (0, LIMIT));

    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 200);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    wait_until("each request is counted once", || counted(&program.metrics()) == counters(&sent));
    wait_until("it is ready", || program.ready());
    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 409);
    for state in ["open", "accepted"] {
        assert_eq!(changes(&program, state), 1, "{state}");
    }
    stop(program);
}

#[test]
fn after_each_cool_down_one_more_window_passes_until_the_flood_is_over() {
    for guarantee in ["exactly_once", "at_least_once"] {
        let stage = Stage::new(shared(), "half-open", PARTITIONS);
        let program = settled(&settings(&stage, "1500").set("delivery.guarantee", guarantee));
        let mut sent: Vec<_> = broken(0, 450).collect();
        shared().produce(&stage.requests, &sent);
        wait_until("the whole flood has passed", || {
            let found = dead_letters(&stage);
            let windows = 1 + changes(&program, "half_open");
            assert!(found <= windows * LIMIT, "{found} in {windows} windows");
            found == sent.len()
        });
        assert_eq!(changes(&program, "open"), 4);
        assert_eq!(changes(&program, "closed"), 0);
        sent.extend(ordinary(450, 1_000));
        shared().produce(&stage.requests, &sent[450..]);
        wait_until("the flood is over", || changes(&program, "closed") > 0);
        let outcomes = stage.wait_for_outcomes(shared(), sent.len());
        assert_eq!(differences(&sent, &outcomes), Differences::default());
        wait_until("it is ready", || program.ready());
        stop(program);
    }
}

#[test]
fn members_join_leave_and_stop_while_the_breaker_is_open() {
    let stage = Stage::new(shared(), "flood-rebalance", PARTITIONS);
    // One worker each: otherwise the second worker of an instance would join during the flood.
    let settings = settings(&stage, "600000").set("kafka.workers", "1");
    let first = ready(&settings);
    let mut sent: Vec<_> = broken(0, 2_000).collect();
    shared().produce(&stage.requests, &sent);
    wait_until("the breaker opens", || is_open(&first));
    wait_until("what went out is committed", || dead_letters(&stage) == LIMIT);
    let second = settings.run();
    wait_until("it answers", || second.get("/livez").is_some());
    wait_until("both have partitions", || share([&first, &second], PARTITIONS));
    wait_until("the other opens its breaker", || is_open(&second));
    wait_until("what went out is committed", || dead_letters(&stage) == 2 * LIMIT);
    stop(first);
    wait_until("the other has all partitions", || assigned(&second) == PARTITIONS);
    sent.extend(ordinary(2_000, 500));
    shared().produce(&stage.requests, &sent[2_000..]);
    assert_eq!(second.post("/breaker/resume").expect("an answer").0, 200);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    // A partition that was paused, revoked and assigned again is read.
    let third = settings.run();
    wait_until("it answers", || third.get("/livez").is_some());
    wait_until("both have partitions", || share([&second, &third], PARTITIONS));
    stop(third);
    wait_until("it has all partitions", || assigned(&second) == PARTITIONS);
    let more: Vec<_> = ordinary(3_000, 500).collect();
    shared().produce(&stage.requests, &more);
    sent.extend(more);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    stop(second);
}

#[test]
fn a_ratio_of_one_disables_the_breaker() {
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
