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
        left_out_commits: skip & 1,
        left_out_aborts: skip >> 1 & 1,
        left_out_sweeps: skip >> 2 & 1,
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
    let built = Mends { repair: false, markers_first: false, ..all };
    let pick = std::env::var("PICK").unwrap_or_default();
    for (name, mends) in [
        ("nothing built", built),
        ("patient_ledger built", Mends { patient_ledger: false, ..built }),
        ("replaced_producer built", Mends { replaced_producer: false, ..built }),
        ("own_floor, no ledger built", Mends { own_floor: false, ledger: false, ..built }),
        ("ledger built", Mends { ledger: false, ..built }),
        ("sweep built", Mends { sweep: false, ..built }),
        ("init_first built", Mends { init_first: false, ..built }),
        ("sweep all", Mends { sweep: false, ..all }),
        ("repair all", Mends { repair: false, ..all }),
        ("markers_first all", Mends { markers_first: false, ..all }),
    ] {
        if !name.contains(&pick) { continue; }
        println!("=== without {name}");
        run(mends, faults());
    }
}
