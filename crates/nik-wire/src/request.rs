//! Parses requests.

use super::claim::read_claim;
use super::fast_path::{DigitList, FastPath};
use super::json::{Malformed, Scanner, Text, Value};
use super::{Reason, Span};
use nik::{Claim, Nik};

nik::named! {
    /// The form of the result. The names are those in the request and in the metric's label.
    pub enum Process {
        /// The verdict on each NIK alone.
        Limited = "limited",
        /// The five sections of each NIK.
        Full = "full",
        /// The sections of each NIK with the reasons of invalid ones, compared with what is
        /// declared.
        Explain = "explain",
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most elements of the list.
    pub niks_per_request: usize,
    /// The most bytes of the request.
    pub request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { niks_per_request: 10_000, request_bytes: 1 << 20 }
    }
}

/// A request that is refused, with the parts that could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first check that failed.
    pub reason: Reason,
    /// The process, if the request holds exactly one and it is known.
    pub process: Option<Process>,
    /// The span of the `nik` array, if the request holds exactly one.
    pub niks: Option<Span>,
}

/// Reads requests one at a time and reuses its buffers.
#[derive(Clone, Default)]
pub struct RequestReader {
    elements: Vec<Element>,
    /// What each element declares: nothing, unless it is a claim. Only `explain` fills it.
    claims: Vec<Claim>,
    /// The decoded text of all strings with escapes.
    arena: String,
}

/// An element of the list, by its spans.
#[derive(Clone)]
struct Element {
    raw: Span,
    /// The text of a string or an integer. That of a claim is the text of its NIK.
    text: Option<Text>,
}

/// An element of the list that cannot be read as a NIK.
#[derive(Clone, Copy)]
pub struct Unreadable<'a> {
    /// The element, byte for byte.
    pub raw: &'a [u8],
    /// The decoded text of a string, or an integer as written; `None` for any other element.
    pub text: Option<&'a str>,
}

/// A well-formed request within the limits.
pub struct Request<'a> {
    pub process: Process,
    /// The span of the `nik` array.
    pub niks: Span,
    document: &'a str,
    list: List<'a>,
}

/// The `nik` array of a request.
#[derive(Clone, Copy)]
enum List<'a> {
    /// Read by the fast path.
    Digits(DigitList),
    /// Read by the general reader.
    Elements(&'a RequestReader),
}

impl<'a> Request<'a> {
    pub fn len(&self) -> usize {
        match self.list {
            List::Digits(list) => list.count,
            List::Elements(reader) => reader.elements.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The NIKs of a list that the fast path read: it holds nothing but strings of sixteen digits.
    pub fn digit_list(&self) -> Option<impl Iterator<Item = Nik<'a>>> {
        match self.list {
            List::Digits(list) => Some(list.niks(self.document)),
            List::Elements(_) => None,
        }
    }

    /// The elements of a list that the general reader read.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Result<Nik<'a>, Unreadable<'a>>> {
        let document = self.document;
        let (elements, arena) = match self.list {
            List::Digits(_) => (&[][..], ""),
            List::Elements(reader) => (&reader.elements[..], &reader.arena[..]),
        };
        elements.iter().map(move |element| {
            let text = element.text.map(|text| text.of(document, arena));
            let raw = &document.as_bytes()[element.raw.range()];
            // The text of a claim is that of its NIK, not of the element.
            let unreadable =
                || Unreadable { raw, text: text.filter(|_| raw.first() != Some(&b'{')) };
            text.and_then(Nik::new).ok_or_else(unreadable)
        })
    }

    /// What each of [`Self::elements`] declares, in a request of the process `explain`.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim> {
        let claims = match self.list {
            List::Digits(_) => &[][..],
            List::Elements(reader) => &reader.claims[..],
        };
        claims.iter().copied()
    }
}

impl RequestReader {
    /// Reads a request. The checks are in the order of [`Reason`].
    pub fn read<'a>(&'a mut self, bytes: &'a [u8], limits: Limits) -> Result<Request<'a>, Refusal> {
        let unread = |reason| Refusal { reason, process: None, niks: None };
        if bytes.len() > limits.request_bytes.min(Span::MAX_DOCUMENT) {
            return Err(unread(Reason::RequestTooLarge));
        }
        let document = str::from_utf8(bytes).map_err(|_| unread(Reason::MalformedJson))?;
        if let Some(fast) = FastPath::read(bytes)
            && fast.list.count <= limits.niks_per_request
        {
            return Ok(Request {
                process: fast.process,
                niks: fast.niks,
                document,
                list: List::Digits(fast.list),
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
        if process == Process::Explain {
            self.read_claims(document);
        }
        Ok(Request { process, niks, document, list: List::Elements(self) })
    }

    /// Reads the claims among the elements, whose form the scan has only checked.
    fn read_claims(&mut self, document: &str) {
        self.claims.clear();
        for element in &mut self.elements {
            let mut scanner = Scanner::at(element.raw.range().start, document, &mut self.arena);
            let claim = read_claim(&mut scanner).map(|(nik, claim)| {
                element.text = Some(nik);
                claim
            });
            self.claims.push(claim.unwrap_or_default());
        }
    }

    /// Scans the whole document and stores the elements of the list, at most one more than `limit`.
    fn scan(&mut self, document: &str, limit: usize) -> Result<Members, Malformed> {
        self.elements.clear();
        self.arena.clear();
        let mut members = Members::default();
        let scanner = &mut Scanner::new(document, &mut self.arena);
        scanner.whitespace();
        if scanner.peek() == Some(b'{') {
            scanner.each(*b"{}", |scanner| members.read(scanner, &mut self.elements, limit))?;
        } else {
            scanner.value(0)?;
        }
        scanner.end()?;
        Ok(members)
    }
}

/// The members of the object that a request needs.
#[derive(Default)]
struct Members {
    niks: Member<Span>,
    /// `Good(None)` is a string that is not a known process.
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
                self.niks.set_once(Some(span));
            }
            "nik" => {
                scanner.value(1)?;
                self.niks.set_once(None);
            }
            "process" => match scanner.value(1)? {
                Value::Text(text) => {
                    self.process.set_once(Some(Process::from_text(scanner.text(text))));
                }
                Value::Integer | Value::Other => self.process.set_once(None),
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
    scanner.each(*b"[]", |scanner| {
        let start = scanner.position();
        let text = if scanner.sixteen_digits() {
            Some(Text::Plain(Span::new(start + 1, scanner.position() - 1)))
        } else {
            scanner.nik(2)?
        };
        if elements.len() <= limit {
            let raw = Span::new(start, scanner.position());
            elements.push(Element { raw, text });
        }
        Ok(())
    })
}

/// A member that an object may have only once.
#[derive(Clone, Copy, Default)]
pub(super) enum Member<T> {
    #[default]
    Missing,
    Good(T),
    /// Of the wrong type, or duplicate.
    Bad,
}

impl<T: Copy> Member<T> {
    pub(super) fn set_once(&mut self, value: Option<T>) {
        *self = match (*self, value) {
            (Self::Missing, Some(value)) => Self::Good(value),
            _ => Self::Bad,
        };
    }

    pub(super) fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Missing | Self::Bad => None,
        }
    }

    /// The value, or `default` if the member is missing; `None` if it is bad.
    pub(super) fn good_or(self, default: T) -> Option<T> {
        match self {
            Self::Missing => Some(default),
            Self::Good(value) => Some(value),
            Self::Bad => None,
        }
    }
}
