//! Request-reply: a request may name the topic of its result, by the headers of Spring Kafka's convention.

use std::ffi::CString;

use crate::kafka::client::native::each_header;
use rdkafka::message::BorrowedMessage;

/// The name of the topic that the result is to go to.
const TOPIC: &[u8] = b"kafka_replyTopic";
/// Its partition: four bytes, the highest first.
const PARTITION: &[u8] = b"kafka_replyPartition";

/// The topics that a request may name, `topics.reply_allowed`.
pub struct Replies(pub Vec<CString>);

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplyTarget {
    /// No reply; or none is ever allowed.
    Nothing,
    /// A reply to a topic that is not allowed, or that is no name of one.
    NotAllowed,
    /// A reply to the topic of this place in the list, and maybe to one of its partitions.
    Reply(usize, Option<i32>),
}

impl Replies {
    /// What the request `message` asks for.
    pub fn wish(&self, message: &BorrowedMessage<'_>) -> ReplyTarget {
        let mut wish = ReplyTarget::Nothing;
        if self.0.is_empty() {
            return wish;
        }
        let mut asked = None;
        // Of a header that stands twice the last counts, as in Kafka's own clients.
        each_header(message, |name, value| match name {
            TOPIC => {
                let place = self.0.iter().position(|it| Some(it.to_bytes()) == value);
                wish =
                    place.map_or(ReplyTarget::NotAllowed, |place| ReplyTarget::Reply(place, None));
            }
            PARTITION => {
                let bytes = value.and_then(|value| value.try_into().ok());
                asked = bytes.map(i32::from_be_bytes);
            }
            _ => {}
        });
        match wish {
            ReplyTarget::Reply(place, _) => ReplyTarget::Reply(place, asked),
            wish => wish,
        }
    }
}
