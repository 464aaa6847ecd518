//! What exactly is wrong with a request, in a sentence for people.
//!
//! Only failures need it, so it reads the request a second time instead of burdening the reader. It
//! names members and notations, never a value.

use super::Reason;
use super::json::Scanner;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

nik::named! {
    /// What is wrong with a malformed or invalid request, as a sentence.
    pub enum Detail {
        Empty = "the request has no bytes",
        ByteOrderMark = "the request begins with a byte order mark",
        SchemaId = "the request begins with the byte 0, as a schema id does (topics.framing)",
        NotUtf8 = "the request is not UTF-8",
        LeadingZero = "a number has a leading zero, which JSON does not allow: send NIKs as strings",
        BytesAfter = "bytes follow the JSON value of the request",
        NotAnObject = "the request is JSON, but not an object",
        CloudEvent = "the request is a CloudEvent in structured mode, with its content in the member data: send CloudEvents in binary mode",
        BothMissing = "the request has neither a member nik nor a member process",
        NikMissing = "the request has no member nik",
        NikTwice = "the request has the member nik more than once",
        NikNotArray = "the member nik is not an array",
        ProcessMissing = "the request has no member process",
        ProcessTwice = "the request has the member process more than once",
        ProcessNotString = "the member process is not a string",
    }
}

impl Detail {
    /// The detail of a request that fails for this reason, as far as there is one. `json` is the
    /// request without its schema id.
    pub fn of(json: &[u8], reason: Reason) -> Option<Self> {
        match reason {
            Reason::MalformedJson => malformed(json),
            Reason::InvalidRequest => invalid(str::from_utf8(json).ok()?),
            _ => None,
        }
    }
}

fn malformed(json: &[u8]) -> Option<Detail> {
    match json {
        [] => return Some(Detail::Empty),
        [0, ..] => return Some(Detail::SchemaId),
        _ if json.starts_with(BYTE_ORDER_MARK) => return Some(Detail::ByteOrderMark),
        _ => {}
    }
    let Ok(document) = str::from_utf8(json) else {
        return Some(Detail::NotUtf8);
    };
    let mut arena = String::new();
    let mut scanner = Scanner::new(document, &mut arena);
    scanner.whitespace();
    let value = scanner.value(0);
    scanner.whitespace();
    if has_leading_zero(json, scanner.position()) {
        Some(Detail::LeadingZero)
    } else {
        value.is_ok().then_some(Detail::BytesAfter)
    }
}

/// Whether a number that is only a zero ends before the digit at `at`.
fn has_leading_zero(json: &[u8], at: usize) -> bool {
    let Some((before, after)) = json.split_at_checked(at) else {
        return false;
    };
    let Some(before) = before.strip_suffix(b"0") else {
        return false;
    };
    let before = before.strip_suffix(b"-").unwrap_or(before);
    after.first().is_some_and(u8::is_ascii_digit)
        && before.last().is_none_or(|byte| b"[,: \t\r\n".contains(byte))
}

/// How often a member occurs, and whether it always had the right type.
struct Found {
    times: u32,
    right: bool,
}

/// What is wrong with a document that is JSON.
fn invalid(document: &str) -> Option<Detail> {
    let mut nik = Found { times: 0, right: true };
    let mut process = Found { times: 0, right: true };
    let mut is_event = false;
    let mut arena = String::new();
    let mut scanner = Scanner::new(document, &mut arena);
    scanner.whitespace();
    if scanner.peek() != Some(b'{') {
        return Some(Detail::NotAnObject);
    }
    scanner
        .each(*b"{}", |scanner| {
            let key = scanner.key()?;
            let (member, right) = match scanner.text(key) {
                "nik" => (Some(&mut nik), scanner.peek() == Some(b'[')),
                "process" => (Some(&mut process), scanner.peek() == Some(b'"')),
                key => {
                    is_event |= key == "specversion";
                    (None, true)
                }
            };
            if let Some(member) = member {
                member.times += 1;
                member.right &= right;
            }
            scanner.value(1).map(drop)
        })
        .ok()?;
    match (nik, process) {
        (Found { times: 0, .. }, _) if is_event => Some(Detail::CloudEvent),
        (Found { times: 0, .. }, Found { times: 0, .. }) => Some(Detail::BothMissing),
        (Found { times: 0, .. }, _) => Some(Detail::NikMissing),
        (Found { times: 2.., .. }, _) => Some(Detail::NikTwice),
        (Found { right: false, .. }, _) => Some(Detail::NikNotArray),
        (_, Found { times: 0, .. }) => Some(Detail::ProcessMissing),
        (_, Found { times: 2.., .. }) => Some(Detail::ProcessTwice),
        (_, Found { right: false, .. }) => Some(Detail::ProcessNotString),
        _ => None,
    }
}
