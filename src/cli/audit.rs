//! `nik-stream audit`: judges the requests of a span again and compares the outcomes in the topics.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::config::Files;
use super::mask::mask;
use super::reading::{ProgressBar, ReadingArgs};
use super::{UNKNOWN, not_found_out, signals, written};
use crate::config::Loaded;
use crate::kafka::audit::{self, AuditOptions, Fault, Report, Rulebook};
use crate::telemetry::metrics::AuditMetrics;

/// Judges the requests of a span again and compares what the topics hold
///
/// Prints how many requests have no outcome (lost), and how many outcomes are beyond the first of
/// their request (doubled), have other bytes or are in the wrong topic (different), or belong to no
/// request (unexplained). It joins no group, writes nothing to Kafka, and prints neither NIKs nor
/// keys. Settings must be those of the service. Ctrl-C prints what was seen so far.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream audit --since 2h
  nik-stream audit --since 2025-06-01 --until 2025-06-02 --sample 1/100 --json

Exit: 0 no fault, 1 faults, 2 usage, 3 could not be found out, 64 settings")]
pub struct AuditArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    reading: ReadingArgs,

    /// Looks at one key in N; records without a key are chosen by their timestamp
    #[arg(long, value_name = "1/N", value_parser = parse_sample, default_value = "1/1")]
    sample: u64,

    /// Also writes the counts to this file in the format of Prometheus, for the textfile collector
    /// of its node exporter
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let span = match args.reading.span() {
        Ok(span) => span,
        Err(code) => return Ok(code),
    };
    let loaded = args.files.load()?;
    let settings = &loaded.settings;
    let options = AuditOptions { span, sample: args.sample, rate: args.reading.rate };
    let stop = signals::stop()?;
    let mut bar = ProgressBar::new();
    let rulebook = rulebook(&loaded)?;
    let report = audit::audit(settings, rulebook, &options, &stop, &mut |read, planned| {
        bar.show(read, planned);
    });
    bar.clear();
    let report = match report {
        Ok(report) => report,
        Err(error) => return Ok(not_found_out(&error)),
    };
    let text = if args.reading.json { json_of(&report).to_string() + "\n" } else { table(&report) };
    written(io::stdout().write_all(text.as_bytes()))?;
    report_reading(&report);
    if !report.has_positions && report.counts.requests > 0 {
        eprintln!(
            "group {} has no committed offset: requests after the last outcome count as in flight; is kafka.group_id that of the service?",
            settings.kafka.group_id
        );
    }
    if let Some(path) = args.textfile.as_ref().filter(|_| report.undecided.is_none())
        && let Err(error) = write_textfile(path, &settings.kafka.group_id, &report)
    {
        return Ok(not_found_out(&format!("{error:#}")));
    }
    Ok(match &report {
        report if report.counts.has_faults() => ExitCode::FAILURE,
        Report { undecided: Some(_), .. } => ExitCode::from(UNKNOWN),
        Report { .. } => ExitCode::SUCCESS,
    })
}

/// What these settings judge by.
fn rulebook(loaded: &Loaded) -> anyhow::Result<Rulebook> {
    let Loaded { settings, release, .. } = loaded;
    let regions = release.regions(settings.rules.retired_codes).context("the region data")?;
    let version = env!("CARGO_PKG_VERSION");
    let processor = settings.processor(regions);
    let with = |privacy| processor.clone().with_privacy(privacy);
    Ok(Rulebook {
        processors: settings.privacy.all().into_iter().map(with).collect(),
        judged_by: settings.judged_by(version, &release.manifest.release),
    })
}

/// Parses `1/N`.
fn parse_sample(text: &str) -> Result<u64, &'static str> {
    let of = text.strip_prefix("1/").and_then(|of| of.parse().ok());
    of.filter(|of| *of > 0).ok_or("expected 1/N, such as 1/100")
}

/// The counts by the names of the JSON object.
fn counts(report: &Report) -> Vec<(&'static str, u64)> {
    let counts = &report.counts;
    let found =
        [("requests", counts.requests), ("results", counts.results), ("failures", counts.failures)];
    let faults = Fault::ALL.map(|fault| (fault.as_str(), counts.count(fault)));
    let explained = [
        ("in_flight", counts.in_flight),
        ("out_of_reach", counts.out_of_reach),
        ("sampled_out", counts.sampled_out),
        ("replayed", counts.replayed),
        ("other_release", counts.other_release),
    ];
    found.into_iter().chain(faults).chain(explained).collect()
}

fn json_of(report: &Report) -> Value {
    let mut object: Map<String, Value> =
        counts(report).into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let examples = report.examples.iter().map(|it| {
        json!({
            "kind": it.fault.as_str(), "topic": it.topic,
            "partition": it.position.partition, "offset": it.position.offset,
        })
    });
    object.insert("examples".to_owned(), examples.collect());
    object.insert("complete".to_owned(), report.undecided.is_none().into());
    object.insert("undecided".to_owned(), report.undecided.unwrap_or(0).into());
    object.into()
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    for (name, count) in counts(report) {
        let _ = writeln!(text, "{:<15} {count:>12}", name.replace('_', " ")); // never fails
    }
    for it in &report.examples {
        let _ = writeln!(text, "{:<15} {} {}", it.fault.as_str(), mask(&it.topic), it.position);
    }
    text
}

fn report_reading(report: &Report) {
    let seconds = report.duration.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = report.read as f64 / seconds.max(0.001);
    eprintln!("{} records read in {seconds:.1} s, {rate:.0} a second", report.read);
    if let Some(undecided) = report.undecided {
        eprintln!("stopped before the end: {undecided} records were not yet compared");
    }
}

/// Replaces the file, which may be read at any moment.
fn write_textfile(path: &Path, group: &str, report: &Report) -> anyhow::Result<()> {
    let faults = Fault::ALL.map(|fault| (fault.as_str(), report.counts.count(fault)));
    let metrics = AuditMetrics { group, faults: &faults, requests: report.counts.requests };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let failed = || format!("cannot write {}", path.display());
    std::fs::write(&new, metrics.text()?).with_context(failed)?;
    std::fs::rename(&new, path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_one_in_a_positive_number() {
        assert_eq!(parse_sample("1/100"), Ok(100));
        for text in ["", "1", "1/0", "2/3", "1/-1", "0.5"] {
            assert!(parse_sample(text).is_err(), "{text}");
        }
    }
}
