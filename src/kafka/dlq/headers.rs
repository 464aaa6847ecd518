//! The headers of a failure record: why, whence, and the request itself where it fits. Written, and read again.

use rdkafka::message::{BorrowedMessage, Message};

use crate::kafka::client::native::{Headers, each_header};
use crate::kafka::dlq::letter::{DeadLetter, Header, Place, Source};
use nik_wire::Reason;

const TOPIC: &str = "__dlq.errors.topic";
const PARTITION: &str = "__dlq.errors.partition";
const OFFSET: &str = "__dlq.errors.offset";
const GROUP: &str = "__dlq.errors.group";
const MESSAGE: &str = "__dlq.errors.message";
const REASON: &str = "nik-failure-reason";
const ORIGINAL: &str = "nik-failure-original";

/// The names this program gives; the first five are those of Kafka's own KIP-1191.
const NAMES: [&str; 7] = [TOPIC, PARTITION, OFFSET, GROUP, MESSAGE, REASON, ORIGINAL];

/// The longest value, in bytes, of all but the original.
const LONGEST: usize = 256;
/// What a record costs beside its parts: lengths, attributes, the batch around it.
const OVERHEAD: usize = 512;

/// How much of a failure is sent: less, when the broker refused more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truncation {
    Whole,
    WithoutOriginal,
    WithoutList,
    WithoutOwnHeaders,
}

impl Truncation {
    /// The cut after `steps` refusals of the failure; `None` when nothing is left to cut.
    pub fn after(steps: u8) -> Option<Self> {
        match steps {
            0 => Some(Self::Whole),
            1 => Some(Self::WithoutOriginal),
            2 => Some(Self::WithoutList),
            3 => Some(Self::WithoutOwnHeaders),
            _ => None,
        }
    }
}

/// What a person reads in `__dlq.errors.message`.
const fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::Tombstone => "the record has no value",
        Reason::RequestTooLarge => "the request has more bytes than limits.request_bytes",
        Reason::MalformedJson => "the request is not one JSON text in UTF-8",
        Reason::InvalidRequest => {
            "the request is no object with one array nik and one text process"
        }
        Reason::UnknownProcess => "process is neither limited nor full",
        Reason::TooManyNiks => "nik has more elements than limits.niks_per_request",
        Reason::ResultTooLarge => {
            "the result is larger than limits.result_bytes or its topic allow"
        }
        Reason::Internal => "a fault of nik-stream itself, see its log",
    }
}

/// The headers of the failure of `message`; `payload` bytes and `limit` decide whether the original comes along.
pub fn headers(
    message: &BorrowedMessage<'_>,
    group: &str,
    reason: Reason,
    cut: Truncation,
    payload: usize,
    limit: usize,
) -> Headers {
    let mut headers = Headers::with_capacity(16);
    let mut size = OVERHEAD + payload + message.key().map_or(0, <[u8]>::len);
    let mut add = |name: &str, value: &str| {
        let value = &value[..value.floor_char_boundary(LONGEST)];
        size += name.len() + value.len();
        headers.push(name.as_bytes(), Some(value.as_bytes()));
    };
    add(TOPIC, message.topic());
    add(PARTITION, &message.partition().to_string());
    add(OFFSET, &message.offset().to_string());
    add(GROUP, group);
    add(MESSAGE, sentence(reason));
    add(REASON, reason.as_str());
    let mut own = Vec::new();
    if cut < Truncation::WithoutOwnHeaders {
        each_header(message, |name, value| {
            if !NAMES.iter().any(|given| given.as_bytes() == name) {
                size += name.len() + value.map_or(0, <[u8]>::len);
                own.push((name.to_vec(), value.map(<[u8]>::to_vec)));
            }
        });
    }
    if cut == Truncation::Whole
        && let Some(original) = message.payload()
        && size + ORIGINAL.len() + original.len() <= limit
    {
        headers.push(ORIGINAL.as_bytes(), Some(original));
    }
    for (name, value) in own {
        headers.push(&name, value.as_deref());
    }
    headers
}

/// Reads the failure that `message` is; `None` if it has not the headers of one.
pub fn read(message: &BorrowedMessage<'_>) -> Option<DeadLetter> {
    let mut ours: [Option<Vec<u8>>; NAMES.len()] = Default::default();
    let mut headers: Vec<Header> = Vec::new();
    each_header(message, |name, value| {
        let value = value.map(<[u8]>::to_vec);
        match NAMES.iter().position(|given| given.as_bytes() == name) {
            // Ours stand once, and first.
            Some(index) if ours[index].is_none() => ours[index] = value,
            Some(_) => {}
            None => headers.push((name.to_vec(), value)),
        }
    });
    let [topic, partition, offset, group, sentence, reason, original] = ours;
    let text = |value: Option<Vec<u8>>| String::from_utf8(value?).ok();
    let reason = text(reason)?;
    let is_reason = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !reason.bytes().all(is_reason) || reason.is_empty() || reason.len() > LONGEST {
        return None;
    }
    Some(DeadLetter {
        place: Place { partition: message.partition(), offset: message.offset() },
        timestamp: message.timestamp().to_millis(),
        // What is longer is no failure of ours: what is shown of it stays short.
        request: Source {
            topic: text(topic).filter(|topic| topic.len() <= LONGEST)?,
            place: Place {
                partition: text(partition)?.parse().ok()?,
                offset: text(offset)?.parse().ok()?,
            },
        },
        group: text(group)?,
        sentence: text(sentence)?,
        reason,
        key: message.key().map(<[u8]>::to_vec),
        data: message.payload().map(<[u8]>::to_vec),
        original,
        headers,
    })
}
