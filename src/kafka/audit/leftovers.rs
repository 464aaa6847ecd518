//! Settles what matched nothing: what is a fault, and what is explained.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::matching::{Content, Identity, Left, MatchedRanges, Place, Stream};
use super::tally::{Fault, Tally};

/// The records that matched nothing.
pub struct Leftovers {
    streams: Vec<Stream>,
    matched: Vec<MatchedRanges>,
    requests: Vec<(Left, State)>,
    outcomes: Vec<(Left, State)>,
    /// Requests at or after the group's position, with the other contents that their outcomes may
    /// have. They need no outcome, so they get one only if no other request does.
    in_flight: Vec<(Left, Vec<Content>)>,
    /// The latest request with the identity of one of the outcomes.
    latest: HashMap<Identity, Place>,
    /// The timestamps of requests outside of the span that one of the outcomes may belong to.
    outside: HashMap<u64, Vec<i64>>,
}

/// What the second look at the requests found about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A further outcome with the right content; or a request that differs in nothing from another.
    Duplicate,
    Settled,
}

/// What leftovers are judged by.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Whether the day is known on which the service judged the requests.
    pub are_days_known: bool,
    /// Whether the service replaces the timestamp of a request (the first argument) by the time at
    /// which it writes the outcome (the second).
    pub is_replaced: &'a dyn Fn(i64, i64) -> bool,
}

impl Rules<'_> {
    /// Whether the outcome may belong to a request with this timestamp, which it does not carry.
    fn explain(&self, requested: i64, outcome: &Left) -> bool {
        outcome.place.has_brokers_time() || (self.is_replaced)(requested, outcome.identity.when)
    }

    /// Counts an outcome whose content is not what its request asks for.
    fn settle_other(&self, outcome: &Left, tally: &mut Tally) {
        if outcome.place.is_other_release() {
            tally.other_release += 1;
        } else if self.are_days_known {
            tally.add(Fault::Different, outcome.place);
        } else {
            tally.out_of_reach += 1;
        }
    }
}

impl Leftovers {
    pub fn new(
        streams: Vec<Stream>,
        matched: Vec<MatchedRanges>,
        mut requests: Vec<Left>,
        mut outcomes: Vec<Left>,
    ) -> Self {
        requests.sort_unstable();
        outcomes.sort_unstable();
        let open = |lefts: Vec<Left>| lefts.into_iter().map(|it| (it, State::Open)).collect();
        let (requests, outcomes) = (open(requests), open(outcomes));
        let (latest, outside) = (HashMap::new(), HashMap::new());
        Self { streams, matched, requests, outcomes, in_flight: Vec::new(), latest, outside }
    }

    /// How many records are left.
    pub fn count(&self) -> u64 {
        (self.requests.len() + self.outcomes.len()) as u64
    }

