//! An audit finds no fault in anything that a correct service can produce, and finds every single
//! change of it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;

use super::leftovers::Rules;
use super::matching::{Content, Identity, Kind, Left, Matcher, Place, Stream};
use super::tally::{Fault, Tally};
use nik_wire::Reason;

/// Partitions of each topic. The streams are those of requests, then results, then failures.
const PARTITIONS: usize = 2;
/// A request of this time or later is dated ahead: its outcome gets the time at which it is
/// written.
const AHEAD: i64 = 1_000;

/// A request to be made.
#[derive(Clone, Debug)]
struct Spec {
    partition: usize,
    who: u64,
    when: i64,
    value: u8,
    fate: Fate,
    /// Offsets before the request, and before its outcome, that aborted records and markers take.
    gaps: (i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The brokers refuse the outcome, and a smaller failure takes its place.
    Refused,
    /// Dated ahead.
    Ahead,
    /// It fails under other settings and is replayed at the end.
    Replayed,
}

#[derive(Clone, Debug)]
struct Outcome {
    identity: Identity,
    content: Content,
    place: Place,
}

/// What the topics hold.
#[derive(Default)]
struct World {
    requests: Vec<(Left, Vec<Content>)>,
    outcomes: Vec<Outcome>,
    /// The next offset of each stream.
    next: [i64; 3 * PARTITIONS],
    positions: [i64; PARTITIONS],
    unanswered: u64,
}

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The outcome of a value: every third one fails.
fn content(value: u8, replays: u8) -> Content {
    let is_failure = value.is_multiple_of(3);
    let kind = if is_failure { Kind::Failure(Reason::MalformedJson) } else { Kind::Result };
    Content::new(hash((is_failure, value, replays)), kind)
}

fn refused(value: u8) -> Content {
    Content::new(hash((true, value, "refused")), Kind::Failure(Reason::ResultTooLarge))
}

impl World {
    fn of(specs: &[Spec], waiting: [usize; PARTITIONS], answered_ahead: usize) -> Self {
        let mut world = Self::default();
        for (partition, waiting) in waiting.into_iter().enumerate() {
            let all = specs.iter().filter(|spec| spec.partition == partition);
            let mut all: Vec<(Spec, u8)> = all.map(|spec| (spec.clone(), 0)).collect();
            let replayed = all.iter().filter(|(spec, _)| spec.fate == Fate::Replayed);
            let again = |(spec, _): &(Spec, u8)| (Spec { fate: Fate::Answered, ..spec.clone() }, 1);
            let replayed: Vec<_> = replayed.map(again).collect();
            all.extend(replayed);
            let count = all.len();
            let known = count - waiting.min(count);
            world.positions[partition] = i64::MAX;
            for (index, (spec, replays)) in all.into_iter().enumerate() {
                world.request(&spec, replays, index < known + answered_ahead);
                if index + 1 == known {
                    world.positions[partition] = world.next[partition];
                }
            }
            if known == 0 {
                world.positions[partition] = 0;
            }
        }
        world
    }

    fn place(&mut self, stream: usize, gap: i64) -> Place {
        let offset = self.next[stream] + gap;
        self.next[stream] = offset + 1;
        Place::new(stream, offset)
    }

    fn request(&mut self, spec: &Spec, replays: u8, is_answered: bool) {
        let when = spec.when + if spec.fate == Fate::Ahead { AHEAD } else { 0 };
        let identity = Identity { who: spec.who, when };
        let expected = content(spec.value, replays);
        let place = self.place(spec.partition, spec.gaps.0);
        let others = vec![refused(spec.value)];
        self.requests.push((Left { identity, content: expected, place }, others));
        if !is_answered {
            self.unanswered += 1;
            return;
        }
        let content = match spec.fate {
            Fate::Answered | Fate::Ahead => expected,
            Fate::Refused => refused(spec.value),
            Fate::Replayed => {
                Content::new(hash((true, spec.value, "old")), Kind::Failure(Reason::Internal))
            }
        };
        let when = if spec.fate == Fate::Ahead { AHEAD - 500 + spec.when } else { when };
        let topic = if content.is_result() { 1 } else { 2 };
        let place = self.place(topic * PARTITIONS + spec.partition, spec.gaps.1);
        let identity = Identity { when, ..identity };
        self.outcomes.push(Outcome { identity, content, place });
    }

