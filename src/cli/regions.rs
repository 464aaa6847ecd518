//! `nik-stream regions`: looks up codes, and describes the region data.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::config::Files;
use super::written;
use crate::regions::Manifest;
use nik::region::{Code, Confidence, Description, Level, State, Tables};

/// Looks up region codes, current or retired, or describes the region data
#[derive(Debug, Args)]
#[command(after_help = "Example: nik-stream regions lookup 32.73.01 910101")]
pub struct RegionsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what codes mean, current or retired, and since when
    ///
    /// A code in force is shown with the retired codes that it replaced and their names.
    ///
    /// Exits with 1 if one of the codes is in neither table.
    #[command(after_help = "Example: nik-stream regions lookup 32 3273 32.73.01 910101")]
    Lookup {
        /// Province, regency or kecamatan: 2, 4 or 6 digits, with or without dots
        #[arg(required = true, value_name = "CODE")]
        codes: Vec<Code>,

        #[command(flatten)]
        files: Files,
    },
    /// Show release, decree, source, checksums and counts of the data
    #[command(after_help = "Example: nik-stream regions info")]
    Info {
        #[command(flatten)]
        files: Files,
    },
}

/// Labels and their values.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn add(&mut self, label: impl Into<String>, value: impl Into<String>) {
        self.0.push((label.into(), value.into()));
    }

    /// Writes one field a line, with the values aligned.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let longest = self.0.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let width = longest.max(11); // the same in all blocks of a lookup
        self.0.iter().try_for_each(|(label, value)| writeln!(out, "  {label:<width$} {value}"))
    }
}

pub fn run(args: &RegionsArgs) -> anyhow::Result<ExitCode> {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let exit = answer(args, &mut out, &mut errors)?;
    io::stderr().write_all(&errors)?;
    written(io::stdout().write_all(&out))?;
    Ok(exit)
}

/// Writes the answer to `out`, and unknown codes to `errors`.
pub fn answer(
    args: &RegionsArgs,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let (codes, files) = match &args.command {
        Command::Lookup { codes, files } => (codes, files),
        Command::Info { files } => {
            let manifest = &files.load()?.release.manifest;
            info(manifest).write(out)?;
            writeln!(out)?;
            counts(manifest).write(out)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let release = files.load()?.release;
    let (manifest, tables) = (&release.manifest, release.tables()?);
    let (found, unknown): (Vec<_>, Vec<_>) =
        codes.iter().map(|&code| tables.describe(code).ok_or(code)).partition(Result::is_ok);
    for (index, found) in found.iter().flatten().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let state = if found.retired.is_some() { State::Retired } else { State::Current };
        writeln!(out, "{} {}, {}", found.code, found.code.level(), state.as_str())?;
        lookup(&tables, found, manifest).write(out)?;
    }
    for code in unknown.iter().filter_map(|unknown| unknown.as_ref().err()) {
        writeln!(errors, "{}", not_found(&tables, *code))?;
    }
    Ok(if unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lookup(tables: &Tables<'_>, found: &Description<'_>, manifest: &Manifest) -> Fields {
    let mut fields = Fields::default();
    fields.add("name", found.name.unwrap_or("unknown"));
    for parent in &found.parents {
        let state = if parent.retired { " (retired)" } else { "" };
        fields.add(parent.code.level().as_str(), format!("{} {}{state}", parent.code, parent.name));
    }
    if let Some(row) = &found.retired {
        let successor = row.successor.and_then(|code| tables.describe(code));
        fields.add("first seen", row.first_seen);
        fields.add("last seen", row.last_seen);
        fields.add("successor", successor.map_or("unknown".to_owned(), |found| full_name(&found)));
        fields.add("evidence", row.evidence);
        fields.add("confidence", row.confidence.as_str());
        if !row.note.is_empty() {
            fields.add("note", row.note);
        }
    } else {
        fields.add("in force by", &manifest.decree);
        fields.add("source", &manifest.source.package);
        let replaced = tables.retired().iter().filter(|row| row.successor == Some(found.code));
        for former in replaced.filter_map(|row| tables.describe(row.code)) {
            fields.add("formerly", full_name(&former));
        }
    }
    fields
}

/// The code, its name and the names of its parents: `327301 Sukasari, Kota Bandung, Jawa Barat`.
fn full_name(found: &Description<'_>) -> String {
    let names = found.name.into_iter().chain(found.parents.iter().map(|parent| parent.name));
    format!("{} {}", found.code, names.collect::<Vec<_>>().join(", "))
}

fn not_found(tables: &Tables<'_>, code: Code) -> String {
    let parents = tables.parents(code);
    let parents = parents.iter().map(|parent| format!("{} {}", parent.code, parent.name));
    let place = parents.collect::<Vec<_>>().join(", ");
    let place = if place.is_empty() { place } else { format!("; it would be in {place}") };
    format!("{code}: no {} has this code, current or retired{place}", code.level())
}

fn info(manifest: &Manifest) -> Fields {
    let source = &manifest.source;
    let mut fields = Fields::default();
    fields.add("release", &manifest.release);
    fields.add("decree", &manifest.decree);
    fields.add("source", format!("{} {} ({})", source.package, source.file, source.licence));
    fields.add("sha256", format!("{} {}", source.sha256, source.file));
    for (file, sha256) in &manifest.files {
        fields.add("sha256", format!("{sha256} {file}"));
    }
    fields.add("sha256", format!("{} current.tsv followed by retired.tsv", manifest.sha256));
    fields
}

fn counts(manifest: &Manifest) -> Fields {
    let columns = |cells: [String; 3]| format!("{:>8} {:>8} {:>9}", cells[0], cells[1], cells[2]);
    let row = |counts: &BTreeMap<String, BTreeMap<String, usize>>, of: &str| {
        let count = |level: Level| counts.get(level.as_str())?.get(of).copied();
        columns(Level::ALL.map(|level| count(level).unwrap_or(0).to_string()))
    };
    let mut fields = Fields::default();
    fields.add("codes", columns(Level::ALL.map(|level| level.to_string())));
    for state in State::ALL.map(State::as_str) {
        fields.add(state, row(&manifest.counts, state));
    }
    for confidence in Confidence::ALL.map(Confidence::as_str) {
        fields.add(format!("  {confidence}"), row(&manifest.retired_confidence, confidence));
    }
    fields
}
