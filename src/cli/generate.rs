//! `nik-stream generate`: request lines of synthetic NIKs.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use super::{process_parser, written};
use crate::codec::Process;
use crate::dataset;
use crate::generate::{Generator, Options};
use crate::region::{Regions, RetiredCodes};

/// Writes request lines of synthetic NIKs: the codes are real and in force, dates and serials are
/// drawn at random. The same arguments give the same bytes.
#[derive(clap::Args, Debug)]
#[command(after_help = r"Examples:
  nik-stream generate --count 3
  nik-stream generate --count 1000 --niks-per-request 100 --process full | nik-stream check")]
pub struct GenerateArgs {
    /// How many requests
    #[arg(long, value_name = "N")]
    count: u64,

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
}

/// Runs the command to standard output.
pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let regions = dataset::regions(RetiredCodes::None)?;
    written(generate(
        args,
        &regions,
        BufWriter::with_capacity(1 << 16, io::stdout().lock()),
    ))
}

/// Runs the command to `output`, with the codes that `regions` knows.
pub fn generate(args: &GenerateArgs, regions: &Regions, mut output: impl Write) -> io::Result<()> {
    let &GenerateArgs {
        count,
        seed,
        niks_per_request,
        invalid,
        process,
    } = args;
    let mut generator = Generator::new(
        regions,
        seed,
        Options {
            niks_per_request,
            invalid,
            process,
            ..Options::default()
        },
    );
    let mut line = Vec::new();
    for _ in 0..count {
        line.clear();
        generator.request(&mut line);
        line.push(b'\n');
        output.write_all(&line)?;
    }
    output.flush()
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().map_err(|_| "not a number")?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("not between 0 and 1")
    }
}