    /// Audits the world, reading records in the order of `order`.
    fn audit(&self, order: u64) -> Tally {
        let requests = self.positions.map(|position| Stream::Requests {
            position: Some(position),
            results_deleted: false,
            failures_deleted: false,
        });
        let outcomes = [Stream::Outcomes { requests_deleted: false }; 2 * PARTITIONS];
        let mut matcher = Matcher::new(requests.into_iter().chain(outcomes).collect());
        let requests = self.requests.iter().map(|(it, _)| (it.identity, it.content, it.place));
        let outcomes = self.outcomes.iter().map(|it| (it.identity, it.content, it.place));
        let mut streams = vec![VecDeque::new(); 3 * PARTITIONS];
        for record in requests.chain(outcomes) {
            streams[record.2.stream()].push_back(record);
        }
        // Any interleaving that keeps the order within each stream.
        for step in 0.. {
            streams.retain(|stream| !stream.is_empty());
            let Some(last) = streams.len().checked_sub(1) else { break };
            #[expect(clippy::cast_possible_truncation, reason = "a few")]
            let chosen = (hash((order, step)) % (last as u64 + 1)) as usize;
            if let Some((identity, content, place)) = streams[chosen].pop_front() {
                matcher.add(identity, content, place);
            }
        }
        let mut leftovers = matcher.leftovers();
        let is_replaced = |requested: i64, written: i64| requested > written + 100;
        let rules = Rules { are_days_known: true, is_replaced: &is_replaced };
        if leftovers.need_second_look() {
            for (request, others) in &self.requests {
                leftovers.look_at(*request, others);
            }
        }
        let mut tally = Tally::default();
        leftovers.settle(&rules, &mut tally);
        tally
    }
}

fn faults(tally: &Tally) -> [u64; 4] {
    Fault::ALL.map(|fault| tally.count(fault))
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Ahead),
        1 => Just(Fate::Replayed),
    ]
}

/// Requests, some of which nothing tells apart.
fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let spec = (0..PARTITIONS, 0..5_u64, 0..3_i64, 0..6_u8, fate(), (0..3_i64, 0..3_i64));
    let spec = spec.prop_map(|(partition, who, when, value, fate, gaps)| {
        let fate = if fate == Fate::Refused && value % 3 == 0 { Fate::Answered } else { fate };
        Spec { partition, who, when, value, fate, gaps }
    });
    prop::collection::vec(spec, 1..40)
}

