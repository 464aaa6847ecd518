//! Region data and settings that are exchanged while the stream runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nik::Date;
use nik::dataset::{CURRENT_TSV, RETIRED_TSV};
use nik::region::{Regions, RetiredCodes};
use nik_wire::process::{Processor, Settings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::cluster::{NewRecord, Program, Record, shared};
use crate::operators::done;
use crate::traffic::stage::{End, Stage, ready, stop, wait_until};

const PARTITIONS: i32 = 4;
/// 2025-06-15 in Jakarta.
const TIMESTAMP: i64 = 1_749_945_600_000;

/// The table of release `number`, in which the kecamatan 327301 has another name.
fn table(number: usize) -> String {
    CURRENT_TSV.replace("\n327301\tSukasari\n", &format!("\n327301\tSukasari {number}\n"))
}

/// Writes the tables of release `number`, then its manifest.
fn write_release(folder: &Path, number: usize) {
    fs::write(folder.join("retired.tsv"), RETIRED_TSV).unwrap();
    fs::write(folder.join("current.tsv"), table(number)).unwrap();
    write_manifest(folder, number, &table(number));
}

fn write_manifest(folder: &Path, number: usize, current: &str) {
    let sum = |text: &str| json!(format!("{:x}", Sha256::digest(text)));
    let mut manifest: Value =
        serde_json::from_str(include_str!("../../data/regions/manifest.json")).unwrap();
    manifest["release"] = json!(format!("2026.{number}"));
    manifest["files"] = json!({"current.tsv": sum(current), "retired.tsv": sum(RETIRED_TSV)});
    manifest["sha256"] = sum(&format!("{current}{RETIRED_TSV}"));
    fs::write(folder.join("manifest.new"), manifest.to_string()).unwrap();
    fs::rename(folder.join("manifest.new"), folder.join("manifest.json")).unwrap();
}

fn release_in_force(program: &Program) -> String {
    let (_, status) = program.get("/api/status").unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    status["about"]["regions"].as_str().unwrap().to_owned()
}

fn reloads(program: &Program, what: &str, outcome: &str) -> f64 {
    program.metrics()[&format!("nik_stream_reloads_total{{outcome=\"{outcome}\",what=\"{what}\"}}")]
}

/// The results of a request under each release.
fn expected(request: &str, releases: usize) -> Vec<Vec<u8>> {
    let day = Date::parse("2025-06-15").unwrap();
    let result = |number| {
        let regions = Regions::parse(&table(number), RETIRED_TSV, RetiredCodes::All).unwrap();
        let mut out = Vec::new();
        Processor::new(regions.into(), Settings::default()).process(
            Some(request.as_bytes()),
            day,
            &mut out,
        );
        out
    };
    (0..releases).map(result).collect()
}

#[test]
fn under_load_each_outcome_is_of_one_release_each_partition_changes_once_and_an_audit_agrees() {
    const SWAPS: usize = 5;
    let request = r#"{"nik":["3273010101900001"],"process":"full"}"#;
    let stage = Stage::new(shared(), "regions", PARTITIONS.unsigned_abs() as usize);
    let folder = TempDir::new().unwrap();
    write_release(folder.path(), 0);
    let settings = stage
        .settings()
        .set("regions.directory", folder.path().to_str().unwrap())
        .set("delivery.judged_by", "true");
    let program = ready(&settings);
    assert_eq!(release_in_force(&program), "2026.0");

    let topic = stage.requests.clone();
    let produce = move || {
        let record = |index: usize| NewRecord {
            partition: i32::try_from(index).ok().map(|index| index % PARTITIONS),
            value: Some(request.into()),
            timestamp: Some(TIMESTAMP),
            ..NewRecord::default()
        };
        let records: Vec<_> = (0..400).map(record).collect();
        shared().produce(&topic, &records);
        records.len()
    };
    // So that every partition has outcomes of the first release.
    let first = produce();
    stage.wait_for_outcomes(shared(), first);
    let end = End::default();
    let ended = end.flag();
    let load = std::thread::spawn(move || {
        let mut sent = first;
        while !ended.load(Ordering::Relaxed) {
            sent += produce();
        }
        // So that every partition has outcomes of the last release.
        sent + produce()
    });
    for number in 1..=SWAPS {
        let committed = program.metrics()["nik_stream_commits_total"];
        write_release(folder.path(), number);
        wait_until("the release is in force", || {
            release_in_force(&program) == format!("2026.{number}")
        });
        wait_until("it judges", || {
            program.metrics()["nik_stream_commits_total"] > committed + 10.0
        });
    }
    drop(end);
    let sent = load.join().unwrap();
    let (results, _) = stage.wait_for_outcomes(shared(), sent);
    assert!((reloads(&program, "regions", "taken") - 5.0).abs() < 0.1);
    let info = program.metrics();
    let info: Vec<_> =
        info.keys().filter(|it| it.starts_with("nik_stream_regions_info{")).collect();
    assert!(info.len() == 1 && info[0].contains("release=\"2026.5\""), "{info:?}");
    stop(program);

    let expected = expected(request, SWAPS + 1);
    let mut partitions: BTreeMap<i32, Vec<(i64, usize)>> = BTreeMap::new();
    for result in &results {
        let of = |bytes: &Vec<u8>| Some(bytes) == result.value.as_ref();
        let release = expected.iter().position(of).expect("an outcome of one of the releases");
        assert_eq!(named_release(result), format!("2026.{release}"));
        partitions.entry(result.partition).or_default().push((result.offset, release));
    }
    assert_eq!(partitions.len(), 4);
    for outcomes in partitions.values_mut() {
        outcomes.sort_unstable();
        let releases: Vec<_> = outcomes.iter().map(|(_, release)| *release).collect();
        assert!(releases.is_sorted());
        assert_eq!((releases.first(), releases.last()), (Some(&0), Some(&SWAPS)));
    }

    let report = done(&settings, &["audit", "--since", "2000-01-01", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let of_last = partitions.values().flatten().filter(|(_, release)| *release == SWAPS).count();
    for (name, expected) in [
        ("requests", sent),
        ("results", sent),
        ("lost", 0),
        ("doubled", 0),
        ("different", 0),
        ("unexplained", 0),
        ("other_release", sent - of_last),
    ] {
        assert_eq!(report[name], expected, "{name}: {report}");
    }
}

/// The release of the region data in the header `nik-judged-by`.
fn named_release(outcome: &Record) -> &str {
    let (name, value) = outcome.headers.last().expect("a header");
    assert_eq!(name, b"nik-judged-by");
    let value = str::from_utf8(value.as_deref().expect("a value")).expect("text");
    value.split('/').nth(1).expect("a release")
}

#[test]
fn a_broken_release_is_reported_and_the_one_in_force_stays() {
    let stage = Stage::new(shared(), "regions", 1);
    let folder = TempDir::new().unwrap();
    write_release(folder.path(), 0);
    let settings = stage.settings().set("regions.directory", folder.path().to_str().unwrap());
    let program = ready(&settings);

    // The manifest is the trigger: tables alone change nothing, until SIGHUP asks for a look.
    fs::write(folder.path().join("current.tsv"), table(1)).unwrap();
    program.signal("HUP");
    wait_until("it is refused", || reloads(&program, "regions", "refused") > 0.5);
    assert!(program.stderr().contains("current.tsv: expected the SHA-256"));
    assert_eq!(release_in_force(&program), "2026.0");

    // A table without the kecamatan of a province, with checksums that agree.
    let lines = CURRENT_TSV.lines().filter(|line| !line.starts_with("35") || line.len() < 8);
    let lost = lines.collect::<Vec<_>>().join("\n") + "\n";
    fs::write(folder.path().join("current.tsv"), &lost).unwrap();
    write_manifest(folder.path(), 2, &lost);
    wait_until("it is refused again", || reloads(&program, "regions", "refused") > 1.5);
    assert!(program.ready());
    assert_eq!(release_in_force(&program), "2026.0");

    write_release(folder.path(), 3);
    wait_until("the next one is taken", || release_in_force(&program) == "2026.3");
    stop(program);
}

/// Sends a request of three NIKs and returns how many of its outcomes so far are results.
fn ask(stage: &Stage, count: usize) -> usize {
    let request = br#"{"nik":["1","2","3"],"process":"limited"}"#.to_vec();
    shared()
        .produce(&stage.requests, &[NewRecord { value: Some(request), ..NewRecord::default() }]);
    stage.wait_for_outcomes(shared(), count).0.len()
}

#[test]
fn on_sighup_rules_and_limits_change_and_what_cannot_change_is_named() {
    let stage = Stage::new(shared(), "settings", 1);
    let mut program = stage.settings().file("[limits]\nniks_per_request = 2\n").run();
    program.wait_ready(Duration::from_mins(1));
    assert_eq!(ask(&stage, 1), 0, "too many");

    let more = "[limits]\nniks_per_request = 3\n";
    program.write_settings(more);
    program.signal("HUP");
    wait_until("the settings are taken", || reloads(&program, "settings", "taken") > 0.5);
    assert_eq!(ask(&stage, 2), 1);

    program.write_settings("[limits]\nniks_per_request = 0\n");
    program.signal("HUP");
    wait_until("a wrong value is refused", || reloads(&program, "settings", "refused") > 0.5);
    assert_eq!(ask(&stage, 3), 2);

    program.write_settings(&format!("{more}[http]\napi = true\n"));
    program.signal("HUP");
    wait_until("a fixed setting is refused", || reloads(&program, "settings", "refused") > 1.5);
    assert_eq!(program.post("/api/nik").unwrap().0, 404);
    assert!(program.stderr().contains("http.api"));
    assert!((reloads(&program, "settings", "taken") - 1.0).abs() < 0.1);

    // The other settings are taken. The new log level is in force before the line that reports it.
    for (level, taken, lines) in [("off", 2.0, 1), ("info", 3.0, 2)] {
        program.write_settings(&format!("{more}[http]\napi = true\n[log]\nlevel = \"{level}\"\n"));
        program.signal("HUP");
        let count = || reloads(&program, "settings", "taken");
        wait_until("the rest is taken", || (count() - taken).abs() < 0.1);
        wait_until("the line", || program.stderr().matches("settings taken").count() >= lines);
        assert_eq!(program.stderr().matches("settings taken").count(), lines, "{level}");
    }
    let (_, status) = program.get("/api/status").unwrap();
    assert!(status.contains("niks_per_request = 3") && !status.contains("api = true"), "{status}");
    stop(program);
}
