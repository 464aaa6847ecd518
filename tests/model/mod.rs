//! A model of the protocol that makes each request answered exactly once, checked exhaustively.
//!
//! docs/design/exactly-once.md says what it covers.

mod cluster;
mod search;
mod start;
mod worker;
mod world;

use search::{Report, search};
use worker::Mends;
use world::{Faults, Protocol, Step};

fn run(mends: Mends, faults: Faults) -> Report<Step> {
    let begun = std::time::Instant::now();
    let report = search(&Protocol { mends, faults });
    println!("{} states in {:?}", report.states, begun.elapsed());
    if let Some((fault, way)) = &report.found {
        println!("{fault}, after");
        for (number, step) in way.iter().enumerate() {
            println!("{:3}. {step}", number + 1);
        }
    }
    report
}

#[test]
fn explore() {
    let total = std::env::var("TOTAL").map_or(2, |it| it.parse().unwrap());
    let skip = std::env::var("SKIP").map_or(0, |it| it.parse().unwrap());
    let faults = Faults {
        late: 1,
        crashes: 1,
        removals: 1,
        stale_answers: 1,
        skipped_markers: skip,
        aborts: 1,
        timeouts: 1,
        total,
    };
    run(Mends::ALL, faults);
}
