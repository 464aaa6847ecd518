//! The headers of a dead letter: the reason, the position of the request and, if it fits, the
//! request itself.

use std::ffi::CStr;

use crate::config::DroppedHeaders;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::native::{Headers, NativeMessage, each_header};
use crate::kafka::dlq::dead_letter::{DeadLetter, Header, TopicPosition};
use crate::pipeline::Position;
use nik_wire::{Detail, Reason};

const TOPIC: &str = "__dlq.errors.topic";
const PARTITION: &str = "__dlq.errors.partition";
const OFFSET: &str = "__dlq.errors.offset";
const GROUP: &str = "__dlq.errors.group";
const MESSAGE: &str = "__dlq.errors.message";
pub const REASON: &str = "nik-failure-reason";
const ORIGINAL: &str = "nik-failure-original";

/// The headers that this program writes; the names of the first five are those of KIP-1191.
const NAMES: [&str; 7] = [TOPIC, PARTITION, OFFSET, GROUP, MESSAGE, REASON, ORIGINAL];

/// The header that names the version, the region data and the rules by which an outcome was judged.
pub const JUDGED_BY: &CStr = c"nik-judged-by";

/// The maximum length of the headers' values, in bytes; only the original may be longer.
const MAX_VALUE_BYTES: usize = 256;
/// The bytes that a record takes beside its key, value and headers: lengths, attributes, the batch
/// header.
const OVERHEAD: usize = 512;

/// What is left out of a dead letter. Each time that the broker refuses its size, more is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truncation {
    Whole,
    WithoutOriginal,
    /// Also without the list of NIKs in the value.
    WithoutList,
    /// Also without the headers of the request.
    WithoutRequestHeaders,
}

impl Truncation {
    /// The truncation after this many refusals; `None` if nothing more can be left out.
    pub fn after(refusals: u8) -> Option<Self> {
        match refusals {
            0 => Some(Self::Whole),
            1 => Some(Self::WithoutOriginal),
            2 => Some(Self::WithoutList),
            3 => Some(Self::WithoutRequestHeaders),
            _ => None,
        }
    }
}

/// The value of `__dlq.errors.message` if nothing more exact is known.
const fn description(reason: Reason) -> &'static str {
    match reason {
        Reason::Tombstone => "the record has no value",
        Reason::RequestTooLarge => "the request has more bytes than limits.request_bytes",
        Reason::MalformedJson => "the request is not one JSON text in UTF-8",
        Reason::InvalidRequest => {
            "the request is not an object with one array nik and one string process"
        }
        Reason::UnknownProcess => "process is none of limited, full and explain",
        Reason::TooManyNiks => "nik has more elements than limits.niks_per_request",
        Reason::ResultTooLarge => {
            "the result is larger than limits.result_bytes or its topic allow"
        }
        Reason::Internal => "a fault of nik-stream itself, see its log",
    }
}

/// A dead letter to be written.
pub struct Failure<'a> {
    pub group: &'a str,
    pub reason: Reason,
    pub detail: Option<Detail>,
    pub truncation: Truncation,
    /// The size of its value.
    pub bytes: usize,
    /// The original is included if the whole dead letter stays within this many bytes with it.
    pub limit: usize,
}

/// The headers of the dead letter of `message`, without the `dropped` ones of the request.
pub fn headers(message: &Record<'_>, failure: &Failure<'_>, dropped: &DroppedHeaders) -> Headers {
    let Failure { group, reason, detail, truncation, bytes, limit } = *failure;
    let mut headers = Headers::with_capacity(16);
    let mut size = OVERHEAD + bytes + message.key().map_or(0, <[u8]>::len);
    let mut add = |name: &str, value: &str| {
        let value = &value[..value.floor_char_boundary(MAX_VALUE_BYTES)];
        size += name.len() + value.len();
        headers.push(name.as_bytes(), Some(value.as_bytes()));
    };
    add(TOPIC, message.topic());
    add(PARTITION, &message.partition().to_string());
    add(OFFSET, &message.offset().to_string());
    add(GROUP, group);
    add(MESSAGE, detail.map_or(description(reason), Detail::as_str));
    add(REASON, reason.as_str());
    let mut of_request = Vec::new();
    if truncation < Truncation::WithoutRequestHeaders {
        each_header(message, |name, value| {
            if own_index(name).is_none() && !dropped.contains(name) {
                size += name.len() + value.map_or(0, <[u8]>::len);
                of_request.push((name.to_vec(), value.map(<[u8]>::to_vec)));
            }
        });
    }
    if truncation == Truncation::Whole
        && let Some(original) = message.payload()
        && size + ORIGINAL.len() + original.len() <= limit
    {
        headers.push(ORIGINAL.as_bytes(), Some(original));
    }
    for (name, value) in of_request {
        headers.push(&name, value.as_deref());
    }
    headers
}

/// Adds [`JUDGED_BY`] to the headers of an outcome, in place of one that came with its request.
pub fn with_judged_by(headers: Option<Headers>, judged_by: &str) -> Headers {
    let mut headers = headers.unwrap_or_else(|| Headers::with_capacity(1));
    headers.remove(JUDGED_BY);
    headers.push(JUDGED_BY.to_bytes(), Some(judged_by.as_bytes()));
    headers
}

/// Whether outcomes carry this header of their request.
pub fn is_passed_on(name: &[u8]) -> bool {
    name != JUDGED_BY.to_bytes() && own_index(name).is_none()
}

/// The index in [`NAMES`] of a header of dead letters.
fn own_index(name: &[u8]) -> Option<usize> {
    NAMES.iter().position(|own| own.as_bytes() == name)
}

/// The reason in the headers of a dead letter.
pub fn reason(message: &impl NativeMessage) -> Option<String> {
    let mut reason = None;
    each_header(message, |name, value| {
        if name == REASON.as_bytes() && reason.is_none() {
            reason = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
        }
    });
    reason
}

/// Reads a dead letter; `None` if `record` lacks the headers of one.
pub fn read(record: &Record<'_>) -> Option<DeadLetter> {
    let mut ours: [Option<Vec<u8>>; NAMES.len()] = Default::default();
    let mut headers: Vec<Header> = Vec::new();
    each_header(record, |name, value| {
        let value = value.map(<[u8]>::to_vec);
        match own_index(name) {
            // The stream writes its headers once, before those of the request.
            Some(index) if ours[index].is_none() => ours[index] = value,
            Some(_) => {}
            // It is about the dead letter, not about the request.
            None if name == JUDGED_BY.to_bytes() => {}
            None => headers.push((name.to_vec(), value)),
        }
    });
    let [topic, partition, offset, group, description, reason, original] = ours;
    let text = |value: Option<Vec<u8>>| String::from_utf8(value?).ok();
    let reason = text(reason)?;
    let is_reason = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !reason.bytes().all(is_reason) || reason.is_empty() || reason.len() > MAX_VALUE_BYTES {
        return None;
    }
    Some(DeadLetter {
        position: record.position(),
        timestamp: record.timestamp(),
        // A foreign record may claim a topic of any length.
        request: TopicPosition {
            topic: text(topic).filter(|topic| topic.len() <= MAX_VALUE_BYTES)?,
            position: Position {
                partition: text(partition)?.parse().ok()?,
                offset: text(offset)?.parse().ok()?,
            },
        },
        group: text(group)?,
        reason,
        message: text(description)?,
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        original,
        headers,
    })
}
