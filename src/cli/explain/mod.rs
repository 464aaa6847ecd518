//! `nik-stream explain`: what a reason, a warning or a comparison means, and what to do about it.

pub mod texts;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::written;
use texts::{Explanation, Group, explanations};

/// Names that are less similar than this to the typed one are not suggested; 0 to 1. The measure
/// (Jaro-Winkler) gives the start of a name the most weight, and people who type a part of a name
/// type its start.
const SIMILAR: f64 = 0.7;
/// The most names that are suggested.
const SUGGESTIONS: usize = 3;

/// Explains a reason: its rule, its source, what to say and where to look
///
/// Reasons are those of `process` "explain" and of failures. Warnings and the outcomes of
/// comparisons with declared values are explained, too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nik-stream explain
  nik-stream explain unknown_kecamatan")]
pub struct ExplainArgs {
    /// The name as in an outcome, such as `no_such_day`. Without one, all names are listed
    #[arg(value_parser = known)]
    reason: Option<String>,
}

pub fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let mut out = Vec::new();
    match &args.reason {
        Some(name) => one(name, &mut out)?,
        None => list(&mut out)?,
    }
    written(io::stdout().write_all(&out))
}

/// Every group with its names and their rules.
fn list(out: &mut impl Write) -> io::Result<()> {
    let width = explanations().map(|it| it.name.len()).max().unwrap_or(0);
    for group in Group::ALL {
        writeln!(out, "{}", group.title())?;
        for it in group.explanations() {
            writeln!(out, "  {:width$}  {}", it.name, it.rule)?;
        }
    }
    Ok(())
}

/// All explanations of a name, since two sections may have a reason of the same name.
fn one(name: &str, out: &mut impl Write) -> io::Result<()> {
    let found = Group::ALL.iter().flat_map(|group| {
        let named = group.explanations().iter().filter(|it| it.name == name);
        named.map(move |it| (group, it))
    });
    for (index, (group, it)) in found.enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {}", group.title(), it.name)?;
        for (label, text) in fields(it) {
            writeln!(out, "  {label:<8} {text}")?;
        }
    }
    Ok(())
}

fn fields(it: &Explanation) -> [(&'static str, &'static str); 4] {
    [("rule", it.rule), ("source", it.source), ("say", it.say), ("look at", it.look)]
}

/// Parses the argument.
fn known(name: &str) -> Result<String, String> {
    if explanations().any(|it| it.name == name) {
        return Ok(name.to_owned());
    }
    let typed = name.to_lowercase();
    let mut nearest: Vec<(f64, &str)> = explanations()
        .map(|it| (strsim::jaro_winkler(it.name, &typed), it.name))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .collect();
    nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    nearest.dedup_by_key(|(_, name)| *name);
    let nearest: Vec<&str> = nearest.iter().take(SUGGESTIONS).map(|(_, name)| *name).collect();
    Err(if nearest.is_empty() {
        "no reason has this name; `nik-stream explain` lists all".to_owned()
    } else {
        let verb = if nearest.len() == 1 { "is" } else { "are" };
        format!("no reason has this name; the nearest {verb} {}", nearest.join(", "))
    })
}
