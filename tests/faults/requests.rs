//! Requests of every kind: valid and broken, with and without keys and headers, of now and of long
//! ago.

use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::generate::{Fault, Generator, Options};
use nik_wire::{Limits, Process};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cluster::NewRecord;
use crate::traffic::load::{ID, OVERSIZE};

/// The results topic accepts records up to this size; a full result of [`OVERSIZE_NIKS`] exceeds
/// it, however well it is compressed.
pub const RESULTS_LIMIT: &str = "200000";
/// Smaller than [`RESULTS_LIMIT`], so that no batch of several results exceeds it.
pub const BATCH_BYTES: &str = "100000";
const OVERSIZE_NIKS: usize = 9_000;

/// In Jakarta: the last millisecond of a 29 February, the first of the 1 March after it, and a day
/// long ago.
const TIMESTAMPS_MS: [i64; 3] = [1_709_225_999_999, 1_709_226_000_000, 1_200_000_000_000];

/// An endless sequence; the same seed gives the same requests.
pub struct Mixture {
    random: ChaCha8Rng,
    ordinary: Vec<Generator>,
    oversize: Generator,
    made: u64,
    /// Whether no request has an old timestamp.
    is_dated_now: bool,
}

impl Mixture {
    pub fn new(seed: u64) -> Mixture {
        let regions = dataset::regions(RetiredCodes::All).expect("the regions");
        let generator = |niks_per_request, process| {
            let options = Options {
                niks_per_request,
                invalid: 0.3,
                unreadable: 0.05,
                process,
                ..Options::default()
            };
            Generator::new(&regions, seed ^ niks_per_request as u64, options)
        };
        Mixture {
            random: ChaCha8Rng::seed_from_u64(seed),
            ordinary: [1, 2, 5].map(|niks| generator(niks, None)).into(),
            oversize: generator(OVERSIZE_NIKS, Some(Process::Full)),
            made: 0,
            is_dated_now: false,
        }
    }

    pub fn dated_now(self) -> Mixture {
        Mixture { is_dated_now: true, ..self }
    }

    // The share of failures stays well below the one that opens the breaker.
    fn value(&mut self, draw: u32) -> Option<Vec<u8>> {
        let index = self.random.random_range(0..self.ordinary.len());
        let generator = &mut self.ordinary[index];
        let fault = match draw {
            5 => Fault::TooLarge,
            6 => Fault::ResultTooLarge,
            7..10 => Fault::TooManyNiks,
            10..400 => Fault::Tombstone,
            400..450 => Fault::Empty,
            450..1_000 => Fault::NotJson,
            1_000..1_400 => Fault::NotARequest,
            1_400..1_800 => Fault::UnknownProcess,
            _ => {
                let mut value = Vec::new();
                generator.request(&mut value);
                if draw.is_multiple_of(4) {
                    repeat_first(&mut value);
                }
                return Some(value);
            }
        };
        generator.broken(fault, Limits::default())
    }
}

impl Iterator for Mixture {
    type Item = NewRecord;

    fn next(&mut self) -> Option<NewRecord> {
        let id = self.made;
        self.made += 1;
        let mut headers = vec![(ID.to_vec(), Some(id.to_string().into_bytes()))];
        if self.random.random_ratio(1, 10) {
            headers.push((b"trace".to_vec(), Some(self.random.random::<[u8; 8]>().to_vec())));
            headers.push((b"\xff not UTF-8".to_vec(), None));
            headers.push((b"trace".to_vec(), Some(Vec::new())));
        }
        let draw = self.random.random_range(0..10_000);
        let value = if draw < 5 {
            headers.push((OVERSIZE.to_vec(), None));
            let mut value = Vec::new();
            self.oversize.request(&mut value);
            Some(value)
        } else {
            self.value(draw)
        };
        let key = match self.random.random_range(0..10) {
            0 => None,
            1..3 => Some(format!("shared-{}", self.random.random_range(0..50)).into_bytes()),
            _ => Some(format!("key-{id}").into_bytes()),
        };
        let timestamp = self
            .random
            .random_ratio(1, 20)
            .then(|| TIMESTAMPS_MS[self.random.random_range(0..TIMESTAMPS_MS.len())])
            .filter(|_| !self.is_dated_now);
        Some(NewRecord { key, value, headers, timestamp, ..NewRecord::default() })
    }
}

/// Repeats the first NIK of the list.
fn repeat_first(request: &mut Vec<u8>) {
    let start = request.iter().position(|byte| *byte == b'[').expect("a list") + 1;
    let length = request[start..].iter().position(|byte| b",]".contains(byte)).expect("an element");
    let first = [&request[start..start + length], b","].concat();
    request.splice(start..start, first);
}
