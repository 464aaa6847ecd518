//! Positions move past the markers of transactions and past aborted records, so that monitors of
//! the group's lag see none.

use std::time::Duration;

use crate::cluster::{NewRecord, shared, unique};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, stop, wait_until};

#[test]
fn the_positions_of_an_idle_stream_move_past_aborted_requests_and_markers() {
    let stage = Stage::new(shared(), "markers", 2);
    let program = stage.run();
    let producer = shared().transactional_producer_for(&unique("aborts"), Duration::from_mins(1));
    let requests: Vec<_> = Requests::new(0, 2).take(20).collect();
    let send = |partition: i32| {
        for request in &requests[..10] {
            let request = NewRecord { partition: Some(partition), ..request.clone() };
            producer.send(&stage.requests, &request);
        }
    };
    // Partition 0 has nothing but aborted requests; partition 1 has them after answered ones.
    producer.transaction(false, || send(0));
    let answered: Vec<_> = requests[10..]
        .iter()
        .map(|request| NewRecord { partition: Some(1), ..request.clone() })
        .collect();
    producer
        .transaction(true, || answered.iter().for_each(|it| producer.send(&stage.requests, it)));
    producer.transaction(false, || send(1));

    let outcomes = stage.wait_for_outcomes(shared(), answered.len());
    assert_eq!(differences(&answered, &outcomes), Differences::default());
    // Ten requests and a marker; twice ten requests and a marker.
    let ends = [(0, 11), (1, 22)].into();
    wait_until("the group has no lag", || {
        shared().committed(&stage.group, &stage.requests) == ends
    });

    // What follows is answered once, also by another process.
    stop(program);
    let program = stage.run();
    let later: Vec<_> = Requests::new(100, 2).take(10).collect();
    shared().produce(&stage.requests, &later);
    let outcomes = stage.wait_for_outcomes(shared(), answered.len() + later.len());
    let all = [answered, later].concat();
    assert_eq!(differences(&all, &outcomes), Differences::default());
    stop(program);
}
