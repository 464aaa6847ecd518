//! What README.md, the pages of docs/, ARCHITECTURE.md and CHANGELOG.md say is what the program does.

#[cfg(feature = "kafka-tests")]
mod commands;
mod names;
pub mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use nik::dataset;
use nik::region::{Confidence, Level, State};
use nik_stream::config::load_from;
use nik_stream::kafka::check_property;
use nik_stream::telemetry::metrics::{BuildInfo, Metrics, RegionsInfo};
use nik_wire::Reason;

use pages::{CHANGELOG, blocks, doc, pages, pairs, read, table};

#[test]
fn the_settings_and_their_defaults_are_those_of_the_program() {
    let shown = load_from(&[], [], check_property).unwrap().show();
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut table = "";
    for line in shown.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            table = name;
            settings.push((name.to_owned(), "a table".to_owned()));
        } else if let Some((name, value)) = line.split_once(" = ") {
            // A table that stands empty is a setting itself.
            settings.retain(|(key, _)| key != table);
            let value = value.strip_suffix(" # default").unwrap();
            settings.push((format!("{table}.{name}"), value.to_owned()));
        }
    }
    assert_eq!(pairs("| key | default | what |"), settings);
}

#[test]
fn the_metrics_are_those_that_a_scrape_finds() {
    let build = BuildInfo { version: "1", revision: "2", librdkafka: "3" };
    let regions = RegionsInfo { release: "4", sha256: "5", counts: &[("kecamatan", "current", 6)] };
    let metrics = Metrics::new(&build, &regions, &["fenced"]);
    metrics.lag.assigned(0, &[3]);
    let mut found: BTreeMap<String, (String, BTreeSet<String>, String)> = BTreeMap::new();
    let text = metrics.render();
    for line in text.lines().filter(|line| !line.contains("process_")) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            found.entry(name.to_owned()).or_default().2 = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            found.get_mut(name).unwrap().0 = kind.to_owned();
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split(',').filter_map(|label| label.split_once("=\""));
            let labels = labels.map(|(label, _)| label.to_owned()).filter(|it| it != "le");
            let histogram = name.trim_end_matches("_bucket");
            found.get_mut(histogram).unwrap().1.extend(labels);
        }
    }
    let told = table("| metric | type | labels | what |").into_iter().map(|row| {
        let labels = row[2].split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.replace('`', "")).collect();
        (row[0].replace('`', ""), (row[1].clone(), labels, row[3].clone()))
    });
    assert_eq!(told.collect::<BTreeMap<_, _>>(), found);
}

#[test]
fn the_reasons_are_told_in_the_words_of_their_doc_comments() {
    let told: Vec<(String, String)> = table("| reason | when | `data` |")
        .into_iter()
        .map(|row| (row[0].replace('`', ""), row[1].clone()))
        .collect();
    let in_readme = |text: String| {
        let names = Reason::ALL.map(|reason| (format!("`{reason:?}`"), reason.as_str()));
        names.into_iter().fold(text, |text, (name, wire)| text.replace(&name, &format!("`{wire}`")))
    };
    let reasons = Reason::ALL.map(|reason| {
        let words = doc("src/codec/failure.rs", &format!("{reason:?} = "));
        (reason.as_str().to_owned(), in_readme(words.concat()))
    });
    assert_eq!(told, reasons);
}

#[test]
fn the_rules_are_told_in_the_words_of_their_doc_comments() {
    let rules = [
        ("length", "src/nik/assess.rs", "pub length:"),
        ("area", "src/nik/area.rs", "pub(super) fn read"),
        ("dob", "src/nik/birth_date.rs", "pub(super) fn read"),
        ("gender", "src/nik/gender.rs", "pub(super) fn read"),
        ("computerized", "src/nik/serial.rs", "pub(super) fn read"),
    ];
    let told = table("| section | value | rule | source |");
    assert_eq!(told.len(), rules.len());
    for (row, (name, path, item)) in told.iter().zip(rules) {
        assert_eq!(row[0], format!("`{name}`"));
        let [rule, source] = &doc(path, item)[..] else {
            panic!("{path}: a rule and its source");
        };
        assert_eq!(&row[2], rule, "{path}");
        assert_eq!(format!("Source: {}", row[3]), *source, "{path}");
    }
}

#[test]
fn the_headers_of_failures_are_those_that_are_written_in_their_order() {
    let source = read("src/kafka/dlq/headers.rs");
    let texts = source.lines().filter_map(|line| line.strip_prefix("const ")?.split('"').nth(1));
    let headers: Vec<&str> = texts.collect();
    let told: Vec<String> =
        table("| header | holds |").into_iter().map(|row| row[0].replace('`', "")).collect();
    assert_eq!(told, headers);
}

#[test]
fn the_endpoints_are_those_of_the_router() {
    let source = read("src/http/server.rs") + &read("src/http/api.rs");
    let routes = source.split(".route(\"").skip(1);
    let routes: Vec<String> = routes
        .filter_map(|rest| rest.split_once("\", "))
        .map(|(path, handler)| {
            let method = handler.split('(').next().unwrap_or_default();
            format!("`{} {path}`", method.to_uppercase())
        })
        .collect();
    let told: Vec<String> =
        table("| endpoint | answers |").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(told, routes);
}

#[test]
fn the_exit_codes_are_those_of_the_command_line() {
    let codes = doc("src/cli/mod.rs", "pub fn main").pop().unwrap();
    let told: Vec<String> = pairs("| exit | means |")
        .into_iter()
        .map(|(code, meaning)| format!("{code} {meaning}"))
        .collect();
    assert_eq!(format!("{}.", told.join(", ")), codes);
}

