//! Writes results. The order of keys is part of the contract.
//!
//! Every NIK passes through this code. Most of a result is copied from pre-rendered text, such as
//! the names of an area, which a serializer would escape again for each NIK.

mod explained;

use std::sync::Arc;

use super::naming::Naming;
use super::seen_keys::SeenKeys;
use super::seen_niks::SeenNiks;
use super::{Unreadable, write};
use nik::region::{AreaId, Regions};
use nik::{Assessment, BirthDate, Gender, Nik, Summary};

pub use explained::ExplainedBody;

/// The notation of absent values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// `"None"`.
    Text,
    /// `null`.
    Null,
}

impl Absent {
    const fn json(self) -> &'static str {
        match self {
            Self::Text => r#""None""#,
            Self::Null => "null",
        }
    }
}

const START: &[u8] = br#"{"message":"success","errors":[],"data":{"#;

/// The offset of the elements of `errors` in [`START`].
const ERRORS_AT: usize = br#"{"message":"success","errors":["#.len();

/// The end of a result, with a 0 for each count.
const END: &[u8] = br#"},"summary":{"number":0,"number_processed":0,"error":0,"valid":{"all_section":0,"section":{"length":0,"area":0,"dob":0,"gender":0,"computerized":0}}}}"#;

/// The offsets of the counts in [`END`].
const COUNTS: [usize; 9] = {
    let (mut places, mut found, mut at) = ([0; 9], 0, 0);
    while at < END.len() {
        if END[at] == b'0' {
            places[found] = at;
            found += 1;
        }
        at += 1;
    }
    places
};

