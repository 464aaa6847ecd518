//! `nik-stream generate`: request lines of synthetic NIKs, or the same sent to the topic of requests.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::config::Files;
use super::{process_parser, written};
use crate::config::Settings;
use crate::kafka::request_producer::RequestProducer;
use nik::dataset;
use nik::region::{Regions, RetiredCodes};
use nik_wire::Process;
use nik_wire::generate::{Fault, Generator, Options};

/// Writes request lines of synthetic NIKs, or sends them to the topic of requests
///
/// The codes are real and in force, dates and serials are drawn at random. The same arguments give the same bytes.
#[derive(clap::Args, Debug)]
#[command(after_help = r"Examples:
  nik-stream generate --count 3
  nik-stream generate --count 1000 --niks-per-request 100 --process full | nik-stream check
  nik-stream generate --send --rate 50 --broken 0.02")]
pub struct GenerateArgs {
    /// How many requests [with --send: without end]
    #[arg(long, value_name = "N", required_unless_present = "send")]
    count: Option<u64>,

    /// Which requests: another seed, others
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// How many NIKs each request holds
    #[arg(long, value_name = "K", default_value_t = 1)]
    niks_per_request: usize,

    /// The share of NIKs that are invalid, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.1, value_parser = share)]
    invalid: f64,

    /// The process of all requests [default: half of each]
    #[arg(long, value_name = "PROCESS", value_parser = process_parser())]
    process: Option<Process>,

    /// Sends the requests to `topics.requests` instead of writing them: a try-out's producer
    #[arg(long)]
    send: bool,

    #[command(flatten)]
    sent: SendArgs,
}

/// How they are sent.
#[derive(clap::Args, Debug)]
struct SendArgs {
    #[command(flatten)]
    files: Files,

    /// With --send: requests a second
    #[arg(long, value_name = "N", default_value_t = 200, requires = "send", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// With --send: the share of requests that are broken in one of eight ways and become failures, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.0, requires = "send", value_parser = share)]
    broken: f64,
}

/// Runs the command, to standard output or to the topic of requests.
pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let regions = dataset::regions(RetiredCodes::None)?;
    if args.send {
        send(args, &args.sent.files.load()?.settings, &regions)?;
        return Ok(ExitCode::SUCCESS);
    }
    written(generate(args, &regions, BufWriter::with_capacity(1 << 16, io::stdout().lock())))
}

/// Runs the command to `output`, with the codes that `regions` knows.
pub fn generate(args: &GenerateArgs, regions: &Regions, mut output: impl Write) -> io::Result<()> {
    let mut generator = args.generator(regions);
    let mut line = Vec::new();
    for _ in 0..args.count.unwrap_or_default() {
        line.clear();
        generator.request(&mut line);
        line.push(b'\n');
        output.write_all(&line)?;
    }
    output.flush()
}

impl GenerateArgs {
    fn generator(&self, regions: &Regions) -> Generator {
        let options = Options {
            niks_per_request: self.niks_per_request,
            invalid: self.invalid,
            process: self.process,
            ..Options::default()
        };
        Generator::new(regions, self.seed, options)
    }
}

/// Sends the requests, each with its number as key.
fn send(args: &GenerateArgs, settings: &Settings, regions: &Regions) -> anyhow::Result<()> {
    let &SendArgs { rate, broken, .. } = &args.sent;
    let limits = settings.process().limits;
    let feed = RequestProducer::connect(settings)?;
    let mut generator = args.generator(regions);
    let started = Instant::now();
    let (mut due, mut faults) = (0.0, 0);
    for number in 0..args.count.unwrap_or(u64::MAX) {
        let at = Duration::from_nanos(number.saturating_mul(1_000_000_000 / u64::from(rate)));
        std::thread::sleep(at.saturating_sub(started.elapsed()));
        due += broken;
        let value = if due >= 1.0 {
            due -= 1.0;
            let fault = Fault::in_turn(faults);
            faults += 1;
            generator.broken(fault, limits)
        } else {
            let mut value = Vec::new();
            generator.request(&mut value);
            Some(value)
        };
        feed.send(number.to_string().as_bytes(), value.as_deref())?;
    }
    feed.finish()?;
    Ok(())
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().map_err(|_| "not a number")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not between 0 and 1") }
}
