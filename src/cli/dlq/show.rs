//! `nik-stream dlq show`: one dead letter in full, with its request.

use std::io::{self, Write};
use std::process::ExitCode;

use super::request_position;
use crate::cli::config::Files;
use crate::cli::mask::mask;
use crate::cli::time::format_time;
use crate::cli::written;
use crate::kafka::Operation;
use crate::kafka::dlq::dead_letter::{DeadLetter, Header};
use crate::kafka::dlq::originals::{OriginalLocation, OriginalRecord};
use crate::kafka::dlq::progress::Fate;
use crate::kafka::dlq::scan::DeadLetterTopic;
use crate::pipeline::Position;

/// Shows one dead letter in full, with its request
///
/// Numbers of seven or more digits are hidden, since they may be NIKs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: nik-stream dlq show 3:42 --reveal

The request is read from its topic; if it was deleted there, from the dead letter, if that holds a copy.")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    files: Files,

    /// Shows NIKs, which are personal data
    #[arg(long)]
    reveal: bool,

    /// Position of the dead letter, PARTITION:OFFSET, as printed by `dlq list --each`
    #[arg(value_name = "PLACE")]
    position: Position,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut topic = DeadLetterTopic::open(&settings, Operation::Read)?;
    let dead_letter = topic.get(args.position)?;
    let (location, original) = topic.originals()?.fetch(&dead_letter)?;
    let page = Page { reveal: args.reveal, fate: topic.fate(&dead_letter)? };
    let text = page.render(&dead_letter, location, original.as_ref(), &settings.topics.failures);
    let exit = written(io::stdout().write_all(text.as_bytes()))?;
    if !args.reveal {
        eprintln!("numbers of seven or more digits are hidden: --reveal shows them");
    }
    Ok(exit)
}

struct Page {
    reveal: bool,
    fate: Fate,
}

impl Page {
    fn render(
        &self,
        dead_letter: &DeadLetter,
        location: OriginalLocation,
        original: Option<&OriginalRecord>,
        topic: &str,
    ) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            text.push_str(format!("{name:<10} {value}").trim_end());
            text.push('\n');
        };
        line("failure", &format!("{} in {topic}", dead_letter.position));
        line("time", &format!("{} (of the request)", format_time(dead_letter.timestamp)));
        line("reason", &format!("{}: {}", dead_letter.reason, self.hide(&dead_letter.message)));
        line(
            "replay",
            &match &self.fate {
                Fate::Open => "open: not sent again".to_owned(),
                Fate::Replayed => "sent again".to_owned(),
                Fate::Dismissed(why) => format!("dismissed: {}", self.hide(why)),
            },
        );
        line("group", &self.hide(&dead_letter.group));
        line("request", &request_position(dead_letter));
        line("key", &self.bytes(dead_letter.key.as_deref()));
        self.headers(&dead_letter.headers, &mut line);
        line("data", &self.bytes(dead_letter.value.as_deref()));
        line(
            "original",
            match location {
                OriginalLocation::RequestTopic => "read from the requests topic",
                OriginalLocation::DeadLetter => {
                    "deleted from the requests topic; read from the dead letter"
                }
                OriginalLocation::Gone => {
                    "lost: deleted from the requests topic, and the dead letter holds no copy"
                }
                OriginalLocation::OtherTopic => {
                    "not read: in a topic that is not topics.requests, and the dead letter holds no copy"
                }
            },
        );
        if let Some(original) = original {
            self.original(dead_letter, original, &mut line);
        }
        text
    }

    /// Prints what differs from the dead letter, and the value.
    fn original(
        &self,
        dead_letter: &DeadLetter,
        original: &OriginalRecord,
        line: &mut impl FnMut(&str, &str),
    ) {
        if original.timestamp != dead_letter.timestamp {
            line("time", &format_time(original.timestamp));
        }
        if original.headers != dead_letter.headers {
            self.headers(&original.headers, line);
        }
        line("value", &self.bytes(original.value.as_deref()));
    }

    fn headers(&self, headers: &[Header], line: &mut impl FnMut(&str, &str)) {
        for (name, value) in headers {
            let (name, value) = (self.bytes(Some(name)), self.bytes(value.as_deref()));
            line("header", &format!("{name}: {value}"));
        }
    }

    /// Bytes as text; control characters and bytes that are not UTF-8 are escaped.
    fn bytes(&self, bytes: Option<&[u8]>) -> String {
        let Some(bytes) = bytes else {
            return "(null)".to_owned();
        };
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    text.extend(c.escape_default());
                } else {
                    text.push(c);
                }
            }
            for byte in chunk.invalid() {
                text.extend(std::ascii::escape_default(*byte).map(char::from));
            }
        }
        self.hide(&text)
    }

    fn hide(&self, text: &str) -> String {
        if self.reveal { text.to_owned() } else { mask(text) }
    }
}
