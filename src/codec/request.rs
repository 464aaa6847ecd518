//! A request, from bytes.

use std::ops::Range;

use super::Reason;
use super::json::{Malformed, Scanner, Text, Value};
use crate::nik::Nik;

/// How the answer is to be given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Process {
    /// Each NIK's verdict alone.
    Limited,
    /// Each NIK with its sections.
    Full,
}

impl Process {
    /// Every process.
    pub const ALL: [Self; 2] = [Self::Limited, Self::Full];

    /// The text in the request, and in the metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Full => "full",
        }
    }

    /// The process of this name.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|process| process.as_str() == text)
    }
}

/// How large a request may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Elements of the list.
    pub niks_per_request: usize,
    /// Bytes of the request.
    pub request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            niks_per_request: 10_000,
            request_bytes: 1 << 20,
        }
    }
}

/// A request that is refused, and what of it could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first check that failed.
    pub reason: Reason,
    /// The process, where the request holds exactly one that exists.
    pub process: Option<Process>,
    /// Where in the request its `nik` array stands, if it holds exactly one.
    pub niks: Option<Range<usize>>,
}

/// Reads requests, one after the other, in buffers it keeps.
#[derive(Clone, Default)]
pub struct RequestReader {
    elements: Vec<Element>,
    /// The strings of the request that have escapes, decoded.
    arena: String,
}

/// Where an element of the list stands.
#[derive(Clone)]
struct Element {
    raw: Range<usize>,
    /// What it says, if it is a string or an integer.
    text: Option<Text>,
}

/// A request that can be processed.
pub struct Request<'a> {
    /// How the answer is to be given.
    pub process: Process,
    /// Where in the request its `nik` array stands.
    pub niks: Range<usize>,
    document: &'a str,
    arena: &'a str,
    elements: &'a [Element],
}

impl<'a> Request<'a> {
    /// How many elements the list has.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The elements of the list: the NIK, or the bytes of an element that cannot be read as one.
    pub fn elements(&self) -> impl Iterator<Item = Result<Nik<'a>, &'a [u8]>> {
        let (document, arena) = (self.document, self.arena);
        self.elements.iter().map(move |element| {
            let nik = element
                .text
                .as_ref()
                .and_then(|text| Nik::new(text.of(document, arena)));
            nik.ok_or(&document.as_bytes()[element.raw.clone()])
        })
    }
}

impl RequestReader {
    /// Reads a request. The checks stand in the order of [`Reason`].
    pub fn read<'a>(&'a mut self, bytes: &'a [u8], limits: Limits) -> Result<Request<'a>, Refusal> {
        let refuse = |reason| Refusal {
            reason,
            process: None,
            niks: None,
        };
        if bytes.len() > limits.request_bytes {
            return Err(refuse(Reason::RequestTooLarge));
        }
        let document = str::from_utf8(bytes).map_err(|_| refuse(Reason::MalformedJson))?;
        let members = self
            .scan(document, limits.niks_per_request)
            .map_err(|_| refuse(Reason::MalformedJson))?;
        let refuse = |reason| {
            let process = members.process.as_ref().copied().flatten();
            Err(Refusal {
                reason,
                process,
                niks: members.niks.as_ref().cloned(),
            })
        };
        let (Member::Good(niks), Member::Good(process)) = (&members.niks, &members.process) else {
            return refuse(Reason::InvalidRequest);
        };
        let Some(process) = *process else {
            return refuse(Reason::UnknownProcess);
        };
        if self.elements.len() > limits.niks_per_request {
            return refuse(Reason::TooManyNiks);
        }
        Ok(Request {
            process,
            niks: niks.clone(),
            document,
            arena: &self.arena,
            elements: &self.elements,
        })
    }

    /// Walks over the whole document and notes the elements of the list, at most one more than
    /// `limit`.
    fn scan(&mut self, document: &str, limit: usize) -> Result<Members, Malformed> {
        self.elements.clear();
        self.arena.clear();
        let mut members = Members::default();
        let scanner = &mut Scanner::new(document, &mut self.arena);
        scanner.whitespace();
        if scanner.eat(b'{') {
            scanner.whitespace();
            if !scanner.eat(b'}') {
                loop {
                    members.read(scanner, &mut self.elements, limit)?;
                    scanner.whitespace();
                    if scanner.eat(b'}') {
                        break;
                    }
                    scanner.expect(b',')?;
                    scanner.whitespace();
                }
            }
        } else {
            scanner.value(0)?;
        }
        scanner.end()?;
        Ok(members)
    }
}

/// The members of the object that matter.
#[derive(Default)]
struct Members {
    niks: Member<Range<usize>>,
    /// `Good(None)`: a text that names no process.
    process: Member<Option<Process>>,
}

impl Members {
    fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        elements: &mut Vec<Element>,
        limit: usize,
    ) -> Result<(), Malformed> {
        let key = scanner.key()?;
        match scanner.text(&key) {
            "nik" if scanner.peek() == Some(b'[') => {
                let start = scanner.position();
                read_list(scanner, elements, limit)?;
                self.niks.give(Some(start..scanner.position()));
            }
            "nik" => {
                scanner.value(1)?;
                self.niks.give(None);
            }
            "process" => match scanner.value(1)? {
                Value::Text(text) => self
                    .process
                    .give(Some(Process::from_text(scanner.text(&text)))),
                Value::Integer | Value::Other => self.process.give(None),
            },
            _ => {
                scanner.value(1)?;
            }
        }
        Ok(())
    }
}

fn read_list(
    scanner: &mut Scanner<'_>,
    elements: &mut Vec<Element>,
    limit: usize,
) -> Result<(), Malformed> {
    scanner.expect(b'[')?;
    scanner.whitespace();
    if scanner.eat(b']') {
        return Ok(());
    }
    loop {
        let start = scanner.position();
        let value = scanner.value(2)?;
        let raw = start..scanner.position();
        if elements.len() <= limit {
            let text = match value {
                Value::Text(text) => Some(text),
                Value::Integer => Some(Text::Plain(raw.clone())),
                Value::Other => None,
            };
            elements.push(Element { raw, text });
        }
        scanner.whitespace();
        if scanner.eat(b']') {
            return Ok(());
        }
        scanner.expect(b',')?;
        scanner.whitespace();
    }
}

/// A member that an object should have exactly once.
#[derive(Default)]
enum Member<T> {
    #[default]
    Missing,
    Good(T),
    /// Of the wrong type, or given twice.
    Bad,
}

impl<T> Member<T> {
    fn give(&mut self, value: Option<T>) {
        *self = match (&*self, value) {
            (Self::Missing, Some(value)) => Self::Good(value),
            _ => Self::Bad,
        };
    }

    fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Missing | Self::Bad => None,
        }
    }
}
