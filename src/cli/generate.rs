//! `nik-stream generate`: requests with synthetic NIKs, as lines or sent to the requests topic.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use super::config::Files;
use super::{WRONG_USAGE, process_parser, written};
use crate::config::Settings;
use crate::kafka::request_producer::{Next, RequestMix, RequestProducer};
use nik::dataset;
use nik::region::{Regions, RetiredCodes};
use nik_wire::Process;
use nik_wire::generate::{Generator, Options};

/// Writes requests with synthetic NIKs, one per line, or sends them to the requests topic
///
/// Area codes are real and current, dates and serial numbers are random. The same arguments produce
/// the same bytes.
#[derive(clap::Args, Debug)]
#[command(after_help = r"Examples:
  nik-stream generate --count 3
  nik-stream generate --count 1000 --niks-per-request 100 --process full | nik-stream check
  nik-stream generate --count 1000 --process explain --claims 0.8 --mismatch 0.1 | nik-stream check
  nik-stream generate --send --rate 50 --broken 0.02")]
pub struct GenerateArgs {
    /// Number of requests [with --send: default unlimited]
    #[arg(long, value_name = "N", required_unless_present = "send")]
    count: Option<u64>,

    /// Seed of the random numbers
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// NIKs per request
    #[arg(long, value_name = "K", default_value_t = 1)]
    niks_per_request: usize,

    /// Share of invalid NIKs, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.1, value_parser = share)]
    invalid: f64,

    /// Process of all requests [default: limited or full, with --claims also explain, at random]
    #[arg(long, value_name = "PROCESS", value_parser = process_parser())]
    process: Option<Process>,

    /// Share of claims, 0 to 1, among the NIKs of requests with the process explain
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = share)]
    claims: f64,

    /// With --claims: share of claims, 0 to 1, whose birth date or gender is wrong
    #[arg(long, value_name = "R", default_value_t = 0.0, requires = "claims", value_parser = share)]
    mismatch: f64,

    /// Sends the requests to `topics.requests` instead of writing them, to try out the service
    #[arg(long)]
    send: bool,

    #[command(flatten)]
    sent: SendArgs,
}

#[derive(clap::Args, Debug)]
struct SendArgs {
    #[command(flatten)]
    files: Files,

    /// With --send: requests per second
    #[arg(long, value_name = "N", default_value_t = 200, requires = "send", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// With --send: share of requests, 0 to 1, that are broken in one of eight ways and become
    /// failures
    #[arg(long, value_name = "R", default_value_t = 0.0, requires = "send", value_parser = share)]
    broken: f64,
}

pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    if args.claims > 0.0 && matches!(args.process, Some(Process::Limited | Process::Full)) {
        eprintln!("nik-stream: --claims requires --process explain, or none");
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    let regions = dataset::regions(RetiredCodes::None)?;
    if args.send {
        send(args, &args.sent.files.load()?.settings, &regions)?;
        return Ok(ExitCode::SUCCESS);
    }
    written(generate(args, &regions, BufWriter::with_capacity(1 << 16, io::stdout().lock())))
}

/// Writes the requests to `output`, with area codes from `regions`.
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
            claims: self.claims,
            mismatch: self.mismatch,
            ..Options::default()
        };
        Generator::new(regions, self.seed, options)
    }
}

/// Sends the requests; the key of each is its number, from 0.
fn send(args: &GenerateArgs, settings: &Settings, regions: &Regions) -> anyhow::Result<()> {
    let &SendArgs { rate, broken, .. } = &args.sent;
    let limits = settings.process().limits;
    let mut requests = RequestMix::new(args.generator(regions), limits, broken);
    let count = args.count.unwrap_or(u64::MAX);
    let producer = RequestProducer::connect(settings)?;
    producer.send_paced(
        &mut requests,
        rate,
        |number| number.to_string(),
        |sent| {
            if sent < count { Next::Send } else { Next::Stop }
        },
    )?;
    Ok(())
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().map_err(|_| "not a number")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not between 0 and 1") }
}
