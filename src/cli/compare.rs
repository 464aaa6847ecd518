//! `nik-stream compare`: how many answers would change under other settings or region data.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use nik::region::Regions;
use serde_json::{Map, Value, json};

use super::config::Files;
use super::reading::{ProgressBar, ReadingArgs};
use super::{UNKNOWN, not_found_out, signals, written};
use crate::config::{Loaded, Settings};
use crate::kafka::audit::compare::{Candidate, Comparison, SECTIONS, compare};
use crate::regions::Release;

/// Judges the requests of a span twice, by the settings in force and by a candidate, and counts
/// which answers change
///
/// It reads only the requests topic, joins no group, writes nothing to Kafka, and prints neither
/// NIKs nor keys. It counts the elements of the lists; a request that fails by one of the two
/// judgements counts once.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream compare --since 1d --candidate stricter.toml
  nik-stream compare --since 2025-06-01 --until 2025-06-02 --regions data/regions --json

Exit: 0 compared, 2 usage, 3 could not be found out, 64 settings")]
pub struct CompareArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    reading: ReadingArgs,

    /// A settings file that is applied over the settings in force, the environment included
    #[arg(long, value_name = "FILE")]
    #[arg(required_unless_present = "regions", conflicts_with = "regions")]
    candidate: Option<PathBuf>,

    /// A directory with `current.tsv` and `retired.tsv`
    #[arg(long, value_name = "DIR")]
    regions: Option<PathBuf>,
}

pub fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let span = match args.reading.span() {
        Ok(span) => span,
        Err(code) => return Ok(code),
    };
    let Loaded { settings: present, release, .. } = args.files.load()?;
    let candidate: Vec<PathBuf> = args.candidate.iter().cloned().collect();
    let Loaded { settings: candidate, release: tried, .. } = args.files.load_with(&candidate)?;
    let known = release.regions(present.rules.retired_codes).context("the region data")?;
    let tried = match &args.regions {
        None => tried.regions(candidate.rules.retired_codes).context("the region data")?,
        Some(directory) => match regions_of(directory, &candidate, &release) {
            Ok(regions) => regions,
            Err(error) => return Ok(not_found_out(&format!("{error:#}"))),
        },
    };
    let side = |settings, regions| Candidate {
        settings,
        processor: Settings::processor(settings, regions),
    };
    let stop = signals::stop()?;
    let (reading, mut bar) = (&args.reading, ProgressBar::new());
    let sides = [side(&present, known), side(&candidate, tried)];
    let found = compare(sides, span, reading.rate, &stop, &mut |read, planned| {
        bar.show(read, planned);
    });
    bar.clear();
    let found = match found {
        Ok(found) => found,
        Err(error) => return Ok(not_found_out(&error)),
    };
    let topic = &present.topics.requests;
    let text =
        if reading.json { json_of(&found, topic).to_string() + "\n" } else { table(&found, topic) };
    written(io::stdout().write_all(text.as_bytes()))?;
    if !found.complete {
        eprintln!("stopped before the end");
        return Ok(ExitCode::from(UNKNOWN));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the tables of a directory. To try them they need no manifest, but the service would refuse
/// them.
fn regions_of(
    directory: &Path,
    settings: &Settings,
    in_force: &Release,
) -> anyhow::Result<Regions> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (current, retired) = (read("current.tsv")?, read("retired.tsv")?);
    let regions = Regions::parse(&current, &retired, settings.rules.retired_codes);
    let regions = regions.with_context(|| format!("the region data in {}", directory.display()))?;
    let release = Release::read(directory);
    if let Err(error) = release.and_then(|release| release.check_successor_of(in_force)) {
        eprintln!("nik-stream: warning: `run` would refuse {}: {error}", directory.display());
    }
    Ok(regions)
}

/// Counts by two names.
fn nested<'a>(counts: impl Iterator<Item = (&'a str, &'a str, u64)>) -> Value {
    let mut outer = Map::new();
    for (from, to, count) in counts {
        let inner = outer.entry(from).or_insert_with(|| json!({}));
        inner[to] = count.into();
    }
    outer.into()
}

fn json_of(found: &Comparison, topic: &str) -> Value {
    let changed =
        found.changed.iter().map(|((from, to), count)| (from.as_str(), to.as_str(), *count));
    let by_section = SECTIONS.iter().zip(found.by_section);
    let by_section: Map<String, Value> =
        by_section.map(|(name, count)| ((*name).to_owned(), count.into())).collect();
    let mut by_reason = Map::new();
    for section in SECTIONS.iter().chain(&["request"]) {
        let of_it = found.by_reason.iter().filter(|((it, _), _)| it == section);
        let of_it = of_it.map(|((_, (from, to)), count)| (*from, *to, *count));
        let of_it = nested(of_it);
        if of_it.as_object().is_some_and(|it| !it.is_empty()) {
            by_reason.insert((*section).to_owned(), of_it);
        }
    }
    let examples = found.examples.iter().map(|((from, to), position)| {
        json!({
            "from": from.as_str(), "to": to.as_str(), "topic": topic,
            "partition": position.partition, "offset": position.offset,
        })
    });
    json!({
        "requests": found.requests,
        "niks": found.niks,
        "changed": nested(changed),
        "by_section": by_section,
        "by_reason": by_reason,
        "examples": examples.collect::<Vec<_>>(),
        "complete": found.complete,
    })
}

fn table(found: &Comparison, topic: &str) -> String {
    let mut lines = vec![("requests".to_owned(), found.requests), ("niks".to_owned(), found.niks)];
    let line = |from: &str, to: &str| format!("{from} -> {to}");
    for ((from, to), count) in &found.changed {
        lines.push((line(from.as_str(), to.as_str()), *count));
    }
    for (section, count) in SECTIONS.iter().zip(found.by_section) {
        lines.push((format!("section {section}"), count));
    }
    for ((section, (from, to)), count) in &found.by_reason {
        lines.push((format!("{section}: {}", line(from, to)), *count));
    }
    let lines = lines.into_iter().map(|(name, count)| format!("{name:<40} {count:>12}\n"));
    let examples = found.examples.iter().map(|((from, to), position)| {
        format!("{:<40} {topic} {position}\n", line(from.as_str(), to.as_str()))
    });
    lines.chain(examples).collect()
}
