//! Where an outcome goes: its topic and partition, and the headers that it carries there.

use rdkafka::message::{BorrowedMessage, Message};

use super::OpenBatch;
use crate::kafka::client::native::Headers;
use crate::kafka::dlq::headers::{self, Truncation};
use crate::kafka::stream::partitions::Output;
use crate::kafka::stream::refusals::{Refusal, Reply};
use crate::kafka::stream::reply::ReplyTarget;
use nik_wire::process::Outcome;

/// Where an outcome goes, and what it carries.
pub struct Address {
    pub output: Output,
    /// `None`: by the key.
    pub partition: Option<i32>,
    /// The request's own, behind those that tell why it failed.
    pub headers: Option<Headers>,
}

impl OpenBatch {
    /// The address of an outcome.
    pub fn address(
        &self,
        message: &BorrowedMessage<'_>,
        outcome: &Outcome,
        cut: Truncation,
        exception: Option<Refusal>,
    ) -> Address {
        let (output, asked, headers) = match *outcome {
            Outcome::Result { .. } => {
                let (output, asked) = self.reply(message, exception);
                (output, asked, Headers::copy_of(message))
            }
            Outcome::Failure { reason, .. } => {
                let (group, limit) = (&self.shared.group, self.processor.settings().result_bytes);
                let headers =
                    headers::headers(message, group, reason, cut, self.payload.len(), limit);
                (Output::Failures, None, Some(headers))
            }
        };
        let counts = &self.shared.counts;
        let asked = asked.filter(|asked| (0..counts.of(output)).contains(asked));
        let routed = || counts.route(output, message.partition(), message.key().is_some());
        Address { output, partition: asked.or_else(routed), headers }
    }

    /// The topic and maybe the partition that a result is asked to go to; the results, where that cannot be: a requester's topic
    /// stops no stream, and no result is lost. (What it asked for is text of the request, and in no log.)
    fn reply(
        &self,
        message: &BorrowedMessage<'_>,
        exception: Option<Refusal>,
    ) -> (Output, Option<i32>) {
        let why = match self.shared.replies.wish(message) {
            ReplyTarget::Nothing => return (Output::Results, None),
            ReplyTarget::NotAllowed => "topics.reply_allowed has no such topic",
            ReplyTarget::Reply(..) if exception.is_some_and(|it| it.reply == Reply::Refused) => {
                "the topic refuses the record"
            }
            ReplyTarget::Reply(place, partition) => {
                let output = Output::Reply(place);
                if self.shared.takes(output) {
                    return (output, partition);
                }
                "the topic does not exist, or may not be written to"
            }
        };
        tracing::warn!(
            partition = message.partition(),
            offset = message.offset(),
            why,
            "the reply that a request asks for goes to the results"
        );
        (Output::Results, None)
    }
}
