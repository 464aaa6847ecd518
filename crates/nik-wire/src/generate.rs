//! Synthetic requests for the demo, the benches and `nik-stream generate`: the same seed gives the
//! same bytes.
//!
//! All NIKs are synthetic: code, date and serial number are random.

use std::io::Write;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Limits, Process, Reason};
use nik::Date;
use nik::region::Regions;

/// One broken request in this many is as large as the limits (a megabyte).
const LARGE_EVERY: usize = 40;

/// Properties of the generated requests. Generating panics if a share is outside 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// The number of elements in each list.
    pub niks_per_request: usize,
    /// The share of invalid NIKs, 0 to 1, among the elements that can be read as one.
    pub invalid: f64,
    /// The share of elements that cannot be read as a NIK, 0 to 1.
    pub unreadable: f64,
    /// The process of all requests; `None` chooses one at random for each.
    pub process: Option<Process>,
}

impl Default for Options {
    fn default() -> Self {
        Self { niks_per_request: 1, invalid: 0.1, unreadable: 0.0, process: None }
    }
}

/// A way to break a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Tombstone,
    /// A value of 0 bytes.
    Empty,
    /// One byte more than the limit.
    TooLarge,
    /// Malformed JSON, in one of several ways.
    NotJson,
    /// JSON that is not a request, in one of several ways.
    NotARequest,
    UnknownProcess,
    /// One element more than the limit.
    TooManyNiks,
    /// A request within the limits whose result is too large. Works for limits near
    /// [`Limits::default`].
    ResultTooLarge,
}

impl Fault {
    pub const ALL: [Self; 8] = [
        Self::Tombstone,
        Self::Empty,
        Self::TooLarge,
        Self::NotJson,
        Self::NotARequest,
        Self::UnknownProcess,
        Self::TooManyNiks,
        Self::ResultTooLarge,
    ];

    /// The reason of the failure.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Tombstone => Reason::Tombstone,
            Self::TooLarge => Reason::RequestTooLarge,
            Self::Empty | Self::NotJson => Reason::MalformedJson,
            Self::NotARequest => Reason::InvalidRequest,
            Self::UnknownProcess => Reason::UnknownProcess,
            Self::TooManyNiks => Reason::TooManyNiks,
            Self::ResultTooLarge => Reason::ResultTooLarge,
        }
    }

    /// The `n`th fault of a fixed rotation, in which the large ones are rare.
    pub fn in_turn(n: usize) -> Self {
        const LARGE: [Fault; 3] = [Fault::TooLarge, Fault::TooManyNiks, Fault::ResultTooLarge];
        if n.is_multiple_of(LARGE_EVERY) {
            return LARGE[n / LARGE_EVERY % LARGE.len()];
        }
        let mut small = Self::ALL.into_iter().filter(|it| !LARGE.contains(it));
        let turn = n % (Self::ALL.len() - LARGE.len());
        small.nth(turn).unwrap_or(Self::Empty)
    }
}

#[derive(Clone)]
pub struct Generator {
    random: ChaCha8Rng,
    codes: Vec<u32>,
    options: Options,
}

impl Generator {
    /// A generator that draws the codes of valid NIKs from `regions`.
    pub fn new(regions: &Regions, seed: u64, options: Options) -> Self {
        let codes = (0..1_000_000).filter(|code| regions.find(*code).is_some()).collect();
        Self { random: ChaCha8Rng::seed_from_u64(seed), codes, options }
    }

    /// Appends a well-formed request.
    pub fn request(&mut self, out: &mut Vec<u8>) {
        let process = self.options.process.unwrap_or_else(|| self.one_of(&Process::ALL));
        self.request_of(out, self.options.niks_per_request, process.as_str());
    }

