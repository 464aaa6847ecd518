//! A request, from bytes.

use super::fast_path::{DigitList, FastPath};
use super::json::{Malformed, Scanner, Text, Value};
use super::{Reason, Span};
use nik::Nik;

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
        Self::ALL.into_iter().find(|process| process.as_str() == text)
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
        Self { niks_per_request: 10_000, request_bytes: 1 << 20 }
    }
}

/// A request that is refused, and what of it could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first check that failed.
    pub reason: Reason,
    /// The process, where the request holds exactly one that exists.
    pub process: Option<Process>,
    /// Where in the request its `nik` array stands, if it holds exactly one.
    pub niks: Option<Span>,
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
    raw: Span,
    /// What it says, if it is a string or an integer.
    text: Option<Text>,
}

/// A request that can be processed.
pub struct Request<'a> {
    /// How the answer is to be given.
    pub process: Process,
    /// Where in the request its `nik` array stands.
    pub niks: Span,
    document: &'a str,
    list: List<'a>,
}

/// The `nik` array of a request.
#[derive(Clone, Copy)]
enum List<'a> {
    /// Of a request of the usual shape.
    DigitList(DigitList),
    /// Of any other.
    Elements(&'a RequestReader),
}

impl<'a> Request<'a> {
    /// How many elements the list has.
    pub fn len(&self) -> usize {
        match self.list {
            List::DigitList(row) => row.count,
            List::Elements(reader) => reader.elements.len(),
        }
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The list's NIKs, if it is known to hold nothing but texts of sixteen digits.
    pub fn row(&self) -> Option<impl Iterator<Item = Nik<'a>>> {
        match self.list {
            List::DigitList(row) => Some(row.niks(self.document)),
            List::Elements(_) => None,
        }
    }

    /// The elements of a list that is no [`row`](Self::row): the NIK, or the bytes of an element
    /// that cannot be read as one.
    pub fn elements(&self) -> impl Iterator<Item = Result<Nik<'a>, &'a [u8]>> {
        let document = self.document;
        let (elements, arena) = match self.list {
            List::DigitList(_) => (&[][..], ""),
            List::Elements(reader) => (&reader.elements[..], &reader.arena[..]),
        };
        elements.iter().map(move |element| {
            let text = element.text.map(|text| text.of(document, arena));
            text.and_then(Nik::new).ok_or(&document.as_bytes()[element.raw.range()])
        })
    }
}

impl RequestReader {
    /// Reads a request. The checks stand in the order of [`Reason`].
    pub fn read<'a>(&'a mut self, bytes: &'a [u8], limits: Limits) -> Result<Request<'a>, Refusal> {
        let unread = |reason| Refusal { reason, process: None, niks: None };
        if bytes.len() > limits.request_bytes.min(Span::REACH) {
            return Err(unread(Reason::RequestTooLarge));
        }
        let document = str::from_utf8(bytes).map_err(|_| unread(Reason::MalformedJson))?;
        if let Some(usual) = FastPath::read(bytes)
            && usual.row.count <= limits.niks_per_request
        {
            return Ok(Request {
                process: usual.process,
                niks: usual.niks,
                document,
                list: List::DigitList(usual.row),
            });
        }
        let members = self
            .scan(document, limits.niks_per_request)
            .map_err(|_| unread(Reason::MalformedJson))?;
        let refuse = |reason| {
            Err(Refusal {
                reason,
                process: members.process.good().flatten(),
                niks: members.niks.good(),
            })
        };
        let (Member::Good(niks), Member::Good(process)) = (members.niks, members.process) else {
            return refuse(Reason::InvalidRequest);
        };
        let Some(process) = process else {
            return refuse(Reason::UnknownProcess);
        };
        if self.elements.len() > limits.niks_per_request {
            return refuse(Reason::TooManyNiks);
        }
        Ok(Request { process, niks, document, list: List::Elements(self) })
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
            let mut more = !scanner.eat(b'}');
            while more {
                members.read(scanner, &mut self.elements, limit)?;
                more = scanner.another(b'}')?;
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
    niks: Member<Span>,
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
        match scanner.text(key) {
            "nik" if scanner.peek() == Some(b'[') => {
                let start = scanner.position();
                read_list(scanner, elements, limit)?;
                let span = Span::new(start, scanner.position());
                self.niks.give(Some(span));
            }
            "nik" => {
                scanner.value(1)?;
                self.niks.give(None);
            }
            "process" => match scanner.value(1)? {
                Value::Text(text) => {
                    self.process.give(Some(Process::from_text(scanner.text(text))))
                }
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
    let mut more = !scanner.eat(b']');
    while more {
        let start = scanner.position();
        let text = if scanner.sixteen_digits() {
            Some(Text::Plain(Span::new(start + 1, scanner.position() - 1)))
        } else {
            match scanner.value(2)? {
                Value::Text(text) => Some(text),
                Value::Integer => Some(Text::Plain(Span::new(start, scanner.position()))),
                Value::Other => None,
            }
        };
        if elements.len() <= limit {
            let raw = Span::new(start, scanner.position());
            elements.push(Element { raw, text });
        }
        more = scanner.another(b']')?;
    }
    Ok(())
}

/// A member that an object should have exactly once.
#[derive(Clone, Copy, Default)]
enum Member<T> {
    #[default]
    Missing,
    Good(T),
    /// Of the wrong type, or given twice.
    Bad,
}

impl<T: Copy> Member<T> {
    fn give(&mut self, value: Option<T>) {
        *self = match (*self, value) {
            (Self::Missing, Some(value)) => Self::Good(value),
            _ => Self::Bad,
        };
    }

    fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Missing | Self::Bad => None,
        }
    }
}