    /// Whether the requests must be read again, to know which of them the outcomes belong to.
    pub fn need_second_look(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// Whether [`Self::look_at`] needs the request with this identity.
    pub fn concern(&self, identity: Identity) -> bool {
        !self.outcomes_of(identity).is_empty()
    }

    fn outcomes_of(&self, identity: Identity) -> Range<usize> {
        range_of(&self.outcomes, identity)
    }

    /// The second look at a request of the span. `others` are the contents of its outcome that are
    /// right, too, such as a failure in place of a result that the broker refused.
    pub fn look_at(&mut self, request: Left, others: &[Content]) {
        let latest = self.latest.entry(request.identity).or_insert(request.place);
        *latest = request.place.max(*latest);
        let range = self.outcomes_of(request.identity);
        for (outcome, state) in &mut self.outcomes[range] {
            if *state == State::Open && outcome.content == request.content {
                *state = State::Duplicate;
            }
        }
        let range = range_of(&self.requests, request.identity);
        for (left, state) in &mut self.requests[range] {
            let is_other = left.place != request.place;
            if is_other && *state == State::Open && left.content == request.content {
                *state = State::Duplicate;
            }
        }
        if self.is_in_flight(&request) {
            self.in_flight.push((request, others.to_vec()));
        } else {
            self.settle_with(&request, others);
        }
    }

    /// Settles the request with an outcome that has one of these contents.
    fn settle_with(&mut self, request: &Left, contents: &[Content]) {
        let range = range_of(&self.requests, request.identity);
        let mut requests = self.requests[range].iter_mut();
        let Some((_, state)) = requests.find(|(left, _)| left.place == request.place) else {
            return;
        };
        let range = range_of(&self.outcomes, request.identity);
        let is_right = |(outcome, state): &&mut (Left, State)| {
            *state == State::Open && contents.contains(&outcome.content)
        };
        if let Some((_, outcome)) = self.outcomes[range].iter_mut().find(is_right) {
            *outcome = State::Settled;
            *state = State::Settled;
        }
    }

    /// The second look at a request outside of the span: its outcome may be inside if the service
    /// replaced the timestamp.
    pub fn look_outside(&mut self, identity: Identity, rules: &Rules<'_>) {
        let Identity { who, when } = identity;
        let first = self.outcomes.partition_point(|(it, _)| it.identity.who < who);
        let first = self.outcomes.get(first).filter(|(it, _)| it.identity.who == who);
        if first.is_some_and(|(outcome, _)| rules.explain(when, outcome)) {
            self.outside.entry(who).or_default().push(when);
        }
    }

    /// Counts every leftover.
    pub fn settle(mut self, rules: &Rules<'_>, tally: &mut Tally) {
        for (request, contents) in std::mem::take(&mut self.in_flight) {
            self.settle_with(&request, &contents);
        }
        let requests = std::mem::take(&mut self.requests);
        let outcomes = std::mem::take(&mut self.outcomes);
        let (mut requests, mut outcomes) = (&requests[..], &outcomes[..]);
        while let Some(who) = first_of(requests, outcomes, |identity| identity.who) {
            let requests = split_up_to(&mut requests, &who, |identity| identity.who);
            let outcomes = split_up_to(&mut outcomes, &who, |identity| identity.who);
            self.settle_same(who, requests, outcomes, rules, tally);
        }
    }

    /// Settles the records with one key and the same headers, whatever their timestamps.
    fn settle_same(
        &self,
        who: u64,
        mut requests: &[(Left, State)],
        mut outcomes: &[(Left, State)],
        rules: &Rules<'_>,
        tally: &mut Tally,
    ) {
        let (mut unanswered, mut unasked) = (Vec::new(), VecDeque::new());
        while let Some(identity) = first_of(requests, outcomes, |identity| identity) {
            let requests = split_up_to(&mut requests, &identity, |identity| identity);
            let outcomes = split_up_to(&mut outcomes, &identity, |identity| identity);
            let of_state = |wanted: State| {
                let outcomes = outcomes.iter().filter(move |(_, state)| *state == wanted);
                outcomes.map(|(outcome, _)| *outcome)
            };
            let mut open: VecDeque<Left> = of_state(State::Open).collect();
            let unsettled = requests.iter().filter(|(_, state)| *state != State::Settled);
            let mut requests: Vec<_> = unsettled.copied().collect();
            // Those in flight need no outcome, so they come last.
            requests.sort_by_key(|(request, _)| self.is_in_flight(request));
            let not_replayed = requests.iter().filter(|(request, state)| {
                !self.settle_replayed(request, *state == State::Duplicate, &mut open, tally)
            });
            // Only now, after all replays, is it known which failures are left for the others.
            for (request, _) in not_replayed.collect::<Vec<_>>() {
                match open.pop_front() {
                    Some(outcome) => rules.settle_other(&outcome, tally),
                    None => unanswered.push(*request),
                }
            }
            let is_known = self.latest.contains_key(&identity);
            for outcome in of_state(State::Duplicate).chain(open) {
                if self.is_request_deleted(&outcome) {
                    tally.out_of_reach += 1;
                } else if is_known {
                    tally.add(Fault::Doubled, outcome.place);
                } else {
                    unasked.push_back(outcome);
                }
            }
        }
        // Those in flight need no outcome here either.
        unanswered.sort_by_key(|request| self.is_in_flight(request));
        self.settle_replaced(who, &unanswered, unasked, rules, tally);
    }

    /// Settles a request with a failure of its identity if the request was sent again; else returns
    /// false.
    fn settle_replayed(
        &self,
        request: &Left,
        has_twin: bool,
        outcomes: &mut VecDeque<Left>,
        tally: &mut Tally,
    ) -> bool {
        let latest = self.latest.get(&request.identity);
        let is_replayed = has_twin || latest.is_some_and(|latest| *latest > request.place);
        let failure = outcomes.iter().position(|it| it.content.is_failure());
        let Some(failure) = failure.filter(|_| is_replayed) else { return false };
        outcomes.remove(failure);
        tally.replayed += 1;
        true
    }

    /// Settles requests and outcomes whose timestamps differ: they belong together if the service
    /// replaced the timestamp.
    fn settle_replaced(
        &self,
        who: u64,
        unanswered: &[Left],
        mut unasked: VecDeque<Left>,
        rules: &Rules<'_>,
        tally: &mut Tally,
    ) {
        let mut outside: Vec<i64> = self.outside.get(&who).cloned().unwrap_or_default();
        outside.sort_unstable();
        for when in outside {
            if unasked.front().is_some_and(|outcome| rules.explain(when, outcome)) {
                unasked.pop_front();
                tally.out_of_reach += 1;
            }
        }
        for request in unanswered {
            let when = request.identity.when;
            if unasked.front().is_some_and(|outcome| rules.explain(when, outcome)) {
                unasked.pop_front();
                tally.out_of_reach += 1;
            } else if self.is_in_flight(request) {
                tally.in_flight += 1;
            } else if self.is_outcome_deleted(request) {
                tally.out_of_reach += 1;
            } else {
                tally.add(Fault::Lost, request.place);
            }
        }
        for outcome in unasked {
            tally.add(Fault::Unexplained, outcome.place);
        }
    }

    /// Whether the request is at or after the group's position. If the group has none, its position
    /// was at least after the latest request with an outcome, as outcomes and positions are
    /// committed together.
    fn is_in_flight(&self, request: &Left) -> bool {
        let Stream::Requests { position, .. } = self.streams[request.place.stream()] else {
            return false;
        };
        let matched = &self.matched[request.place.stream()];
        let answered = matched.results.last.max(matched.failures.last);
        request.place.offset() >= position.unwrap_or(answered.map_or(0, |last| last + 1))
    }

    /// Whether retention has deleted the outcome. Outcomes are in the order of their requests, so
    /// those of the requests before the first one with an outcome were deleted first.
    fn is_outcome_deleted(&self, request: &Left) -> bool {
        let stream = request.place.stream();
        let Stream::Requests { results_deleted, failures_deleted, .. } = self.streams[stream]
        else {
            return false;
        };
        let (is_deleted, matched) = if request.content.is_result() {
            (results_deleted, self.matched[stream].results)
        } else {
            (failures_deleted, self.matched[stream].failures)
        };
        is_deleted && matched.first.is_none_or(|first| request.place.offset() < first)
    }

    /// Whether retention has deleted the request of an outcome, by the same argument.
    fn is_request_deleted(&self, outcome: &Left) -> bool {
        let stream = outcome.place.stream();
        let Stream::Outcomes { requests_deleted } = self.streams[stream] else { return false };
        let first = self.matched[stream].results.first;
        requests_deleted && first.is_none_or(|first| outcome.place.offset() < first)
    }
}

/// The records with this identity.
fn range_of(lefts: &[(Left, State)], identity: Identity) -> Range<usize> {
    let start = lefts.partition_point(|(it, _)| it.identity < identity);
    let same = lefts[start..].partition_point(|(it, _)| it.identity == identity);
    start..start + same
}

/// The lowest part of the identities of two sorted lists.
fn first_of<T: Ord>(
    requests: &[(Left, State)],
    outcomes: &[(Left, State)],
    part: impl Fn(Identity) -> T,
) -> Option<T> {
    let first = |lefts: &[(Left, State)]| lefts.first().map(|(it, _)| part(it.identity));
    first(requests).into_iter().chain(first(outcomes)).min()
}

/// Takes the records up to a part of the identity from a sorted list.
fn split_up_to<'a, T: Ord>(
    lefts: &mut &'a [(Left, State)],
    last: &T,
    part: impl Fn(Identity) -> T,
) -> &'a [(Left, State)] {
    let count = lefts.partition_point(|(it, _)| part(it.identity) <= *last);
    let (taken, rest) = lefts.split_at(count);
    *lefts = rest;
    taken
}