    /// The value of a record that fails because of `fault`; `None` for a tombstone.
    pub fn broken(&mut self, fault: Fault, limits: Limits) -> Option<Vec<u8>> {
        let count = self.options.niks_per_request;
        let mut out = Vec::new();
        match fault {
            Fault::Tombstone => return None,
            Fault::Empty => {}
            Fault::TooLarge => {
                self.request_of(&mut out, count, "limited");
                out.resize(limits.request_bytes.saturating_add(1).max(out.len()), b' ');
            }
            Fault::NotJson => {
                self.request_of(&mut out, count, "limited");
                match self.random.random_range(0..5) {
                    0 => out.truncate(out.len() / 2),
                    1 => out.extend_from_slice(b"{}"),
                    2 => out.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
                    3 => out[2] = 0xff,
                    _ => out.splice(8..8, *br#""\ud800","#).for_each(drop),
                }
            }
            Fault::NotARequest => {
                self.request_of(&mut out, count, "limited");
                match self.random.random_range(0..5) {
                    0 => out = b"[]".to_vec(),
                    1 => out = br#"{"nik":null,"process":"full"}"#.to_vec(),
                    2 => out = br#"{"process":"full"}"#.to_vec(),
                    3 => out.splice(1..1, *br#""process":"full","#).for_each(drop),
                    _ => out.splice(1..1, *br#""nik":[],"#).for_each(drop),
                }
            }
            Fault::UnknownProcess => {
                let process = self.one_of(&["Limited", "FULL", "fast", "", " full"]);
                self.request_of(&mut out, count, process);
            }
            Fault::TooManyNiks => {
                self.request_of(&mut out, limits.niks_per_request.saturating_add(1), "limited");
            }
            Fault::ResultTooLarge => self.long_texts(&mut out, limits),
        }
        Some(out)
    }

    fn request_of(&mut self, out: &mut Vec<u8>, count: usize, process: &str) {
        out.extend_from_slice(br#"{"nik":["#);
        for index in 0..count {
            if index > 0 {
                out.push(b',');
            }
            if self.random.random_bool(self.options.unreadable) {
                let unreadable =
                    ["null", "true", "1.5", r#""""#, r#""12345""#, r#""32730I0I01900001""#, "{}"];
                out.extend_from_slice(self.one_of(&unreadable).as_bytes());
            } else {
                out.push(b'"');
                out.extend_from_slice(&self.nik());
                out.push(b'"');
            }
        }
        out.extend_from_slice(br#"],"process":""#);
        out.extend_from_slice(process.as_bytes());
        out.extend_from_slice(br#""}"#);
    }

    /// As many strings as allowed, as long as allowed, with the process `full`: each occurs three
    /// times in the result.
    fn long_texts(&mut self, out: &mut Vec<u8>, limits: Limits) {
        let count = limits.niks_per_request.max(1);
        let length = (limits.request_bytes / count).saturating_sub(4).max(16);
        out.extend_from_slice(br#"{"nik":["#);
        for index in 0..count {
            out.extend_from_slice(if index > 0 { br#",""# } else { br#"""# });
            let start = out.len();
            out.extend_from_slice(&self.nik());
            out.resize(start + length, b'0');
            out.push(b'"');
        }
        out.extend_from_slice(br#"],"process":"full"}"#);
    }

    fn nik(&mut self) -> Vec<u8> {
        let nik = self.valid_nik();
        if self.random.random_bool(self.options.invalid) { self.corrupt(nik) } else { nik }
    }

    /// A birth date from 1940 to 2005, so that the NIK is valid on every reference date from 2006
    /// to 2099.
    fn valid_nik(&mut self) -> Vec<u8> {
        let code = self.codes.choose(&mut self.random).copied().unwrap_or_default();
        let date = loop {
            let (year, month) =
                (self.random.random_range(1940..=2005), self.random.random_range(1..=12));
            if let Some(date) = Date::new(year, month, self.random.random_range(1..=31)) {
                break date;
            }
        };
        let day = date.day() + self.one_of(&[0, 40]);
        let serial = self.random.random_range(1..=9999);
        let mut nik = Vec::with_capacity(16);
        let written =
            write!(nik, "{code:06}{day:02}{:02}{:02}{serial:04}", date.month(), date.year() % 100);
        debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        nik
    }

    /// Makes a valid NIK invalid, in one or two sections.
    fn corrupt(&mut self, mut nik: Vec<u8>) -> Vec<u8> {
        match self.random.random_range(0..9) {
            0 => nik.truncate(self.random.random_range(7..16)),
            1 => nik.push(b'0' + self.random.random_range(0..10)),
            2 => nik[..2].copy_from_slice(b"00"),
            3 => nik[self.random.random_range(0..6)] = b'O',
            4 => nik[6..10].copy_from_slice(self.one_of(&[b"3002", b"7104", b"0001", b"4006"])),
            5 => nik[8..10].copy_from_slice(self.one_of(&[b"00", b"13"])),
            6 => nik[6] = self.one_of(b"89"),
            7 => nik[12..].copy_from_slice(b"0000"),
            _ => nik[12] = b' ',
        }
        nik
    }

    fn one_of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.random.random_range(0..choice.len())]
    }
}
