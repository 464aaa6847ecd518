//! A result, to bytes. The order of keys is the contract's.

use std::sync::Arc;

use super::{Process, seen::Seen, write};
use crate::nik::birth_date::BirthDate;
use crate::nik::gender::Gender;
use crate::nik::{Assessment, Summary};
use crate::region::{AreaId, Regions};

/// How a value that does not exist is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Absent {
    /// `"None"`.
    #[default]
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

/// Writes results, one after the other, with buffers it keeps.
#[derive(Clone)]
pub struct ResultWriter {
    areas: Arc<Areas>,
    absent: &'static str,
    seen: Seen,
    errors: Vec<u8>,
}

/// One result on its way: [`begin`](ResultWriter::begin), then each element, then
/// [`finish`](ResultBody::finish).
pub struct ResultBody<'a> {
    writer: &'a mut ResultWriter,
    out: &'a mut Vec<u8>,
    process: Process,
    /// Where the elements of `errors` belong.
    errors_at: usize,
    /// Where `data` starts.
    data_at: usize,
}

impl ResultWriter {
    /// A writer; renders the names of all areas, which takes about a millisecond. Clones share
    /// them.
    pub fn new(regions: &Regions, absent: Absent) -> Self {
        let absent_json = absent.json();
        Self {
            areas: Arc::new(Areas::render(regions, absent_json)),
            absent: absent_json,
            seen: Seen::new(),
            errors: Vec::new(),
        }
    }

    /// Starts a result of about `count` elements at the end of `out`.
    pub fn begin<'a>(
        &'a mut self,
        out: &'a mut Vec<u8>,
        process: Process,
        count: usize,
    ) -> ResultBody<'a> {
        self.seen.clear(count);
        self.errors.clear();
        out.extend_from_slice(br#"{"message":"success","errors":["#);
        let errors_at = out.len();
        out.extend_from_slice(br#"],"data":{"#);
        let data_at = out.len();
        ResultBody {
            writer: self,
            out,
            process,
            errors_at,
            data_at,
        }
    }
}