/// Appends the verdict that ends an object, and what follows it. It has a literal for each verdict,
/// so that each copy has a constant length and is inlined.
macro_rules! valid {
    ($body:ident, $valid:expr, $next:literal) => {
        if $valid {
            $body.raw(concat!(r#","valid":true}"#, $next));
        } else {
            $body.raw(concat!(r#","valid":false}"#, $next));
        }
    };
}

/// Writes results one at a time and reuses its buffers.
#[derive(Clone)]
pub struct ResultWriter {
    areas: Arc<Areas>,
    absent: &'static str,
    niks: SeenNiks,
    keys: SeenKeys,
    errors: Vec<u8>,
}

/// A result that is being written: [`begin`](ResultWriter::begin), then each element, then
/// [`finish`](ResultBody::finish).
pub struct ResultBody<'a, N> {
    writer: &'a mut ResultWriter,
    out: &'a mut Vec<u8>,
    naming: N,
    /// The offset in `out` where the elements of `errors` belong.
    errors_at: usize,
}

impl ResultWriter {
    /// Renders the names of all areas, which takes about a millisecond. Clones share them.
    pub fn new(regions: &Regions, absent: Absent) -> Self {
        let absent_json = absent.json();
        Self {
            areas: Arc::new(Areas::render(regions, absent_json)),
            absent: absent_json,
            niks: SeenNiks::new(),
            keys: SeenKeys::new(),
            errors: Vec::new(),
        }
    }

    /// Starts a result of at most `count` elements at the end of `out`.
    pub fn begin<'a, N: Naming>(
        &'a mut self,
        out: &'a mut Vec<u8>,
        count: usize,
        naming: N,
    ) -> ResultBody<'a, N> {
        self.niks.clear(count);
        self.keys.clear();
        self.errors.clear();
        let errors_at = out.len() + ERRORS_AT;
        out.extend_from_slice(START);
        ResultBody { writer: self, out, naming, errors_at }
    }
}

impl<N: Naming> ResultBody<'_, N> {
    /// Adds an element that cannot be read as a NIK.
    pub fn error(&mut self, element: Unreadable<'_>) {
        let errors = &mut self.writer.errors;
        if !errors.is_empty() {
            errors.push(b',');
        }
        self.naming.error(errors, element);
    }

    /// Adds a NIK with its verdict, unless it was added before.
    #[inline]
    pub fn limited(&mut self, nik: Nik<'_>, valid: bool) {
        match self.key(nik) {
            Some(_) if valid => self.raw(":true,"),
            Some(_) => self.raw(":false,"),
            None => {}
        }
    }

    /// Adds a NIK with its sections, unless it was added before.
    #[inline]
    pub fn full(&mut self, nik: &Assessment<'_>) {
        if let Some(name) = self.key(nik.length.value) {
            self.sections(nik, &name);
        }
    }

    /// Appends the name of the NIK as the key of a new entry, and returns it; `None` if the NIK has
    /// an entry already.
    #[inline]
    fn key<'n>(&mut self, nik: Nik<'n>) -> Option<N::Name<'n>> {
        if let Some(digits) = nik.digits() {
            if !self.writer.niks.insert(digits.key()) {
                return None;
            }
            let name = self.naming.name(nik);
            if N::PLAIN {
                self.patched::<16>(r#""0000000000000000""#, 1, nik.as_str());
            } else {
                N::write(self.out, &name);
            }
            return Some(name);
        }
        let name = self.naming.name(nik);
        let start = self.out.len();
        N::write(self.out, &name);
        let range = start..self.out.len();
        if !self.writer.keys.insert(self.out, range) {
            self.out.truncate(start);
            return None;
        }
        Some(name)
    }

    /// Inserts the errors and appends the counts.
    pub fn finish(mut self, summary: &Summary) {
        self.end(summary);
    }

    /// Inserts the errors, which are rare, and appends the end of `data` and the counts; returns
    /// the offset of the brace that ends `data`.
    #[expect(clippy::cast_possible_truncation, reason = "below ten")]
    #[inline]
    fn end(&mut self, summary: &Summary) -> usize {
        let out = &mut *self.out;
        // Every entry ends with a comma.
        if out.last() == Some(&b',') {
            out.pop();
        }
        let errors = &self.writer.errors;
        if !errors.is_empty() {
            let (from, to) = (self.errors_at, self.errors_at + errors.len());
            let end = out.len();
            out.extend_from_slice(errors); // makes room
            out.copy_within(from..end, to);
            out[from..to].copy_from_slice(errors);
        }
        let counts = [
            summary.number,
            summary.number_processed,
            summary.error,
            summary.all_section,
            summary.length,
            summary.area,
            summary.dob,
            summary.gender,
            summary.computerized,
        ];
        let end = out.len();
        if summary.number < 10 {
            // Every count is a single digit.
            out.extend_from_slice(END);
            for (place, count) in COUNTS.into_iter().zip(counts) {
                out[end + place] += count as u8;
            }
        } else {
            let mut written = 0;
            for (place, count) in COUNTS.into_iter().zip(counts) {
                out.extend_from_slice(&END[written..place]);
                write::integer(out, count);
                written = place + 1;
            }
            out.extend_from_slice(&END[written..]);
        }
        end
    }

    fn sections(&mut self, nik: &Assessment<'_>, name: &N::Name<'_>) {
        // The common case, in which every copy has a constant length.
        let sixteen = N::PLAIN && nik.length.valid();
        if sixteen {
            let text = nik.length.value.as_str();
            self.patched::<16>(r#":{"data":{"length":{"value":"0000000000000000""#, 29, text);
        } else {
            self.raw(r#":{"data":{"length":{"value":"#);
            N::write(self.out, name);
        }
        valid!(self, nik.length.valid(), r#","area":{"value":"#);
        self.out.extend_from_slice(self.writer.areas.json(nik.area.value));
        valid!(self, nik.area.valid(), r#","dob":{"value":{"dob":"#);
        self.birth(nik.dob.value);
        valid!(self, nik.dob.valid(), r#","gender":{"value":"#);
        self.gender(nik.gender.value);
        valid!(self, nik.gender.valid(), r#","computerized":{"value":"#);
        self.serial(nik.computerized.value, sixteen, name);
        valid!(self, nik.computerized.valid(), "}");
        valid!(self, nik.is_valid(), ",");
    }

    #[inline]
    fn gender(&mut self, gender: Option<Gender>) {
        self.raw(match gender {
            Some(Gender::Man) => r#""Man""#,
            Some(Gender::Woman) => r#""Woman""#,
            None => self.writer.absent,
        });
    }

    /// Appends the serial; that of a plainly named NIK of `sixteen` digits has a constant length.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "called, it costs a result in full 1 %")]
    fn serial(&mut self, serial: Option<&str>, sixteen: bool, name: &N::Name<'_>) {
        match serial {
            Some(serial) if sixteen => self.patched::<4>(r#""0000""#, 1, serial),
            Some(serial) if N::PLAIN => write::text(self.out, serial),
            // The NIK's token: one of the serial alone could be found by trying ten thousand.
            Some(_) => N::write(self.out, name),
            None => self.raw(self.writer.absent),
        }
    }

    /// Appends date and age, and the brace that closes their object.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "called, it costs a result in full 5 %")]
    fn birth(&mut self, birth: Option<BirthDate>) {
        if let Some(BirthDate { date, age }) = birth {
            let [d1, d2] = two_digits(date.day());
            let [m1, m2] = two_digits(date.month());
            let [y1, y2] = two_digits(date.year() / 100);
            let [y3, y4] = two_digits(date.year() % 100);
            self.out.extend([b'"', d1, d2, b'-', m1, m2, b'-', y1, y2, y3, y4, b'"']);
            self.raw(r#","age":"#);
            write::integer(self.out, age.into());
        } else {
            self.raw(self.writer.absent);
            self.raw(r#","age":"#);
            self.raw(self.writer.absent);
        }
        self.raw("}");
    }

    /// Appends `json` and overwrites `LENGTH` bytes from `at` with `text`. Both copies have a
    /// constant length and are inlined.
    #[inline]
    fn patched<const LENGTH: usize>(&mut self, json: &str, at: usize, text: &str) {
        let start = self.out.len() + at;
        self.raw(json);
        if let (Some(place), Some(text)) =
            (self.out[start..].first_chunk_mut::<LENGTH>(), text.as_bytes().first_chunk())
        {
            *place = *text;
        }
    }

    #[inline]
    fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }
}

/// A number below 100 as two ASCII digits.
#[expect(clippy::cast_possible_truncation, reason = "below 100")]
fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// The JSON of `area` for every area, rendered once.
struct Areas {
    json: Vec<u8>,
    /// The offset in `json` of each area by its index, and the end of the last one.
    starts: Vec<usize>,
    unknown: Vec<u8>,
}

impl Areas {
    fn render(regions: &Regions, absent: &str) -> Self {
        let mut json = Vec::new();
        let mut starts = Vec::new();
        for area in regions.areas() {
            starts.push(json.len());
            render(&mut json, absent, [Some(area.province), Some(area.regency), area.kecamatan]);
        }
        starts.push(json.len());
        let mut unknown = Vec::new();
        render(&mut unknown, absent, [None; 3]);
        Self { json, starts, unknown }
    }

    fn json(&self, area: Option<AreaId>) -> &[u8] {
        match area {
            Some(id) => &self.json[self.starts[id.index()]..self.starts[id.index() + 1]],
            None => &self.unknown,
        }
    }
}

fn render(out: &mut Vec<u8>, absent: &str, names: [Option<&str>; 3]) {
    out.push(b'{');
    render_names(out, absent, names);
    out.push(b'}');
}

/// Appends the names as members of an object.
fn render_names(out: &mut Vec<u8>, absent: &str, names: [Option<&str>; 3]) {
    for (key, name) in
        [r#""province":"#, r#","district":"#, r#","subdistrict":"#].into_iter().zip(names)
    {
        out.extend_from_slice(key.as_bytes());
        match name {
            Some(name) => write::text(out, name),
            None => out.extend_from_slice(absent.as_bytes()),
        }
    }
}
