//! A folder of region data: what is checked before it counts.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use nik::dataset::{CURRENT_TSV, RETIRED_TSV};
use nik::region::RetiredCodes;
use nik_stream::regions::{Release, ReleaseError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The files of a release.
struct Files {
    current: String,
    retired: String,
    manifest: Value,
}

impl Files {
    fn of_the_project() -> Self {
        let manifest = include_str!("../../data/regions/manifest.json");
        Self {
            current: CURRENT_TSV.to_owned(),
            retired: RETIRED_TSV.to_owned(),
            manifest: serde_json::from_str(manifest).unwrap(),
        }
    }

    /// Writes the checksums of the tables into the manifest.
    fn sign(&mut self) {
        let sum = |text: &str| json!(format!("{:x}", Sha256::digest(text)));
        self.manifest["files"]["current.tsv"] = sum(&self.current);
        self.manifest["files"]["retired.tsv"] = sum(&self.retired);
        self.manifest["sha256"] = sum(&format!("{}{}", self.current, self.retired));
    }

    fn write(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("current.tsv", &self.current);
        write("retired.tsv", &self.retired);
        write("NOTICE", include_str!("../../data/regions/NOTICE"));
        write("manifest.json", &self.manifest.to_string());
        folder
    }

    fn read(&self) -> Result<Release, ReleaseError> {
        Release::read(self.write().path())
    }

    /// Without the last `count` retired kecamatan, and with a manifest that says so.
    fn shortened(count: usize) -> Self {
        let mut files = Self::of_the_project();
        let (header, rows) = RETIRED_TSV.split_once('\n').unwrap();
        let kecamatan = rows.lines().filter(|row| row.split('\t').nth(1) == Some("3")).count();
        let mut seen = 0;
        let kept = rows.lines().filter(|row| {
            seen += usize::from(row.split('\t').nth(1) == Some("3"));
            row.split('\t').nth(1) != Some("3") || seen <= kecamatan - count
        });
        let kept: Vec<&str> = kept.collect();
        let mut confidence = BTreeMap::new();
        for row in kept.iter().filter(|row| row.split('\t').nth(1) == Some("3")) {
            *confidence.entry(row.split('\t').nth(7).unwrap()).or_insert(0) += 1;
        }
        files.manifest["retired_confidence"]["kecamatan"] = json!(confidence);
        files.manifest["counts"]["kecamatan"]["retired"] = json!(kecamatan - count);
        files.retired = format!("{header}\n{}\n", kept.join("\n"));
        files.sign();
        files
    }
}

#[test]
fn the_folder_of_the_project_is_the_release_built_in() {
    let built_in = Release::built_in().unwrap();
    let read = Files::of_the_project().read().unwrap();
    assert_eq!(read.manifest, built_in.manifest);
    let [one, other] = [&read, &built_in].map(|it| it.regions(RetiredCodes::All).unwrap().len());
    assert_eq!(one, other);
    read.check_successor_of(&built_in).unwrap();
}

#[test]
fn each_kind_of_damage_is_named() {
    type Damage = fn(&mut Files);
    let cases: [(Damage, &str); 9] = [
        (|it| it.current.push('\n'), "current.tsv: expected the SHA-256 "),
        (
            |it| it.manifest["sha256"] = json!("0"),
            "current.tsv followed by retired.tsv: expected the SHA-256 0 of manifest.json",
        ),
        (|it| it.manifest = json!([]), "manifest.json: invalid length"),
        (|it| it.manifest["files"]["LICENCE"] = json!("0"), "/LICENCE cannot be read: "),
        (
            |it| drop(it.manifest["files"].as_object_mut().unwrap().remove("retired.tsv")),
            "manifest.json: expected retired.tsv in `files`",
        ),
        (
            |it| it.manifest["files"]["../NOTICE"] = json!("0"),
            "manifest.json: expected names of files in the same folder in `files`, found \"../NOTICE\"",
        ),
        (
            |it| {
                it.current = it.current.replace("\n3273\tKota Bandung\n", "\n");
                it.sign();
            },
            "expected 3273 in a line above, found \"327301\"",
        ),
        (
            |it| it.manifest["counts"]["kecamatan"]["current"] = json!(7284),
            "expected 7285 as the number of current codes of level kecamatan in the tables, found 7284",
        ),
        (
            |it| it.manifest["retired_confidence"]["kecamatan"]["low"] = json!(9),
            "expected 8 as the number of retired codes of level kecamatan, low in the tables, found 9",
        ),
    ];
    for (damage, expected) in cases {
        let mut files = Files::of_the_project();
        damage(&mut files);
        let error = files.read().unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let folder = TempDir::new().unwrap();
    let error = Release::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("manifest.json cannot be read: "), "{error}");
}

#[test]
fn a_release_that_lost_more_than_one_percent_of_a_level_needs_permission() {
    let before = Release::built_in().unwrap();
    // 1 % of 8,649 kecamatan is 86.49.
    Files::shortened(86).read().unwrap().check_successor_of(&before).unwrap();
    let mut files = Files::shortened(87);
    let error = files.read().unwrap().check_successor_of(&before).unwrap_err();
    let ReleaseError::Shrunk { before: 8_649, after: 8_562, .. } = error else {
        panic!("{error}");
    };
    files.manifest["allow_shrink"] = json!(true);
    files.read().unwrap().check_successor_of(&before).unwrap();
}

#[test]
fn commands_use_the_folder_and_name_what_is_wrong_with_it() {
    let mut files = Files::of_the_project();
    files.current = files.current.replace("\n327301\tSukasari\n", "\n327301\tSukasari Raya\n");
    files.manifest["release"] = json!("2026.1");
    files.sign();
    let folder = files.write();
    let run = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
        let output = program
            .args(arguments)
            .env_clear()
            .env("NIK_STREAM__REGIONS__DIRECTORY", folder.path())
            .output()
            .unwrap();
        let [out, errors] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code(), out, errors)
    };
    assert!(run(&["regions", "info"]).1.contains("  release     2026.1\n"));
    assert!(run(&["regions", "lookup", "327301"]).1.contains("  name        Sukasari Raya\n"));
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "").unwrap();
    let settings = settings.to_str().unwrap();
    let checked = run(&["check", "--config", settings, "--process", "full", "3273010101900001"]);
    assert!(checked.1.contains("\"subdistrict\":\"Sukasari Raya\""), "{checked:?}");

    fs::remove_file(folder.path().join("retired.tsv")).unwrap();
    for arguments in [&["config", "check"][..], &["regions", "info"], &["run"]] {
        let (code, out, errors) = run(arguments);
        assert_eq!((code, &*out), (Some(64), ""));
        let start = "NIK_STREAM__REGIONS__DIRECTORY: regions.directory: ";
        assert!(
            errors.starts_with(start) && errors.contains("retired.tsv cannot be read"),
            "{errors}"
        );
    }
}
