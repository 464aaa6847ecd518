//! `nik-stream check`: validation without Kafka, with exactly the bytes that would be published.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::json;

use super::config::Files;
use super::{process_parser, written};
use crate::config::Loaded;
use crate::telemetry::today;
use nik::Date;
use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::Process;
use nik_wire::process::{Outcome, Processor, Settings};

/// The usual alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Validates NIKs without Kafka
///
/// NIKs given as arguments produce one result. Without arguments, each line of standard input is a
/// request, and standard output gets, line by line, exactly the bytes that would be published: a
/// result or a failure. Standard error gets the reason of each failure. Rules and limits are those
/// of the service with the same `--config` and environment.
#[derive(clap::Args, Debug)]
#[command(after_help = r#"Examples:
  nik-stream check 3273010101900001 3273014101900002
  nik-stream check --process full --reference-date 2024-02-29 3273010101900001
  printf '{"nik":["1234567891234567"],"process":"full"}\n' | nik-stream check"#)]
pub struct CheckArgs {
    /// The process for NIKs given as arguments; request lines contain their own
    #[arg(long, value_name = "PROCESS", default_value = "limited", value_parser = process_parser())]
    process: Process,

    #[command(flatten)]
    files: Files,

    /// Uses the default settings, whatever the environment says
    #[arg(long, conflicts_with = "files")]
    defaults: bool,

    /// Date from which ages and centuries are counted, YYYY-MM-DD [default: today in Jakarta, or
    /// `rules.reference_date` if that is a date]
    #[arg(long, value_name = "DATE", value_parser = Date::parse)]
    reference_date: Option<Date>,

    /// Reads each line of standard input as base64 (RFC 4648), for requests with a schema id, which
    /// may contain a line break. Outcomes are written as they are
    #[arg(long, conflicts_with = "niks")]
    base64: bool,

    /// The NIKs to validate
    #[arg(value_name = "NIK", allow_negative_numbers = true)]
    niks: Vec<String>,
}

pub fn run(mut args: CheckArgs) -> anyhow::Result<ExitCode> {
    let mut processor = if args.defaults {
        Processor::new(dataset::regions(RetiredCodes::All)?.into(), Settings::default())
    } else {
        let Loaded { settings, release, .. } = args.files.load()?;
        let day = settings.rules.reference_date.fixed();
        args.reference_date = args.reference_date.or(day);
        settings.processor(release.regions(settings.rules.retired_codes)?)
    };
    let input = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    written(check(&args, &mut processor, input, output, io::stderr().lock()))
}

/// Validates the NIKs in the arguments, or the request lines of `input`, and writes to `output`;
/// `reasons` gets those of failures.
pub fn check(
    args: &CheckArgs,
    processor: &mut Processor,
    input: impl BufRead,
    output: impl Write,
    reasons: impl Write,
) -> io::Result<()> {
    let reference = args.reference_date.unwrap_or_else(today);
    let mut answers = Answers { processor, reference, outcome: Vec::new(), output, reasons };
    if args.niks.is_empty() {
        answers.answer_lines(input, args.base64)?;
    } else {
        let request = json!({"nik": args.niks, "process": args.process.as_str()}).to_string();
        answers.answer(request.as_bytes(), "the request")?;
    }
    answers.output.flush()
}

struct Answers<'a, W, R> {
    processor: &'a mut Processor,
    reference: Date,
    outcome: Vec<u8>,
    output: W,
    reasons: R,
}

impl<W: Write, R: Write> Answers<'_, W, R> {
    /// Answers a request. `place` names it if it fails.
    fn answer(&mut self, request: &[u8], place: impl Display) -> io::Result<()> {
        let outcome = self.processor.process(Some(request), self.reference, &mut self.outcome);
        self.outcome.push(b'\n');
        self.output.write_all(&self.outcome)?;
        if let Outcome::Failure { reason, .. } = outcome {
            let reason = reason.as_str();
            let hint = format!("`nik-stream explain {reason}` explains it");
            writeln!(self.reasons, "check: {place} failed: {reason} ({hint})")?;
        }
        Ok(())
    }

    /// Answers the request in a line of this number.
    fn answer_line(&mut self, line: &[u8], number: usize, base64: bool) -> io::Result<()> {
        let place = format_args!("line {number}");
        if !base64 {
            return self.answer(line, place);
        }
        let request = BASE64.decode(line.trim_ascii_end()).map_err(|error| {
            let text = format!("standard input: line {number}: expected base64: {error}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        self.answer(&request, place)
    }

    fn answer_lines(&mut self, mut input: impl BufRead, base64: bool) -> io::Result<()> {
        // A longer request fails anyway, so one byte over the limit suffices.
        let mut kept_bytes = self.processor.settings().limits.request_bytes.saturating_add(1);
        if base64 {
            kept_bytes = kept_bytes.div_ceil(3).saturating_mul(4);
        }
        let (mut line, mut number) = (Vec::new(), 1);
        loop {
            let chunk = match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let text = format!("standard input: {error}");
                    return Err(io::Error::new(error.kind(), text));
                }
                Ok(chunk) => chunk,
            };
            if chunk.is_empty() {
                break;
            }
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                let text = part.strip_suffix(b"\n").unwrap_or(part);
                line.extend_from_slice(&text[..text.len().min(kept_bytes - line.len())]);
                if text.len() < part.len() {
                    self.answer_line(&line, number, base64)?;
                    line.clear();
                    number += 1;
                }
            }
            let taken = chunk.len();
            input.consume(taken);
            // The next chunk may never come, so answer what was read.
            self.output.flush()?;
        }
        if line.is_empty() { Ok(()) } else { self.answer_line(&line, number, base64) }
    }
}
