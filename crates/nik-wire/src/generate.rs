//! Synthetic requests for the demo, the benches and `nik-stream generate`: the same seed gives the
//! same bytes.
//!
//! All NIKs are synthetic: code, date and serial number are random.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Limits, Process, Reason};
use nik::region::Regions;
use nik::{Date, Gender};

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
    /// The process of all requests. `None` chooses one at random for each: `limited` or `full`, and
    /// if there are claims also `explain`.
    pub process: Option<Process>,
    /// The share of claims, 0 to 1, among the NIKs of requests with the process `explain`.
    pub claims: f64,
    /// The share of claims, 0 to 1, that declare another birth date or gender than the person's.
    pub mismatch: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            niks_per_request: 1,
            invalid: 0.1,
            unreadable: 0.0,
            process: None,
            claims: 0.0,
            mismatch: 0.0,
        }
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

/// The claims with a birth date or a gender that were generated so far, by the outcome that they
/// must have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Truth {
    pub consistent: u64,
    pub inconsistent: u64,
}

#[derive(Clone)]
pub struct Generator {
    random: ChaCha8Rng,
    codes: Vec<u32>,
    options: Options,
    truth: Truth,
}

/// A person who could exist.
#[derive(Clone, Copy)]
struct Person {
    code: u32,
    born: Date,
    gender: Gender,
    serial: u32,
}

impl Person {
    fn nik(self) -> Vec<u8> {
        let Self { code, born, gender, serial } = self;
        let day = born.day() + if gender == Gender::Woman { 40 } else { 0 };
        let (month, year) = (born.month(), born.year() % 100);
        format!("{code:06}{day:02}{month:02}{year:02}{serial:04}").into_bytes()
    }
}

impl Generator {
    /// A generator that draws the codes of valid NIKs from `regions`.
    pub fn new(regions: &Regions, seed: u64, options: Options) -> Self {
        let codes = (0..1_000_000).filter(|code| regions.find(*code).is_some()).collect();
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { random, codes, options, truth: Truth::default() }
    }

    pub fn truth(&self) -> Truth {
        self.truth
    }

    /// Appends a well-formed request.
    pub fn request(&mut self, out: &mut Vec<u8>) {
        let choice = if self.options.claims > 0.0 {
            &Process::ALL[..]
        } else {
            &[Process::Limited, Process::Full]
        };
        let process = self.options.process.unwrap_or_else(|| self.one_of(choice));
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
            } else if process == Process::Explain.as_str()
                && self.options.claims > 0.0
                && self.random.random_bool(self.options.claims)
            {
                self.claim(out);
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
        let nik = self.person().nik();
        if self.random.random_bool(self.options.invalid) { self.corrupt(nik) } else { nik }
    }

    /// A birth date from 1940 to 2005, so that the NIK is valid on every reference date from 2006
    /// to 2099.
    fn person(&mut self) -> Person {
        let code = self.codes.choose(&mut self.random).copied().unwrap_or_default();
        let born = loop {
            let (year, month) =
                (self.random.random_range(1940..=2005), self.random.random_range(1..=12));
            if let Some(date) = Date::new(year, month, self.random.random_range(1..=31)) {
                break date;
            }
        };
        let gender = self.one_of(&[Gender::Man, Gender::Woman]);
        Person { code, born, gender, serial: self.random.random_range(1..=9999) }
    }

    /// Appends a claim with a birth date, a gender and an area, each of which can be missing. The
    /// NIK can be invalid; what is declared is then what its holder knows.
    fn claim(&mut self, out: &mut Vec<u8>) {
        let person = self.person();
        let original = person.nik();
        let mut nik = original.clone();
        if self.random.random_bool(self.options.invalid) {
            nik = self.corrupt(nik);
        }
        let mut born = self.random.random_bool(0.9).then_some(person.born);
        let mut gender = self.random.random_bool(0.9).then_some(person.gender);
        if self.random.random_bool(self.options.mismatch) {
            if let Some(born) = &mut born {
                *born = self.another(*born);
            } else {
                gender = gender.map(other);
            }
        }
        if born.is_some() || gender.is_some() {
            let same_day = nik.get(6..12) == original.get(6..12);
            let day_matches = born.is_none_or(|born| born == person.born && same_day);
            let gender_matches = gender.is_none_or(|gender| gender_of(&nik) == Some(gender));
            if day_matches && gender_matches {
                self.truth.consistent += 1;
            } else {
                self.truth.inconsistent += 1;
            }
        }
        let digits = self.one_of(&[0, 2, 4, 6]);
        let area = &original[..digits];
        out.extend_from_slice(br#"{"nik":""#);
        out.extend_from_slice(&nik);
        out.push(b'"');
        if let Some(born) = born {
            out.extend_from_slice(format!(r#","birth_date":"{born}""#).as_bytes());
        }
        if let Some(gender) = gender {
            let gender = gender.as_str();
            out.extend_from_slice(format!(r#","gender":"{gender}""#).as_bytes());
        }
        if !area.is_empty() {
            out.extend_from_slice(br#","area":""#);
            out.extend_from_slice(area);
            out.push(b'"');
        }
        out.push(b'}');
    }

    /// Another day with other digits.
    fn another(&mut self, day: Date) -> Date {
        loop {
            let other = self.person().born;
            if other != day {
                return other;
            }
        }
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

fn other(gender: Gender) -> Gender {
    match gender {
        Gender::Man => Gender::Woman,
        Gender::Woman => Gender::Man,
    }
}

/// The gender by the seventh character.
fn gender_of(nik: &[u8]) -> Option<Gender> {
    match nik.get(6)? {
        b'0'..=b'3' => Some(Gender::Man),
        b'4'..=b'7' => Some(Gender::Woman),
        _ => None,
    }
}
