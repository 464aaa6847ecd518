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

fn faults() -> Faults {
    let total = std::env::var("TOTAL").map_or(2, |it| it.parse().unwrap());
    let skip = std::env::var("SKIP").map_or(0, |it| it.parse().unwrap());
    Faults {
        late: 1,
        crashes: 1,
        removals: 1,
        stale_answers: 1,
        skipped_markers: skip,
        aborts: 1,
        timeouts: 1,
        total,
    }
}

#[test]
fn explore() {
    run(Mends::ALL, faults());
}

#[test]
fn off() {
    let all = Mends::ALL;
    for (name, mends) in [
        ("replaced_producer", Mends { replaced_producer: false, ..all }),
        ("membership_first", Mends { membership_first: false, ..all }),
        ("own_floor", Mends { own_floor: false, ..all }),
        ("own_floor and ledger", Mends { own_floor: false, ledger: false, ..all }),
        ("ledger", Mends { ledger: false, ..all }),
        ("sweep", Mends { sweep: false, ..all }),
        ("init_first", Mends { init_first: false, ..all }),
        ("repair", Mends { repair: false, ..all }),
    ] {
        println!("=== without {name}");
        run(mends, faults());
    }
}
