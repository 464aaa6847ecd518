//! Reads a claim: an element of the list that is an object.

use super::json::{Malformed, Scanner, Text, Value};
use super::request::Member;
use nik::region::Code;
use nik::{Claim, Date, Gender};

/// The containers around the members of an element: the request, the list and the element.
const DEPTH: u32 = 3;

/// The members of a claim. Only the NIK is required.
#[derive(Default)]
struct Members {
    nik: Member<Text>,
    birth_date: Optional<Date>,
    gender: Optional<Gender>,
    area: Optional<Code>,
}

/// A member that can be missing or null.
#[derive(Default)]
enum Optional<T> {
    #[default]
    Missing,
    Null,
    Given(T),
    /// Of another type or form, or duplicate.
    Bad,
}

/// The element is not a claim.
struct Unreadable;

impl<T> Optional<T> {
    fn give(&mut self, value: Self) {
        *self = if let Self::Missing = self { value } else { Self::Bad };
    }

    fn value(self) -> Result<Option<T>, Unreadable> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Given(value) => Ok(Some(value)),
            Self::Bad => Err(Unreadable),
        }
    }
}

/// Reads the object at which `scanner` is: the text of its NIK, and what it declares. `None` if a
/// member is of another type or form, missing, or duplicate.
pub(super) fn read_claim(scanner: &mut Scanner<'_>) -> Option<(Text, Claim)> {
    let members = Members::read(scanner).ok()?;
    let claim = Claim {
        birth_date: members.birth_date.value().ok()?,
        gender: members.gender.value().ok()?,
        area: members.area.value().ok()?,
    };
    Some((members.nik.good()?, claim))
}

impl Members {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        let mut members = Self::default();
        scanner.expect(b'{')?;
        scanner.whitespace();
        let mut more = !scanner.eat(b'}');
        while more {
            members.read_member(scanner)?;
            more = scanner.another(b'}')?;
        }
        Ok(members)
    }

    fn read_member(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Malformed> {
        let key = scanner.key()?;
        match scanner.text(key) {
            "nik" => self.nik.give(scanner.nik(DEPTH)?),
            "birth_date" => self.birth_date.give(optional(scanner, |it| Date::parse(it).ok())?),
            "gender" => self.gender.give(optional(scanner, gender)?),
            "area" => self.area.give(optional(scanner, Code::from_digits)?),
            _ => {
                scanner.value(DEPTH)?;
            }
        }
        Ok(())
    }
}

/// Consumes a value that should be a text that `parse` accepts, or null.
fn optional<T>(
    scanner: &mut Scanner<'_>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Optional<T>, Malformed> {
    let is_null = scanner.peek() == Some(b'n');
    Ok(match scanner.value(DEPTH)? {
        Value::Text(text) => parse(scanner.text(text)).map_or(Optional::Bad, Optional::Given),
        Value::Other if is_null => Optional::Null,
        Value::Integer | Value::Other => Optional::Bad,
    })
}

fn gender(text: &str) -> Option<Gender> {
    match text {
        "Man" => Some(Gender::Man),
        "Woman" => Some(Gender::Woman),
        _ => None,
    }
}
