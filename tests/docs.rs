//! The pages say what the running program does: its help, its settings, its metrics, its endpoints.

#[cfg(feature = "kafka-tests")]
mod commands;
mod explain;
mod names;
pub mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use nik::dataset;
use nik::region::Confidence;
use nik_stream::telemetry::obstacle::Obstacle;

use crate::cluster::{Program, ProgramSettings};
use crate::traffic::stage::wait_until;
use pages::{CHANGELOG, blocks, column, pages, pairs, read, table};

/// Runs the program without any settings in its environment.
fn program(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
    program.args(arguments).env_clear().output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = program(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A running program that reaches no broker and answers over HTTP.
fn without_brokers() -> Program {
    let program = ProgramSettings::at("127.0.0.1:1").set("http.api", "true").run();
    wait_until("it answers", || program.get("/livez").is_some());
    program
}

#[test]
fn the_reference_lists_every_setting_with_its_default() {
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut table = "";
    let shown = printed(&["config", "show"]);
    for line in shown.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            table = name;
            settings.push((name.to_owned(), "a table".to_owned()));
        } else if let Some((name, value)) = line.split_once(" = ") {
            // Only an empty table is a setting itself.
            settings.retain(|(key, _)| key != table);
            let value = value.strip_suffix(" # default").unwrap();
            settings.push((format!("{table}.{name}"), value.to_owned()));
        }
    }
    assert_eq!(pairs("| key | default | what |"), settings);
}

#[test]
fn the_reference_lists_every_metric_with_its_type_and_labels() {
    let program = without_brokers();
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let (_, text) = program.get("/metrics").unwrap();
    for line in text.lines().filter(|line| !line.contains("process_")) {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' ')) {
            kind.clone_into(&mut found.entry(name.to_owned()).or_default().0);
        } else if let Some((name, labels)) = line.split_once('{').filter(|it| !it.0.contains(' ')) {
            let labels = labels.split(',').filter_map(|label| label.split_once("=\""));
            let labels = labels.map(|(label, _)| label.to_owned()).filter(|it| it != "le");
            let histogram = name.trim_end_matches("_bucket");
            found.get_mut(histogram).unwrap().1.extend(labels);
        }
    }
    let listed = table("| metric | type | labels | what |").into_iter().map(|row| {
        let labels = row[2].split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.replace('`', "")).collect();
        (row[0].replace('`', ""), (row[1].clone(), labels))
    });
    let rows: Vec<(String, (String, BTreeSet<String>))> = listed.collect();
    let count = rows.len();
    let listed: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(listed.len(), count, "each metric has one row");
    // Metrics of a partition appear with its assignment, and those of a file with the setting that
    // names it; this program has neither.
    let has_none =
        |labels: &BTreeSet<String>| labels.contains("partition") || labels.contains("file");
    let always = listed.into_iter().filter(|(_, (_, labels))| !has_none(labels));
    assert_eq!(always.collect::<BTreeMap<_, _>>(), found);
}

#[test]
fn each_obstacle_has_its_row_with_a_section_of_the_runbook() {
    let rows = column("| cause | means that |");
    let expected = Obstacle::ALL.map(|it| format!("[{}](runbook.md#{})", it.label(), it.runbook()));
    assert_eq!(rows, expected);
    let runbook = read("docs/runbook.md").to_lowercase();
    for obstacle in Obstacle::ALL {
        assert!(runbook.contains(&format!("\n## {}\n", obstacle.runbook())), "{obstacle:?}");
    }
    let program = without_brokers();
    let (_, text) = program.get("/metrics").unwrap();
    for obstacle in Obstacle::ALL {
        let metric = format!("nik_stream_obstacles{{cause=\"{}\"}}", obstacle.label());
        assert!(text.contains(&metric), "{metric}");
    }
}

#[test]
fn the_table_of_rules_lists_the_sections_in_the_order_of_a_result() {
    let result = printed(&["check", "--process", "full", "3273010101900001"]);
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    let sections = result.pointer("/data/3273010101900001/data").unwrap().as_object().unwrap();
    let sections: Vec<&String> = sections.keys().collect();
    assert_eq!(column("| section | value | rule | source |").iter().collect::<Vec<_>>(), sections);
}

#[test]
fn every_endpoint_of_the_reference_answers() {
    let program = without_brokers();
    assert_eq!(program.get("/elsewhere").unwrap().0, 404);
    let endpoints = column("| endpoint | answers |");
    assert!(endpoints.len() >= 10, "{endpoints:?}");
    for endpoint in endpoints {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let path = path.replace("{part}", "style.css").replace("{name}", "request.schema.json");
        let answer = if method == "POST" { program.post(&path) } else { program.get(&path) };
        let (status, body) = answer.unwrap();
        assert!(![404, 405].contains(&status), "{endpoint}: {status} {body}");
    }
}