impl ResultBody<'_> {
    /// An element that cannot be read as a NIK, by its bytes.
    pub fn error(&mut self, raw: &[u8]) {
        let errors = &mut self.writer.errors;
        if !errors.is_empty() {
            errors.push(b',');
        }
        errors.extend_from_slice(raw);
    }

    /// A NIK. The second time it comes it adds nothing.
    pub fn nik(&mut self, nik: &Assessment<'_>) {
        let before = self.out.len();
        if before > self.data_at {
            self.out.push(b',');
        }
        let key = self.out.len();
        self.own_text(nik);
        let (range, text) = (key..self.out.len(), nik.length.value.as_str());
        if !self.writer.seen.insert(self.out, range, text) {
            self.out.truncate(before);
            return;
        }
        self.out.push(b':');
        match self.process {
            Process::Limited => write::boolean(self.out, nik.is_valid()),
            Process::Full => self.sections(nik),
        }
    }

    /// The counts, and the end.
    pub fn finish(self, summary: &Summary) {
        let out = self.out;
        let counts = [
            (r#"},"summary":{"number":"#, summary.number),
            (r#","number_processed":"#, summary.number_processed),
            (r#","error":"#, summary.error),
            (r#","valid":{"all_section":"#, summary.all_section),
            (r#","section":{"length":"#, summary.length),
            (r#","area":"#, summary.area),
            (r#","dob":"#, summary.dob),
            (r#","gender":"#, summary.gender),
            (r#","computerized":"#, summary.computerized),
        ];
        for (before, count) in counts {
            out.extend_from_slice(before.as_bytes());
            write::integer(out, count);
        }
        out.extend_from_slice(b"}}}}");
        // Errors are rare: they take their place, before the data, only now.
        let errors = &self.writer.errors;
        if !errors.is_empty() {
            out.extend_from_slice(errors);
            out[self.errors_at..].rotate_right(errors.len());
        }
    }

    fn sections(&mut self, nik: &Assessment<'_>) {
        self.raw(r#"{"data":{"length":{"value":"#);
        self.own_text(nik);
        self.valid(nik.length.valid);
        self.raw(r#","area":{"value":"#);
        self.out
            .extend_from_slice(self.writer.areas.json(nik.area.value));
        self.valid(nik.area.valid);
        self.raw(r#","dob":{"value":{"dob":"#);
        self.birth(nik.dob.value);
        self.valid(nik.dob.valid);
        self.raw(r#","gender":{"value":"#);
        self.raw(match nik.gender.value {
            Some(Gender::Man) => r#""Man""#,
            Some(Gender::Woman) => r#""Woman""#,
            None => self.writer.absent,
        });
        self.valid(nik.gender.valid);
        self.raw(r#","computerized":{"value":"#);
        match nik.computerized.value {
            Some(serial) => write::text(self.out, serial),
            None => self.raw(self.writer.absent),
        }
        self.valid(nik.computerized.valid);
        self.raw("}");
        self.valid(nik.is_valid());
    }

    /// The NIK as text. Sixteen digits, as nearly all are, need no escapes, and a copy of a known
    /// length no call.
    fn own_text(&mut self, nik: &Assessment<'_>) {
        let text = nik.length.value.as_str();
        match text.as_bytes().first_chunk::<16>() {
            Some(digits) if nik.length.valid => {
                self.out.push(b'"');
                self.out.extend_from_slice(digits);
                self.out.push(b'"');
            }
            _ => write::text(self.out, text),
        }
    }

    /// The date and the age, up to the end of their object.
    fn birth(&mut self, birth: Option<BirthDate>) {
        let Some(BirthDate { date, age }) = birth else {
            self.raw(self.writer.absent);
            self.raw(r#","age":"#);
            self.raw(self.writer.absent);
            self.raw("}");
            return;
        };
        let [d1, d2] = two_digits(date.day());
        let [m1, m2] = two_digits(date.month());
        let [y1, y2] = two_digits(date.year() / 100);
        let [y3, y4] = two_digits(date.year() % 100);
        self.out
            .extend([b'"', d1, d2, b'-', m1, m2, b'-', y1, y2, y3, y4, b'"']);
        self.raw(r#","age":"#);
        write::integer(self.out, age.into());
        self.raw("}");
    }

    /// The verdict that ends a section's object.
    fn valid(&mut self, valid: bool) {
        self.raw(if valid {
            r#","valid":true}"#
        } else {
            r#","valid":false}"#
        });
    }

    fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }
}

/// A number below 100 in two digits.
#[expect(clippy::cast_possible_truncation, reason = "below 100")]
fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// The value of `area` for every area, rendered once.
struct Areas {
    json: Vec<u8>,
    /// Where each area's text starts in `json`, by its index; behind them, where the last one ends.
    starts: Vec<usize>,
    unknown: Vec<u8>,
}

impl Areas {
    fn render(regions: &Regions, absent: &str) -> Self {
        let mut json = Vec::new();
        let mut starts = Vec::with_capacity(regions.len() + 1);
        for area in regions.areas() {
            starts.push(json.len());
            render(
                &mut json,
                absent,
                [Some(area.province), Some(area.regency), area.kecamatan],
            );
        }
        starts.push(json.len());
        let mut unknown = Vec::new();
        render(&mut unknown, absent, [None; 3]);
        Self {
            json,
            starts,
            unknown,
        }
    }

    fn json(&self, area: Option<AreaId>) -> &[u8] {
        match area {
            Some(id) => &self.json[self.starts[id.index()]..self.starts[id.index() + 1]],
            None => &self.unknown,
        }
    }
}

fn render(out: &mut Vec<u8>, absent: &str, names: [Option<&str>; 3]) {
    for (before, name) in [r#"{"province":"#, r#","district":"#, r#","subdistrict":"#]
        .into_iter()
        .zip(names)
    {
        out.extend_from_slice(before.as_bytes());
        match name {
            Some(name) => write::text(out, name),
            None => out.extend_from_slice(absent.as_bytes()),
        }
    }
    out.push(b'}');
}
