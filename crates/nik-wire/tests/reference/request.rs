//! Parses a request, or finds the first reason of the contract that applies.

use super::Settings;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    Limited,
    Full,
    Explain,
}

/// Why a request has no result, in the order of the checks. `Internal` is left out: a panic in the
/// reference fails the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Tombstone,
    RequestTooLarge,
    MalformedJson,
    InvalidRequest,
    UnknownProcess,
    TooManyNiks,
    ResultTooLarge,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::RequestTooLarge => "request_too_large",
            Self::MalformedJson => "malformed_json",
            Self::InvalidRequest => "invalid_request",
            Self::UnknownProcess => "unknown_process",
            Self::TooManyNiks => "too_many_niks",
            Self::ResultTooLarge => "result_too_large",
        }
    }
}

/// A well-formed request.
pub struct Request {
    pub process: Process,
    pub niks: Vec<Box<RawValue>>,
    /// The `nik` array, byte for byte, for a failure.
    pub niks_as_sent: String,
}

/// A request that is refused.
pub struct Failure {
    pub reason: Reason,
    /// The process, if it could be read; requests are counted by it.
    pub process: Option<Process>,
    /// The `data` of the failure.
    pub niks: String,
}

/// The checks in the order of the contract.
pub fn read(value: Option<&[u8]>, settings: &Settings) -> Result<Request, Failure> {
    let unread = |reason| Failure { reason, process: None, niks: "[]".to_owned() };

    let Some(bytes) = value else {
        return Err(unread(Reason::Tombstone));
    };
    if bytes.len() > settings.request_bytes {
        return Err(unread(Reason::RequestTooLarge));
    }
    let document = json(bytes).ok_or_else(|| unread(Reason::MalformedJson))?;
    if !document.get().starts_with('{') {
        return Err(unread(Reason::InvalidRequest));
    }

    let members = members(document);
    let values_of = |wanted: &str| -> Vec<&RawValue> {
        members.iter().filter(|(key, _)| key == wanted).map(|(_, value)| &**value).collect()
    };
    let nik = match values_of("nik")[..] {
        [only] if only.get().starts_with('[') => Some(only),
        _ => None,
    };
    let process = match values_of("process")[..] {
        [only] if only.get().starts_with('"') => Some(only),
        _ => None,
    };

    let process_text: Option<String> =
        process.map(|process| serde_json::from_str(process.get()).expect("a checked text"));
    let process = match process_text.as_deref() {
        Some("limited") => Some(Process::Limited),
        Some("full") => Some(Process::Full),
        Some("explain") => Some(Process::Explain),
        _ => None,
    };
    let niks_as_sent = nik.map_or("[]", RawValue::get).to_owned();
    let failure = |reason| Failure { reason, process, niks: niks_as_sent.clone() };
    let (Some(nik), Some(_)) = (nik, process_text.as_ref()) else {
        return Err(failure(Reason::InvalidRequest));
    };
    let Some(process) = process else {
        return Err(failure(Reason::UnknownProcess));
    };
    let niks: Vec<Box<RawValue>> = serde_json::from_str(nik.get()).expect("a checked array");
    if niks.len() > settings.niks_per_request {
        return Err(failure(Reason::TooManyNiks));
    }
    Ok(Request { process, niks, niks_as_sent })
}

/// The document without surrounding whitespace, if it is well-formed JSON under the rules of the
/// contract.
///
/// `RawValue` checks only the grammar of RFC 8259: it accepts numbers of any size, any nesting and
/// lone surrogates. Strings and nesting are therefore checked here.
fn json(bytes: &[u8]) -> Option<&RawValue> {
    let text = std::str::from_utf8(bytes).ok()?;
    let document: &RawValue = serde_json::from_str(text).ok()?;

    let mut rest = document.get();
    let mut depth = 0;
    while let Some(first) = rest.chars().next() {
        let mut step = first.len_utf8();
        match first {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            '"' => {
                step = string_length(rest);
                // Decoding rejects lone surrogates, which the grammar accepts.
                serde_json::from_str::<String>(&rest[..step]).ok()?;
            }
            _ => {}
        }
        if depth > 128 {
            return None;
        }
        rest = &rest[step..];
    }
    Some(document)
}

/// The length in bytes of the string at the start of `text`, quotes included.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Every member of an object in order with its decoded key, duplicates included.
pub fn members(object: &RawValue) -> Vec<(String, Box<RawValue>)> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, text: &mut std::fmt::Formatter) -> std::fmt::Result {
            text.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(object.get())
        .deserialize_map(Members)
        .expect("a checked object")
}
