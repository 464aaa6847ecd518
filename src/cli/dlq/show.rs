//! `nik-stream dlq show`: one failure in full, with its request.

use std::io::{self, Write};
use std::process::ExitCode;

use super::moment::show;
use super::source;
use crate::cli::config::Files;
use crate::cli::mask::mask;
use crate::cli::written;
use crate::kafka::Operation;
use crate::kafka::dlq::letter::{DeadLetter, Header, Place};
use crate::kafka::dlq::originals::{Original, Request};
use crate::kafka::dlq::scan::DeadLetterTopic;

/// Shows one failure in full, with its request
///
/// Numbers of seven digits and more are hidden, as they may be NIKs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: nik-stream dlq show 3:42 --reveal

The request is fetched from where it stood; if it is gone from there, taken from the failure; else it is lost.")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    files: Files,

    /// Shows NIKs: what you see is personal data
    #[arg(long)]
    reveal: bool,

    /// Where the failure stands, PARTITION:OFFSET in the topic of failures, as `dlq list --each` prints it
    #[arg(value_name = "PLACE")]
    place: Place,
}

/// Runs the command.
pub(super) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut letters = DeadLetterTopic::open(&settings, Operation::Read)?;
    let letter = letters.at(args.place)?;
    let original = letters.original(&letter)?;
    let page = Page { reveal: args.reveal };
    let text = page.of(&letter, &original, &settings.topics.failures);
    let exit = written(io::stdout().write_all(text.as_bytes()))?;
    if !args.reveal {
        eprintln!("numbers of seven digits and more are hidden: --reveal shows them");
    }
    Ok(exit)
}

struct Page {
    reveal: bool,
}

impl Page {
    fn of(&self, letter: &DeadLetter, original: &Original, topic: &str) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            text.push_str(format!("{name:<10} {value}").trim_end());
            text.push('\n');
        };
        let sentence = self.hidden(&letter.sentence);
        line("failure", &format!("{} in {topic}", letter.place));
        line("time", &format!("{} (the request's)", show(letter.timestamp)));
        line("reason", &format!("{}: {sentence}", letter.reason));
        line("group", &self.hidden(&letter.group));
        line("request", &source(letter));
        line("key", &self.bytes(letter.key.as_deref()));
        self.headers(&letter.headers, &mut line);
        line("data", &self.bytes(letter.data.as_deref()));
        let (whence, request) = match original {
            Original::There(request) => ("fetched from where it stood", Some(request)),
            Original::Kept(request) => {
                ("gone from where it stood; taken from the failure", Some(request))
            }
            Original::Lost => (
                "lost: gone from where it stood (retention), and too large for the failure to hold it",
                None,
            ),
        };
        line("original", whence);
        if let Some(request) = request {
            self.request(letter, request, &mut line);
        }
        text
    }

    /// What of the request is not told by its failure.
    fn request(&self, letter: &DeadLetter, request: &Request, line: &mut impl FnMut(&str, &str)) {
        if request.timestamp != letter.timestamp {
            line("time", &show(request.timestamp));
        }
        if request.headers != letter.headers {
            self.headers(&request.headers, line);
        }
        line("value", &self.bytes(request.value.as_deref()));
    }

    fn headers(&self, headers: &[Header], line: &mut impl FnMut(&str, &str)) {
        for (name, value) in headers {
            let (name, value) = (self.bytes(Some(name)), self.bytes(value.as_deref()));
            line("header", &format!("{name}: {value}"));
        }
    }

    /// Bytes as text: what is not UTF-8, and what a terminal would obey, is escaped.
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
        self.hidden(&text)
    }

    fn hidden(&self, text: &str) -> String {
        if self.reveal { text.to_owned() } else { mask(text) }
    }
}
