//! Writes results of the process `explain`: an array of NIKs, each with the reasons of its invalid
//! sections, the history of its area, warnings, and the comparison with what was declared.

use std::io::Write as _;

use super::{Naming, ResultBody, Unreadable, render_names, write};
use nik::region::{Code, Regions, State};
use nik::{Declared, ExplainedSummary, Explanation, SectionReason, Summary};

/// A result of `explain` that is being written: [`ResultBody::explained`], then each element, then
/// [`finish`](ExplainedBody::finish).
pub struct ExplainedBody<'a, N> {
    body: ResultBody<'a, N>,
    regions: &'a Regions,
}

impl<'a, N: Naming> ResultBody<'a, N> {
    /// Makes `data` an array of explained NIKs. Their areas are named by `regions`.
    pub fn explained(self, regions: &'a Regions) -> ExplainedBody<'a, N> {
        self.out.pop(); // the brace that opens `data`
        self.out.push(b'[');
        ExplainedBody { body: self, regions }
    }
}

impl<N: Naming> ExplainedBody<'_, N> {
    /// Adds an element that cannot be read as a NIK or a claim.
    pub fn error(&mut self, element: Unreadable<'_>) {
        self.body.error(element);
    }

    /// Adds the element at `index` of the list.
    pub fn nik(&mut self, index: usize, nik: &Explanation<'_>, declared: Option<&Declared>) {
        let sections = &nik.assessment;
        let name = self.body.naming.name(sections.length.value);
        self.raw(r#"{"index":"#);
        write::integer(self.body.out, index as u64);
        self.raw(r#","nik":"#);
        N::write(self.body.out, &name);
        self.raw(r#","valid":"#);
        self.raw(if sections.is_valid() { "true" } else { "false" });
        self.raw(r#","sections":{"length":{"value":"#);
        N::write(self.body.out, &name);
        self.verdict(sections.length.verdict);
        self.raw(r#"},"area":{"value":"#);
        self.body.out.extend_from_slice(self.body.writer.areas.json(sections.area.value));
        self.verdict(sections.area.verdict);
        self.raw(r#","state":"#);
        self.name(nik.state.map(State::as_str));
        self.raw(r#","now":"#);
        self.now(nik.now);
        self.raw(r#"},"dob":{"value":{"dob":"#);
        self.body.birth(sections.dob.value);
        self.verdict(sections.dob.verdict);
        self.raw(r#"},"gender":{"value":"#);
        self.body.gender(sections.gender.value);
        self.verdict(sections.gender.verdict);
        self.raw(r#"},"computerized":{"value":"#);
        self.body.serial(sections.computerized.value, N::PLAIN && sections.length.valid(), &name);
        self.verdict(sections.computerized.verdict);
        self.raw(r#"}},"warnings":["#);
        for (index, warning) in nik.warnings().enumerate() {
            self.raw(if index > 0 { "," } else { "" });
            self.name(Some(warning.as_str()));
        }
        self.raw(r#"],"declared":"#);
        self.declared(declared);
        self.raw("},");
    }

    /// Inserts the errors and appends the counts.
    pub fn finish(self, summary: &Summary, explained: &ExplainedSummary) {
        let mut body = self.body;
        let end = body.end(summary);
        body.out[end] = b']';
        body.out.pop(); // the two braces that end `summary` and the result
        body.out.pop();
        body.raw(r#","declared":{"consistent":"#);
        write::integer(body.out, explained.consistent);
        body.raw(r#","inconsistent":"#);
        write::integer(body.out, explained.inconsistent);
        body.raw("}}}");
    }

    fn verdict(&mut self, verdict: Result<(), SectionReason>) {
        match verdict {
            Ok(()) => self.raw(r#","valid":true,"reason":null"#),
            Err(reason) => {
                self.raw(r#","valid":false,"reason":"#);
                self.name(Some(reason.as_str()));
            }
        }
    }

    /// Appends the code in force that replaced a retired one.
    fn now(&mut self, code: Option<Code>) {
        let Some((code, area)) = code.and_then(|code| Some((code, self.regions.names_of(code)?)))
        else {
            return self.raw("null");
        };
        write!(self.body.out, r#"{{"code":"{code}","#).expect("a Vec accepts all bytes");
        let names = [Some(area.province), Some(area.regency), area.kecamatan];
        render_names(self.body.out, self.body.writer.absent, names);
        self.raw("}");
    }

    fn declared(&mut self, declared: Option<&Declared>) {
        let Some(declared) = declared else {
            return self.raw("null");
        };
        self.raw("{");
        for (field, outcome) in Declared::FIELDS.into_iter().zip(declared.outcomes()) {
            if let Some(outcome) = outcome {
                self.name(Some(field));
                self.raw(":");
                self.name(Some(outcome.as_str()));
                self.raw(",");
            }
        }
        self.raw(match declared.consistent() {
            Some(true) => r#""consistent":true}"#,
            Some(false) => r#""consistent":false}"#,
            None => r#""consistent":null}"#,
        });
    }

    /// Appends a name that needs no escapes, or null.
    fn name(&mut self, name: Option<&str>) {
        match name {
            Some(name) => {
                self.raw("\"");
                self.raw(name);
                self.raw("\"");
            }
            None => self.raw("null"),
        }
    }

    #[inline]
    fn raw(&mut self, json: &str) {
        self.body.raw(json);
    }
}