/// What `--help` says after these arguments.
fn help(arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
    let output = program.args(arguments).arg("--help").env_clear().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Every command that has none below it, with its options.
fn commands(above: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let help = help(above);
    assert!(help.contains("\nExample"), "{above:?} --help: no example");
    let below = help.split("\nCommands:\n").nth(1).and_then(|it| it.split("\n\n").next());
    let Some(below) = below else {
        let options = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        let options = options.filter_map(|option| option.split([' ', '\n']).next());
        let options = options.map(|option| format!("--{option}")).collect();
        return BTreeMap::from([(format!("nik-stream {}", above.join(" ")), options)]);
    };
    let names = below.lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' ')); // else a text's second line
    names
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .flat_map(|name| commands(&[above, &[name]].concat()))
        .collect()
}

#[test]
fn the_commands_and_their_options_are_those_of_the_help() {
    let told = table("| command | does |").into_iter().map(|row| {
        let options = row[1].split('`').skip(1).step_by(2);
        let options = options.filter_map(|code| code.split(' ').next());
        let options = options.filter(|it| it.starts_with("--")).map(str::to_owned).collect();
        (row[0].replace('`', ""), options)
    });
    assert_eq!(told.collect::<BTreeMap<_, _>>(), commands(&[]));
}

/// Runs lines of a shell in an empty directory, with the program in the path.
fn shell(lines: &str) -> String {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_nik-stream"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let directory = tempfile::TempDir::new().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-euc", lines]).current_dir(&directory).env("PATH", path);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{lines}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_examples_give_the_bytes_that_are_told() {
    let pages: Vec<String> = pages().into_iter().map(|(_, page)| page).collect();
    let pages: Vec<_> = pages.iter().map(|page| blocks(page)).collect();
    let mut shown = Vec::new();
    for pair in pages.iter().flat_map(|blocks| blocks.windows(2)) {
        if let [("sh", lines), ("json", bytes)] = pair {
            assert_eq!(shell(lines), format!("{bytes}\n"), "{lines}");
            shown.push(*bytes);
        }
    }
    assert!(shown.len() >= 5, "full and limited twice, a failure");
    assert!(shown.contains(&include_str!("../crates/nik-wire/tests/golden/origin/full.json")));

    let requests = pages.iter().flatten().filter(|(_, text)| text.starts_with(r#"{"nik""#));
    for (_, request) in requests {
        let answer = shell(&format!("echo '{request}' | nik-stream check"));
        let good = answer.starts_with(r#"{"message":"success","errors":[],"#);
        assert!(good, "{request}: {answer}");
    }
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    match digits.len().checked_sub(3) {
        Some(at @ 1..) => format!("{},{}", &digits[..at], &digits[at..]),
        _ => digits,
    }
}

#[test]
fn the_region_data_is_counted_as_the_manifest_counts_it() {
    let manifest = nik_stream::regions::manifest().unwrap();
    let release = format!("Release {}: {}.", manifest.release, manifest.decree);
    assert!(read("docs/regions.md").contains(&release), "expected: {release}");
    let counted = |state: State| {
        Level::ALL.map(|level| with_commas(manifest.counts[level.as_str()][state.as_str()]))
    };
    let (current, retired) = (counted(State::Current), counted(State::Retired));
    let told = table("| | provinces | regencies and cities | kecamatan |");
    assert_eq!(told[0][1..], current);
    assert_eq!(told[1][1..], retired);

    let decree = manifest.decree.replacen("by Kepmendagri ", "by ", 1);
    let [_, regencies, kecamatan] = retired;
    let line = format!(
        "Region data {}: {decree}; {} in force, {regencies} regencies and {kecamatan} kecamatan retired.",
        manifest.release,
        current.join("/")
    );
    assert!(CHANGELOG.contains(&line), "expected: {line}");

    let told = table("| confidence | regencies | kecamatan | rests on |");
    let expected = Confidence::ALL.map(|confidence| {
        let text = confidence.as_str();
        let count = |level: Level| manifest.retired_confidence[level.as_str()].get(text);
        let count = |level| with_commas(count(level).copied().unwrap_or(0));
        let rests_on = doc("src/region/row.rs", &format!("{confidence:?},"));
        vec![
            format!("`{text}`"),
            count(Level::Regency),
            count(Level::Kecamatan),
            rests_on.concat().replace("`High`", "`high`"),
        ]
    });
    assert_eq!(told, expected);
}

#[test]
fn the_codes_of_medium_and_low_confidence_are_counted_by_regency() {
    let mut told = BTreeMap::new();
    for row in table("| confidence | islands | regencies |") {
        for entry in row[2].split(", ") {
            let (regency, count) = entry.split_once(" × ").unwrap();
            let key = (row[0].replace('`', ""), regency.to_owned());
            assert!(told.insert(key, count.parse().unwrap()).is_none());
        }
    }
    let mut counted: BTreeMap<_, usize> = BTreeMap::new();
    for row in dataset::tables().unwrap().retired() {
        if let (Confidence::Medium | Confidence::Low, Some(regency)) =
            (row.confidence, row.code.parent())
        {
            let key = (row.confidence.as_str().to_owned(), regency.to_string());
            *counted.entry(key).or_default() += 1;
        }
    }
    assert_eq!(told, counted);
}
