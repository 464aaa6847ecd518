//! A model of the protocol that gives each request one outcome, checked exhaustively: every order of events within its bounds.
//!
//! docs/design/exactly-once.md says what is modelled and what it found.

mod cluster;
mod search;
mod start;
mod steps;
mod words;
mod worker;
mod world;

use cluster::Name;
use search::{Report, search};
use worker::Safeguards;
use world::{Faults, Protocol, Step};

const ALONE: &[Name] = &[Name::A];
const TWO: &[Name] = &Name::ALL;

/// One of each kind, but no marker is left out.
const ORDINARY: Faults = Faults {
    late_ends: 1,
    late_additions: 1,
    late_others: 1,
    crashes: 1,
    deaths: 1,
    removals: 1,
    stale_answers: 1,
    aborts: 1,
    timeouts: 1,
    left_out_commits: 0,
    left_out_aborts: 0,
    total: 2,
};
const ANY: Faults = Faults { left_out_commits: 1, left_out_aborts: 1, ..ORDINARY };
const NONE: Faults = Faults {
    late_ends: 0,
    late_additions: 0,
    late_others: 0,
    crashes: 0,
    deaths: 0,
    removals: 0,
    stale_answers: 0,
    aborts: 0,
    timeouts: 0,
    left_out_commits: 0,
    left_out_aborts: 0,
    total: 3,
};

fn check(workers: &'static [Name], safeguards: Safeguards, faults: Faults) -> Report<Step> {
    search(&Protocol { workers, safeguards, faults })
}

/// The report in words.
fn story(report: &Report<Step>) -> String {
    let mut story = vec![format!("{} states", report.states)];
    if let Some((fault, way)) = &report.found {
        story.extend((1..).zip(way).map(|(number, step)| format!("{number:3}. {step}")));
        story.push(format!("     {fault}"));
    }
    story.join("\n")
}

#[test]
fn with_all_safeguards_any_two_faults_are_harmless() {
    let report = check(TWO, Safeguards::ALL, ANY);
    println!("{}", story(&report));
    assert!(report.found.is_none());
    // A model that cannot move finds nothing either.
    assert!(report.states > 350_000);
}

/// A safeguard taken out, the faults that show it, and what they lead to.
struct Hole {
    safeguard: &'static str,
    workers: &'static [Name],
    with: Safeguards,
    without: Safeguards,
    faults: Faults,
    fault: &'static str,
}

fn hole(
    safeguard: &'static str,
    with: Safeguards,
    without: Safeguards,
    faults: Faults,
    fault: &'static str,
) -> Hole {
    Hole { safeguard, workers: TWO, with, without, faults, fault }
}

/// Each safeguard is the only difference between a program without a hole and one with it.
fn holes() -> Vec<Hole> {
    let all = Safeguards::ALL;
    // Without the safeguards of left out markers, which would hide the need for some of the others.
    let basic = Safeguards { settle: false, take_over: false, renewed_producer: false, ..all };
    let no_ledger = Safeguards { ledger: false, ..basic };
    vec![
        hole(
            "the replaced producer: a late commit",
            no_ledger,
            Safeguards { replaced_producer: false, ..no_ledger },
            Faults { late_ends: 1, ..NONE },
            "request 1 has 2 committed outcomes",
        ),
        hole(
            "the replaced producer: late positions",
            no_ledger,
            Safeguards { replaced_producer: false, ..no_ledger },
            Faults { late_others: 1, ..NONE },
            "the position is not committed",
        ),
        hole(
            "the replaced producer: a late abort",
            basic,
            Safeguards { replaced_producer: false, ..basic },
            Faults { late_ends: 1, aborts: 1, ..NONE },
            "request 0 is lost: the group is at 1",
        ),
        hole(
            "the membership before the first poll",
            basic,
            Safeguards { membership_first: false, ..basic },
            Faults { removals: 1, ..NONE },
            "request 0 has 2 committed outcomes",
        ),
        Hole {
            workers: ALONE,
            ..hole(
                "the own position as a floor",
                no_ledger,
                Safeguards { own_floor: false, ..no_ledger },
                Faults { removals: 1, stale_answers: 1, ..NONE },
                "request 0 has 2 committed outcomes",
            )
        },
        hole(
            "the second ledger",
            basic,
            no_ledger,
            Faults { removals: 1, stale_answers: 1, ..NONE },
            "request 0 has 2 committed outcomes",
        ),
        hole(
            "the wait for a hidden entry of the ledger",
            basic,
            Safeguards { patient_ledger: false, ..basic },
            Faults { removals: 1, stale_answers: 1, ..NONE },
            "request 1 has 2 committed outcomes",
        ),
        hole(
            "the sweep",
            basic,
            Safeguards { sweep: false, ..basic },
            Faults { aborts: 1, left_out_aborts: 1, ..NONE },
            "request 0 has 2 committed outcomes",
        ),
        hole(
            "init_transactions before subscribing",
            basic,
            Safeguards { init_first: false, ..basic },
            Faults { crashes: 1, ..NONE },
            "request 0 is never answered",
        ),
    ]
}

/// The same where markers are left out.
fn holes_of_markers() -> Vec<Hole> {
    let all = Safeguards::ALL;
    vec![
        hole(
            "the settled transaction at a start",
            all,
            Safeguards { settle: false, ..all },
            Faults { left_out_commits: 1, crashes: 1, ..NONE },
            "request 1 is never answered",
        ),
        hole(
            "the transaction of a dead producer",
            all,
            Safeguards { take_over: false, ..all },
            Faults { left_out_commits: 1, deaths: 1, ..NONE },
            "request 1 is never answered",
        ),
        hole(
            "the renewed producer",
            all,
            Safeguards { renewed_producer: false, held_back_begin: false, ..all },
            Faults { left_out_commits: 1, aborts: 1, ..NONE },
            "request 0 is lost: the group is at 1",
        ),
        hole(
            "the epoch that is held back",
            all,
            Safeguards { held_back_begin: false, ..all },
            Faults { left_out_commits: 1, aborts: 1, ..NONE },
            "request 0 is lost: the group is at 1",
        ),
    ]
}

#[test]
fn each_safeguard_closes_a_hole() {
    for Hole { safeguard, workers, with, without, faults, fault } in
        holes().into_iter().chain(holes_of_markers())
    {
        let report = check(workers, without, faults);
        println!("\nwithout {safeguard}: {}", story(&report));
        let found = report.found.as_ref().map(|(fault, _)| fault.as_str());
        assert_eq!(found, Some(fault), "without {safeguard}");
        let report = check(workers, with, faults);
        assert!(report.found.is_none(), "with {safeguard}: {}", story(&report));
    }
}
