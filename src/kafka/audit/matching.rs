//! Matches outcomes with requests as multisets, without Kafka.
//!
//! A record that meets its counterpart is forgotten, so memory holds only what waits for one: while
//! requests and outcomes are read in step, nearly nothing. What is left at the end is settled in
//! `leftovers`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::leftovers::Leftovers;
use nik_wire::Reason;

/// What a request and its outcome have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// A hash of the key and of the headers that outcomes keep.
    pub who: u64,
    /// The timestamp in milliseconds since 1970; -1 if there is none.
    pub when: i64,
}

/// What an outcome is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Result,
    Failure(Reason),
    /// A record of the failures topic without a reason that this program knows.
    Foreign,
}

/// A hash of the topic and of the value of an outcome; its kind is in the lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content(u64);

impl Content {
    const KIND: u64 = 0x1f;
    const FOREIGN: u64 = 0x1f;

    pub fn new(hash: u64, kind: Kind) -> Self {
        let kind = match kind {
            Kind::Result => 0,
            Kind::Failure(reason) => {
                Reason::ALL.iter().zip(1..).find(|(it, _)| **it == reason).map_or(0, |(_, at)| at)
            }
            Kind::Foreign => Self::FOREIGN,
        };
        Self(hash & !Self::KIND | kind)
    }

    pub fn is_result(self) -> bool {
        self.0 & Self::KIND == 0
    }

    /// Whether it is a failure with a known reason.
    pub fn is_failure(self) -> bool {
        !self.is_result() && self.0 & Self::KIND != Self::FOREIGN
    }
}

/// Where a record is, and what else is known about it. Places of one stream are ordered by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

impl Place {
    /// Offsets count from the first one that is read, so that this suffices.
    const OFFSET_BITS: u32 = 40;
    const STREAM_BITS: u32 = 21;
    const OFFSET: u64 = (1 << Self::OFFSET_BITS) - 1;
    const STREAM: u64 = (1 << Self::STREAM_BITS) - 1;
    const OTHER_RELEASE: u64 = 1 << (Self::OFFSET_BITS + Self::STREAM_BITS);
    const BROKERS_TIME: u64 = Self::OTHER_RELEASE << 1;

    /// How many offsets a stream may have.
    pub const MAX_OFFSETS: i64 = 1 << Self::OFFSET_BITS;

    /// `offset` counts from the first one of the stream that is read.
    #[expect(clippy::cast_sign_loss, reason = "masked")]
    pub fn new(stream: usize, offset: i64) -> Self {
        Self((stream as u64 & Self::STREAM) << Self::OFFSET_BITS | offset as u64 & Self::OFFSET)
    }

    /// Notes that another release or other rules answered.
    #[must_use]
    pub fn of_other_release(self, is_other: bool) -> Self {
        if is_other { Self(self.0 | Self::OTHER_RELEASE) } else { self }
    }

    /// Notes that the broker wrote its own time into the record.
    #[must_use]
    pub fn with_brokers_time(self, is_brokers: bool) -> Self {
        if is_brokers { Self(self.0 | Self::BROKERS_TIME) } else { self }
    }

    pub fn is_other_release(self) -> bool {
        self.0 & Self::OTHER_RELEASE != 0
    }

    pub fn has_brokers_time(self) -> bool {
        self.0 & Self::BROKERS_TIME != 0
    }

    pub fn stream(self) -> usize {
        (self.0 >> Self::OFFSET_BITS & Self::STREAM) as usize
    }

    #[expect(clippy::cast_possible_wrap, reason = "40 bits")]
    pub fn offset(self) -> i64 {
        (self.0 & Self::OFFSET) as i64
    }
}

/// A partition of one of the topics. Offsets count from the first one that is read.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Requests {
        /// The group's position; `None` if it has none.
        position: Option<i64>,
        /// Whether retention may have deleted results, and failures, of its requests.
        results_deleted: bool,
        failures_deleted: bool,
    },
    Outcomes {
        /// Whether retention may have deleted requests whose outcomes it holds.
        requests_deleted: bool,
    },
}

/// What requests and outcomes are matched by: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    identity: Identity,
    content: Content,
}

/// A record whose counterpart was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    pub identity: Identity,
    pub content: Content,
    pub place: Place,
}

