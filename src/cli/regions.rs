//! `nik-stream regions`: what a code means, and what the data is.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::written;
use crate::regions::{self, Manifest};
use nik::dataset;
use nik::region::{Code, Confidence, Description, Level, Retired, State, Tables};

/// Ask the region data: what a code means, current or retired; where the data comes from.
#[derive(Debug, Args)]
#[command(after_help = "Example: nik-stream regions lookup 32.73.01 910101")]
pub struct RegionsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what codes mean, current or retired, and since when
    ///
    /// Exits with 1 if neither table knows one of them.
    #[command(after_help = "Example: nik-stream regions lookup 32 3273 32.73.01 910101")]
    Lookup {
        /// Province, regency or kecamatan: 2, 4 or 6 digits, with or without dots
        #[arg(required = true, value_name = "CODE")]
        codes: Vec<Code>,
    },
    /// Tell release, decree, source, checksums and counts of the data
    #[command(after_help = "Example: nik-stream regions info")]
    Info,
}

/// Answers on standard output; codes that nobody knows go to standard error.
pub fn run(args: &RegionsArgs) -> anyhow::Result<ExitCode> {
    let (mut out, mut words) = (Vec::new(), Vec::new());
    let exit = answer(args, &mut out, &mut words)?;
    io::stderr().write_all(&words)?;
    written(io::stdout().write_all(&out))?;
    Ok(exit)
}

/// Answers on `out`; codes that nobody knows go to `words`.
pub fn answer(
    args: &RegionsArgs,
    out: &mut impl Write,
    words: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let manifest = regions::manifest()?;
    let mut exit = ExitCode::SUCCESS;
    match &args.command {
        Command::Info => info(&manifest, out)?,
        Command::Lookup { codes } => {
            let tables = dataset::tables()?;
            let mut parted = false;
            for &code in codes {
                let Some(found) = tables.describe(code) else {
                    writeln!(words, "{}", unknown(&tables, code))?;
                    exit = ExitCode::FAILURE;
                    continue;
                };
                if std::mem::replace(&mut parted, true) {
                    writeln!(out)?;
                }
                describe(&tables, &found, &manifest, out)?;
            }
        }
    }
    Ok(exit)
}

fn describe(
    tables: &Tables<'_>,
    found: &Description<'_>,
    manifest: &Manifest,
    out: &mut impl Write,
) -> io::Result<()> {
    let state = if found.retired.is_some() { State::Retired } else { State::Current };
    writeln!(out, "{} {}, {}", found.code, found.code.level(), state.as_str())?;
    field(out, "name", found.name.unwrap_or("None (nobody knows it)"))?;
    for parent in &found.parents {
        let state = if parent.retired { " (retired)" } else { "" };
        field(
            out,
            parent.code.level().as_str(),
            &format!("{} {}{state}", parent.code, parent.name),
        )?;
    }
    if let Some(row) = &found.retired {
        return provenance(tables, row, out);
    }
    field(out, "in force by", &manifest.decree)?;
    field(out, "source", &manifest.source.package)
}

fn provenance(tables: &Tables<'_>, row: &Retired<'_>, out: &mut impl Write) -> io::Result<()> {
    field(out, "first seen", row.first_seen)?;
    field(out, "last seen", row.last_seen)?;
    let successor = row.successor.and_then(|code| tables.describe(code));
    field(
        out,
        "successor",
        &successor.map_or_else(|| "not known".to_owned(), |found| path(&found)),
    )?;
    field(out, "evidence", row.evidence)?;
    field(out, "confidence", row.confidence.as_str())?;
    if row.note.is_empty() { Ok(()) } else { field(out, "note", row.note) }
}

/// A code with its name and the names above it on one line.
fn path(found: &Description<'_>) -> String {
    let names = found.name.into_iter().chain(found.parents.iter().map(|parent| parent.name));
    format!("{} {}", found.code, names.collect::<Vec<_>>().join(", "))
}

fn unknown(tables: &Tables<'_>, code: Code) -> String {
    let above: Vec<_> = tables
        .parents(code)
        .iter()
        .map(|parent| format!("{} {}", parent.code, parent.name))
        .collect();
    let known = if above.is_empty() {
        String::new()
    } else {
        format!("; known above it: {}", above.join(", "))
    };
    format!("{code}: no such {}, current or retired{known}", code.level())
}

fn info(manifest: &Manifest, out: &mut impl Write) -> io::Result<()> {
    let source = &manifest.source;
    field(out, "release", &manifest.release)?;
    field(out, "decree", &manifest.decree)?;
    field(out, "source", &format!("{} {} ({})", source.package, source.file, source.licence))?;
    field(out, "sha256", &format!("{} {}", source.sha256, source.file))?;
    for (file, sha256) in &manifest.files {
        field(out, "sha256", &format!("{sha256} {file}"))?;
    }
    field(out, "sha256", &format!("{} current.tsv followed by retired.tsv", manifest.sha256))?;

    writeln!(out, "\n  {:<26} {:>8} {:>8} {:>9}", "codes", "province", "regency", "kecamatan")?;
    for state in State::ALL.map(State::as_str) {
        let of = |level: Level| manifest.counts.get(level.as_str())?.get(state);
        counts(out, state, of)?;
    }
    for confidence in Confidence::ALL.map(Confidence::as_str) {
        let of = |level: Level| manifest.retired_confidence.get(level.as_str())?.get(confidence);
        counts(out, &format!("  {confidence}"), of)?;
    }
    Ok(())
}

fn counts<'a>(
    out: &mut impl Write,
    label: &str,
    of: impl Fn(Level) -> Option<&'a usize>,
) -> io::Result<()> {
    let [province, regency, kecamatan] = Level::ALL.map(|level| of(level).copied().unwrap_or(0));
    writeln!(out, "  {label:<26} {province:>8} {regency:>8} {kecamatan:>9}")
}

fn field(out: &mut impl Write, label: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {label:<11} {value}")
}
