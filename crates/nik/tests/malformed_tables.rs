//! Malformed tables are refused, with the line and what was expected there.

use nik::region::{ParseError, RETIRED_HEADER, Regions, RetiredCodes, Tables};
use proptest::prelude::*;

const CURRENT: &str = "32\tJawa Barat\n3273\tKota Bandung\n327301\tSukasari\n";

fn retired(rows: &str) -> String {
    format!("{RETIRED_HEADER}\n{rows}")
}

fn error_of(current: &str, retired: &str) -> ParseError {
    Tables::parse(current, retired).unwrap_err()
}

/// A line after the three of [`CURRENT`].
fn current_error(line: &str) -> ParseError {
    error_of(&format!("{CURRENT}{line}\n"), "")
}

/// A line after the header and the retired code 327302.
fn retired_error(line: &str) -> ParseError {
    error_of(CURRENT, &retired(&format!("327302\t3\tCoblong\t\t\t\tgap\thigh\t\n{line}\n")))
}

#[test]
fn well_formed_tables_are_accepted() {
    let rows =
        "3299\t2\tKota Lama\t\t\t32\tgap\thigh\t\n329901\t3\tPusat\t\t\t327301\tgap\tlow\t\n";
    let regions = Regions::parse(CURRENT, &retired(rows), RetiredCodes::All).unwrap();
    let area = regions.area(regions.find(329_901).unwrap());
    assert_eq!((area.province, area.regency), ("Jawa Barat", "Kota Lama"));
    assert_eq!(regions.len(), 2);
}

#[test]
fn an_error_names_the_file_the_line_and_what_was_expected() {
    let error = error_of("32\tJawa Barat\n327301\tSukasari\n", "");
    assert_eq!((error.file, error.line), ("current.tsv", 2));
    assert_eq!((&*error.expected, &*error.found), ("3273 in a line above", "327301"));
    let text = r#"current.tsv, line 2: expected 3273 in a line above, found "327301""#;
    assert_eq!(error.to_string(), text);
}

#[test]
fn malformed_lines_of_the_current_codes_are_refused() {
    const CODE: &str = "a code of 2, 4 or 6 digits";
    const NAME: &str = "a name without surrounding spaces or control characters";
    const COLUMNS: &str = "2 columns separated by tabs";
    let cases = [
        ("", COLUMNS, ""),
        ("327302", COLUMNS, "327302"),
        ("327302\tCoblong\t", COLUMNS, "327302\tCoblong\t"),
        ("32730\tCoblong", CODE, "32730"),
        ("32.73.02\tCoblong", CODE, "32.73.02"),
        ("3273 2\tCoblong", CODE, "3273 2"),
        ("٣٢٧\tCoblong", CODE, "٣٢٧"),
        ("327302\t", NAME, ""),
        ("327302\tCoblong ", NAME, "Coblong "),
        ("327302\tCob\u{7}long", NAME, "Cob\u{7}long"),
        ("327301\tSukasari", "a code above 327301", "327301"),
        ("327300\tSukasari", "a code above 327301", "327300"),
        ("3272\tKota Sukabumi", "a code above 327301", "3272"),
        ("327401\tHarjamukti", "3274 in a line above", "327401"),
        ("3301\tKabupaten Cilacap", "33 in a line above", "3301"),
    ];
    for (line, expected, found) in cases {
        let error = current_error(line);
        assert_eq!((error.file, error.line), ("current.tsv", 4), "{line}");
        assert_eq!((&*error.expected, &*error.found), (expected, found), "{line}");
    }
}

#[test]
fn malformed_lines_of_the_retired_codes_are_refused() {
    const NAME: &str = "a name without surrounding spaces or control characters";
    const LEVEL: &str = "level 3 for 327303";
    const SUCCESSOR: &str = "a successor of the same level or the one above";
    let nameless_regency = "3274\t2\t\t\t\t\tgap\tcode high / name unknown\t";
    let cases = [
        ("327303\t3\tX", "9 columns separated by tabs", "327303\t3\tX"),
        ("327303\t2\tX\t\t\t\tgap\thigh\t", LEVEL, "2"),
        ("327303\t\tX\t\t\t\tgap\thigh\t", LEVEL, ""),
        ("327303\t3\t\t\t\t\tgap\thigh\t", NAME, ""),
        (nameless_regency, NAME, ""),
        ("327303\t3\tX\t\t\t\tgap\tsure\t", r#"a confidence such as "confirmed""#, "sure"),
        ("327303\t3\tX\t\t\t32\u{a0}\tgap\thigh\t", "a code of 2, 4 or 6 digits", "32\u{a0}"),
        ("327303\t3\tX\t\t\t327399\tgap\thigh\t", "a current code as successor", "327399"),
        ("327303\t3\tX\t\t\t32\tgap\thigh\t", SUCCESSOR, "32"),
        ("3274\t2\tX\t\t\t327301\tgap\thigh\t", SUCCESSOR, "327301"),
        ("327302\t3\tX\t\t\t\tgap\thigh\t", "a code above 327302", "327302"),
        ("327401\t3\tX\t\t\t\tgap\thigh\t", "3274 in a line above", "327401"),
    ];
    for (line, expected, found) in cases {
        let error = retired_error(line);
        assert_eq!((error.file, error.line), ("retired.tsv", 3), "{line}");
        assert_eq!((&*error.expected, &*error.found), (expected, found), "{line}");
    }
}

#[test]
fn a_code_that_is_current_and_retired_is_refused_under_every_policy() {
    let rows = retired("327301\t3\tSukasari\t\t\t\tgap\tlow\t\n");
    for policy in [RetiredCodes::All, RetiredCodes::Confirmed, RetiredCodes::None] {
        let error = Regions::parse(CURRENT, &rows, policy).unwrap_err();
        let found = (&*error.expected, &*error.found);
        assert_eq!(found, ("a code that is not in current.tsv", "327301"));
    }
}

#[test]
fn a_retired_table_without_its_header_is_refused() {
    let error = error_of(CURRENT, "327302\t3\tCoblong\t\t\t\tgap\thigh\t\n");
    assert_eq!((error.file, error.line), ("retired.tsv", 1));
    assert_eq!(error.expected, "the header of the table");
}

#[test]
fn a_table_of_more_than_32_000_lines_is_refused() {
    let kecamatan = (0..32_000).map(|number| 320_000 + number).filter(|code| code / 10_000 < 36);
    let mut lines: Vec<_> = kecamatan.map(|code| format!("{code}\tK\n")).collect();
    lines.extend((32..36).map(|province| format!("{province}\tP\n")));
    lines.extend((3_200..3_520).map(|regency| format!("{regency}\tKota R\n")));
    lines.sort_by_key(|line| line.split('\t').next().map(str::to_owned));
    let error = error_of(&lines.concat(), "");
    assert_eq!((error.line, &*error.expected), (32_001, "at most 32000 lines"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(
        current in "([0-9]{2,6}\t[A-Z]?\n?){0,9}",
        rows in "([0-9]{2,6}\t[123]\t[A-Z]?\t\t\t[0-9]{0,6}\t\t(low|confirmed)\t\n){0,4}",
        noise in any::<String>(),
    ) {
        for (current, rows) in [(&current, &retired(&rows)), (&noise, &noise), (&current, &noise)] {
            let _ = Regions::parse(current, rows, RetiredCodes::All);
        }
    }
}
