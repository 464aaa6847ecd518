//! Reads a claim: an element of the list that is an object.

use super::json::{Malformed, Scanner, Text, Value};
use super::request::Member;
use nik::region::Code;
use nik::{Claim, Date, Gender};

/// The containers around the members of an element: the request, the list and the element.
const DEPTH: u32 = 3;

/// The members of a claim. Only the NIK is required; each other one can be null.
#[derive(Default)]
struct ClaimMembers {
    nik: Member<Text>,
    birth_date: Member<Option<Date>>,
    gender: Member<Option<Gender>>,
    area: Member<Option<Code>>,
}

/// Reads the element at which `scanner` is: the text of its NIK, and what it declares. `None` if it
/// is not an object, or a member is of another type or form, missing, or duplicate.
pub(super) fn read_claim(scanner: &mut Scanner<'_>) -> Option<(Text, Claim)> {
    let mut members = ClaimMembers::default();
    scanner.each(*b"{}", |scanner| members.read(scanner)).ok()?;
    let claim = Claim {
        birth_date: members.birth_date.good_or(None)?,
        gender: members.gender.good_or(None)?,
        area: members.area.good_or(None)?,
    };
    Some((members.nik.good()?, claim))
}

impl ClaimMembers {
    fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Malformed> {
        let key = scanner.key()?;
        match scanner.text(key) {
            "nik" => self.nik.set_once(scanner.nik(DEPTH)?),
            "birth_date" => read_text(&mut self.birth_date, scanner, |it| Date::parse(it).ok())?,
            "gender" => read_text(&mut self.gender, scanner, Gender::from_text)?,
            "area" => read_text(&mut self.area, scanner, Code::from_digits)?,
            _ => {
                scanner.value(DEPTH)?;
            }
        }
        Ok(())
    }
}

/// Consumes the value of `member`, which should be null or a text that `parse` accepts.
fn read_text<T: Copy>(
    member: &mut Member<Option<T>>,
    scanner: &mut Scanner<'_>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<(), Malformed> {
    let is_null = scanner.peek() == Some(b'n');
    member.set_once(match scanner.value(DEPTH)? {
        Value::Text(text) => parse(scanner.text(text)).map(Some),
        Value::Other => is_null.then_some(None),
        Value::Integer => None,
    });
    Ok(())
}