/// The same requests, each with another key.
fn distinct(specs: Vec<Spec>) -> Vec<Spec> {
    let numbered = specs.into_iter().zip(0..);
    numbered.map(|(spec, who)| Spec { who, ..spec }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_a_right_service_produces_has_no_faults(
        specs in specs(),
        waiting in [0..4_usize, 0..4_usize],
        ahead in 0..4_usize,
        order in any::<u64>(),
    ) {
        // None is answered ahead: of two equal requests the earlier one would then count as in
        // flight, while the later one is answered.
        let world = World::of(&specs, waiting, 0);
        let tally = world.audit(order);
        prop_assert_eq!(faults(&tally), [0; 4]);
        prop_assert_eq!(tally.in_flight, world.unanswered);
        let world = World::of(&distinct(specs), waiting, ahead);
        let tally = world.audit(order);
        prop_assert_eq!(faults(&tally), [0; 4]);
        prop_assert_eq!(tally.in_flight, world.unanswered);
    }

    #[test]
    fn every_single_removal_doubling_or_change_is_found(
        specs in specs(),
        chosen in any::<prop::sample::Index>(),
        order in any::<u64>(),
    ) {
        let mut world = World::of(&specs, [0; PARTITIONS], 0);
        let outcomes = world.outcomes.clone();
        let index = chosen.index(outcomes.len());
        let outcome = outcomes[index].clone();
        world.outcomes.remove(index);
        prop_assert!(world.audit(order).has_faults(), "removed");
        let kind = if outcome.content.is_result() {
            Kind::Result
        } else {
            Kind::Failure(Reason::MalformedJson)
        };
        // An audit does not compare the bytes of a failure whose request was sent again, nor those of
        // an outcome whose timestamp was replaced.
        let same = world.requests.iter().filter(|(it, _)| it.identity == outcome.identity).count();
        if same == 1 || same > 1 && outcome.content.is_result() {
            let content = Content::new(hash("changed"), kind);
            world.outcomes.insert(index, Outcome { content, ..outcome.clone() });
            prop_assert!(world.audit(order).has_faults(), "other bytes");
            world.outcomes.remove(index);
        }
        let identity = Identity { when: AHEAD - 1, ..outcome.identity };
        world.outcomes.insert(index, Outcome { identity, ..outcome.clone() });
        if outcome.identity.when < AHEAD - 500 {
            prop_assert!(world.audit(order).has_faults(), "another time");
        }
        let identity = Identity { who: 99, ..outcome.identity };
        world.outcomes[index].identity = identity;
        prop_assert!(world.audit(order).has_faults(), "another key");
        world.outcomes[index] = outcome.clone();
        let place = world.place(outcome.place.stream(), 0);
        world.outcomes.push(Outcome { place, ..outcome });
        prop_assert!(world.audit(order).has_faults(), "doubled");
    }

    #[test]
    fn a_fault_is_counted_once_and_its_place_is_named(
        specs in specs(),
        chosen in any::<prop::sample::Index>(),
        order in any::<u64>(),
    ) {
        let mut specs = distinct(specs);
        for spec in &mut specs {
            spec.fate = Fate::Answered;
        }
        let mut world = World::of(&specs, [0; PARTITIONS], 0);
        let index = chosen.index(world.outcomes.len());
        let outcome = world.outcomes[index].clone();
        let request = world.requests.iter().find(|(it, _)| it.identity == outcome.identity);
        let request = request.expect("each outcome has one").0;

        world.outcomes.remove(index);
        let tally = world.audit(order);
        prop_assert_eq!(faults(&tally), [1, 0, 0, 0]);
        prop_assert_eq!(tally.examples(), [(Fault::Lost, request.place)]);

        let content = Content::new(hash("changed"), Kind::Result);
        world.outcomes.insert(index, Outcome { content, ..outcome.clone() });
        let tally = world.audit(order);
        prop_assert_eq!(faults(&tally), [0, 0, 1, 0]);
        prop_assert_eq!(tally.examples(), [(Fault::Different, outcome.place)]);

        world.outcomes[index] = outcome.clone();
        let place = world.place(outcome.place.stream(), 0);
        for content in [outcome.content, content] {
            world.outcomes.push(Outcome { content, place, ..outcome.clone() });
            let tally = world.audit(order);
            prop_assert_eq!(faults(&tally), [0, 1, 0, 0]);
            prop_assert_eq!(tally.examples(), [(Fault::Doubled, place)]);
            world.outcomes.pop();
        }

        let identity = Identity { who: 99, ..outcome.identity };
        world.outcomes.push(Outcome { identity, place, ..outcome });
        let tally = world.audit(order);
        prop_assert_eq!(faults(&tally), [0, 0, 0, 1]);
        prop_assert_eq!(tally.examples(), [(Fault::Unexplained, place)]);
    }
}

#[test]
fn a_record_that_waits_takes_32_bytes() {
    assert_eq!(size_of::<Left>(), 32);
}
