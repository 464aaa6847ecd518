//! A producer that keeps its transaction open holds back what follows in the partition, and the
//! program says so.

use std::time::Duration;

use crate::cluster::{NewRecord, Program, shared, unique};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

fn hidden(program: &Program) -> f64 {
    program.metrics()["nik_stream_stable_lag_records{partition=\"1\"}"]
}

#[test]
fn an_open_transaction_of_a_producer_is_measured_and_readiness_names_its_partition() {
    let stage = Stage::new(shared(), "open", 2);
    let mut program = stage.run();
    let producer = shared().transactional_producer_for(&unique("sleepy"), Duration::from_mins(10));
    let request = || NewRecord { partition: Some(1), ..Requests::new(0, 1).next().expect("one") };
    producer.transaction(true, || {
        producer.send(&stage.requests, &request());
        producer.flush();
        let plain = [request(), request()];
        shared().produce(&stage.requests, &plain);
        wait_until("three records are hidden", || hidden(&program) >= 3.0);
        assert!(program.ready(), "transactions may take a while");
        assert_eq!(stage.outcomes(shared()), (Vec::new(), Vec::new()));
        // In two steps, since 50 s are almost as long as a test waits for anything.
        for seconds in [25.0, 50.0] {
            wait_until(&format!("it has been open for {seconds} s"), || {
                program.metrics()["nik_stream_stable_lag_seconds{partition=\"1\"}"] > seconds
            });
        }
        wait_until("it is not ready any more", || !program.ready());
        let (_, why) = program.get("/readyz").expect("it answers");
        let partition =
            format!("{} partition 1: a producer's transaction is open at offset 0", stage.requests);
        assert!(why.contains(&partition), "{why}");
        wait_for_obstacle(&program, Obstacle::OpenTransaction, &partition);
        let found = shared().tool(
            "org.apache.kafka.tools.TransactionsCommand",
            &["describe-producers", "--topic", &stage.requests, "--partition", "1"],
        );
        assert!(found.contains("CurrentTransactionStartOffset"), "{found}");
    });
    stage.wait_for_outcomes(shared(), 3);
    program.wait_ready(Duration::from_secs(20));
    wait_until("nothing is hidden", || hidden(&program) < 1.0);
    stop(program);
}