/// The range of offsets in which records have met their counterparts.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatchedRange {
    pub first: Option<i64>,
    pub last: Option<i64>,
}

impl MatchedRange {
    fn add(&mut self, offset: i64) {
        self.first = Some(self.first.map_or(offset, |first| first.min(offset)));
        self.last = self.last.max(Some(offset));
    }
}

/// Where the records of one stream have met their counterparts.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatchedRanges {
    /// In a stream of requests: those with a result. Of outcomes: those whose request was found.
    pub results: MatchedRange,
    /// In a stream of requests: those with a failure.
    pub failures: MatchedRange,
}

/// The records that wait for their counterpart.
pub struct Matcher {
    streams: Vec<Stream>,
    /// 32 bytes a record.
    waiting: HashMap<Key, Place>,
    /// Further records with the same key on the same side (requests, or outcomes), such as requests
    /// that do not differ.
    further: HashMap<Key, VecDeque<Place>>,
    /// The number of places in `further`.
    further_count: usize,
    /// Requests at or after the group's position. They need no outcome, so they get one only if no
    /// other request does.
    in_flight: Vec<(Key, Place)>,
    matched: Vec<MatchedRanges>,
}

impl Matcher {
    pub fn new(streams: Vec<Stream>) -> Self {
        let matched = vec![MatchedRanges::default(); streams.len()];
        let (waiting, further) = (HashMap::new(), HashMap::new());
        Self { streams, waiting, further, further_count: 0, in_flight: Vec::new(), matched }
    }

    /// The number of records that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.further_count + self.in_flight.len()
    }

    /// Adds a request, with the content that its outcome should have, or an outcome: the stream of
    /// its place says which.
    pub fn add(&mut self, identity: Identity, content: Content, place: Place) {
        let key = Key { identity, content };
        match self.streams[place.stream()] {
            Stream::Requests { position: Some(position), .. } if place.offset() >= position => {
                self.in_flight.push((key, place));
            }
            _ => self.meet(key, place),
        }
    }

    fn meet(&mut self, key: Key, place: Place) {
        match self.waiting.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(place);
            }
            Entry::Occupied(mut first) => {
                let counterpart = *first.get();
                let is_request = |place: Place| is_request(&self.streams, place);
                if is_request(counterpart) == is_request(place) {
                    self.further.entry(key).or_default().push_back(place);
                    self.further_count += 1;
                    return;
                }
                // The outcome goes to the latest request, and the request gets the first outcome.
                // So what is left is a request that was replayed later, or an outcome beyond the
                // first.
                let further = self.further.get_mut(&key);
                let next = further.and_then(|further| {
                    if is_request(counterpart) {
                        further.pop_back().map(|latest| (latest, counterpart))
                    } else {
                        further.pop_front().map(|next| (counterpart, next))
                    }
                });
                let matched = if let Some((matched, left)) = next {
                    self.further_count -= 1;
                    first.insert(left);
                    matched
                } else {
                    first.remove();
                    self.further.remove(&key);
                    counterpart
                };
                self.note_match(place, key.content);
                self.note_match(matched, key.content);
            }
        }
    }

    fn note_match(&mut self, place: Place, content: Content) {
        let matched = &mut self.matched[place.stream()];
        let is_failure = is_request(&self.streams, place) && !content.is_result();
        let range = if is_failure { &mut matched.failures } else { &mut matched.results };
        range.add(place.offset());
    }

    /// Everything that still waits.
    pub fn leftovers(mut self) -> Leftovers {
        // The service may have answered some since the position was read.
        for (key, place) in std::mem::take(&mut self.in_flight) {
            self.meet(key, place);
        }
        let Self { streams, waiting, further, matched, .. } = self;
        let (mut requests, mut outcomes) = (Vec::new(), Vec::new());
        let all = waiting.into_iter().chain(
            further
                .into_iter()
                .flat_map(|(key, places)| places.into_iter().map(move |it| (key, it))),
        );
        for (Key { identity, content }, place) in all {
            let left = Left { identity, content, place };
            if is_request(&streams, place) { &mut requests } else { &mut outcomes }.push(left);
        }
        Leftovers::new(streams, matched, requests, outcomes)
    }
}

fn is_request(streams: &[Stream], place: Place) -> bool {
    matches!(streams[place.stream()], Stream::Requests { .. })
}