#[test]
fn the_reference_lists_every_exit_code() {
    let help = printed(&["run", "--help"]);
    let (_, codes) = help.split_once("\nExit codes: ").unwrap();
    let codes = codes.split(", ").filter_map(|code| code.split_whitespace().next());
    let usage = program(&["no-such-command"]).status.code().unwrap().to_string();
    let mut codes: Vec<&str> = codes.chain([usage.as_str()]).collect();
    codes.sort_by_key(|code| code.parse::<u8>().unwrap());
    assert_eq!(column("| exit | means |"), codes);
}

/// Every command that has none below it, with its options.
pub fn commands(above: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let help = printed(&[above, &["--help"]].concat());
    assert!(help.contains("\nExample"), "{above:?} --help: no example");
    let below = help.split("\nCommands:\n").nth(1).and_then(|it| it.split("\n\n").next());
    let Some(below) = below else {
        let (_, options) = help.split_once("\nOptions:\n").unwrap();
        // Options are less indented than the second line of a description, which may begin with one.
        let options = options.lines().filter_map(|line| line.strip_prefix("      --"));
        let options = options.filter_map(|option| option.split(' ').next());
        let options = options.map(|option| format!("--{option}")).collect();
        return BTreeMap::from([(format!("nik-stream {}", above.join(" ")), options)]);
    };
    let names = below.lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' ')); // the second line of a description
    names
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .flat_map(|name| commands(&[above, &[name]].concat()))
        .collect()
}

#[test]
fn the_reference_lists_every_command_with_its_options() {
    let listed = table("| command | does |").into_iter().map(|row| {
        let options = row[1].split('`').skip(1).step_by(2);
        let options = options.filter_map(|code| code.split(' ').next());
        let options = options.filter(|it| it.starts_with("--")).map(str::to_owned).collect();
        (row[0].replace('`', ""), options)
    });
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), commands(&[]));
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
fn every_example_prints_the_bytes_below_it() {
    let pages: Vec<String> = pages().into_iter().map(|(_, page)| page).collect();
    let pages: Vec<_> = pages.iter().map(|page| blocks(page)).collect();
    let mut examples = 0;
    for pair in pages.iter().flat_map(|blocks| blocks.windows(2)) {
        if let [("sh", lines), ("json", bytes)] = pair
            && lines.contains("nik-stream check")
        {
            assert_eq!(shell(lines), format!("{bytes}\n"), "{lines}");
            examples += 1;
        }
    }
    assert!(examples >= 4, "limited twice, full, a failure");

    let requests = pages.iter().flatten().filter(|(_, text)| text.starts_with(r#"{"nik""#));
    for (_, request) in requests {
        let answer = shell(&format!("echo '{request}' | nik-stream check"));
        let good = answer.starts_with(r#"{"message":"success","errors":[],"#);
        assert!(good, "{request}: {answer}");
    }
}

fn with_commas(digits: &str) -> String {
    match digits.len().checked_sub(3) {
        Some(at @ 1..) => format!("{},{}", &digits[..at], &digits[at..]),
        _ => digits.to_owned(),
    }
}

#[test]
fn the_region_data_has_the_release_and_the_counts_that_regions_info_prints() {
    let info = printed(&["regions", "info"]);
    let value = |key: &str| {
        let line = info.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in {info}")).trim()
    };
    // The three numbers at the end of a line, by level.
    let counts = |key: &str| value(key).split_whitespace().map(with_commas).collect::<Vec<_>>();
    let (release, decree) = (value("release "), value("decree "));
    let line = format!("Release {release}: {decree}.");
    assert!(read("docs/regions.md").contains(&line), "expected: {line}");

    let (current, retired) = (counts("current "), counts("retired "));
    let listed = table("| | provinces | regencies and cities | kecamatan |");
    assert_eq!(listed[0][1..], current);
    assert_eq!(listed[1][1..], retired);

    let decree = decree.replacen("by Kepmendagri ", "by ", 1);
    let line = format!(
        "Region data {release}: {decree}; {} in force, {} regencies and {} kecamatan retired.",
        current.join("/"),
        retired[1],
        retired[2]
    );
    assert!(CHANGELOG.contains(&line), "expected: {line}");

    let listed = table("| confidence | regencies | kecamatan | evidence |");
    let listed: Vec<_> = listed.iter().map(|row| row[..3].to_vec()).collect();
    let expected = Confidence::ALL.map(|confidence| {
        let text = confidence.as_str();
        let counts = counts(&format!("{text} "));
        vec![format!("`{text}`"), counts[1].clone(), counts[2].clone()]
    });
    assert_eq!(listed, expected);
}

#[test]
fn the_codes_of_medium_and_low_confidence_are_counted_by_regency() {
    let mut listed = BTreeMap::new();
    for row in table("| confidence | islands | regencies |") {
        for entry in row[2].split(", ") {
            let (regency, count) = entry.split_once(" × ").unwrap();
            let key = (row[0].replace('`', ""), regency.to_owned());
            assert!(listed.insert(key, count.parse().unwrap()).is_none());
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
    assert_eq!(listed, counted);
}
