//! Tables that are wrong are refused, with the line and what was expected there.

use nik::region::{Code, Problem, RETIRED_HEADER, Regions, RetiredCodes, Table, Tables};
use proptest::prelude::*;

const CURRENT: &str = "32\tJawa Barat\n3273\tKota Bandung\n327301\tSukasari\n";

fn retired(rows: &str) -> String {
    format!("{RETIRED_HEADER}\n{rows}")
}

/// The refusal's whole text: where, what was expected, what was found.
fn refusal(current: &str, retired: &str) -> String {
    Tables::parse(current, retired).unwrap_err().to_string()
}

fn current_refusal(line: &str) -> String {
    refusal(&format!("{CURRENT}{line}\n"), "")
}

fn retired_refusal(line: &str) -> String {
    refusal(CURRENT, &retired(&format!("327302\t3\tCoblong\t\t\t\tgap\thigh\t\n{line}\n")))
}

#[test]
fn a_sound_pair_of_tables_is_taken() {
    let rows =
        "3299\t2\tKota Lama\t\t\t3273\tgap\thigh\t\n329901\t3\tPusat\t\t\t327301\tgap\tlow\t\n";
    let regions = Regions::parse(CURRENT, &retired(rows), RetiredCodes::All).unwrap();
    let area = regions.area(regions.find(329_901).unwrap());
    assert_eq!((area.province, area.regency), ("Jawa Barat", "Kota Lama"));
    assert_eq!(regions.len(), 2);
}

#[test]
fn a_refusal_tells_table_line_and_problem_by_type() {
    let error = Tables::parse("32\tJawa Barat\n327301\tSukasari\n", "").unwrap_err();
    assert_eq!((error.table, error.line), (Table::Current, 2));
    let code = |text| Code::from_digits(text).unwrap();
    assert_eq!(error.problem, Problem::Orphan { code: code("327301"), parent: code("3273") });
}

#[test]
fn lines_of_the_list_in_force_are_refused() {
    let cases = [
        ("", "expected 2 columns parted by tabs, found 1"),
        ("327302", "expected 2 columns parted by tabs, found 1"),
        ("327302\tCoblong\t", "expected 2 columns parted by tabs, found 3"),
        (
            "32730\tCoblong",
            r#""32730" is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"#,
        ),
        (
            "32.73.02\tCoblong",
            r#""32.73.02" is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"#,
        ),
        (
            "3273 2\tCoblong",
            r#""3273 2" is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"#,
        ),
        (
            "٣٢٧\tCoblong",
            r#""٣٢٧" is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"#,
        ),
        ("327302\t", r#"expected a name without space around it, found """#),
        ("327302\tCoblong ", r#"expected a name without space around it, found "Coblong ""#),
        (
            "327302\tCob\u{7}long",
            r#"expected a name without space around it, found "Cob\u{7}long""#,
        ),
        (
            "327301\tSukasari",
            "327301 was given before, and a code stands once in both tables together",
        ),
        ("327300\tSukasari", "expected the codes in rising order, found 327300 after 327301"),
        ("3272\tKota Sukabumi", "expected the codes in rising order, found 3272 after 327301"),
        ("327401\tHarjamukti", "327401 has no parent: expected 3274 above it"),
        ("3301\tKabupaten Cilacap", "3301 has no parent: expected 33 above it"),
    ];
    for (line, expected) in cases {
        assert_eq!(current_refusal(line), format!("current.tsv, line 4: {expected}"));
    }
}

#[test]
fn lines_of_the_retired_codes_are_refused() {
    let cases = [
        ("327303\t3\tAstanaanyar", "expected 9 columns parted by tabs, found 3"),
        (
            "327303\t2\tX\t\t\t\tgap\thigh\t",
            r#"expected level 1, 2 or 3 as the code 327303 has digits in pairs, found "2""#,
        ),
        (
            "327303\t\tX\t\t\t\tgap\thigh\t",
            r#"expected level 1, 2 or 3 as the code 327303 has digits in pairs, found """#,
        ),
        ("327303\t3\t\t\t\t\tgap\thigh\t", r#"expected a name without space around it, found """#),
        (
            "3274\t2\t\t\t\t\tgap\tcode high / name unknown\t",
            r#"expected a name without space around it, found """#,
        ),
        (
            "327303\t3\tX\t\t\t\tgap\tsure\t",
            r#"expected a confidence such as "confirmed" or "low", found "sure""#,
        ),
        (
            "327303\t3\tX\t\t\t32\u{a0}\tgap\thigh\t",
            r#""32\u{a0}" is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"#,
        ),
        (
            "327303\t3\tX\t\t\t327399\tgap\thigh\t",
            "the successor 327399 of 327303 is not in force: expected a current code",
        ),
        (
            "327302\t3\tX\t\t\t\tgap\thigh\t",
            "327302 was given before, and a code stands once in both tables together",
        ),
        ("327401\t3\tX\t\t\t\tgap\thigh\t", "327401 has no parent: expected 3274 above it"),
    ];
    for (line, expected) in cases {
        assert_eq!(retired_refusal(line), format!("retired.tsv, line 3: {expected}"));
    }
}

#[test]
fn a_code_in_force_and_retired_at_once_is_refused_under_every_policy() {
    let rows = retired("327301\t3\tSukasari\t\t\t\tgap\tlow\t\n");
    for policy in [RetiredCodes::All, RetiredCodes::Confirmed, RetiredCodes::None] {
        let error = Regions::parse(CURRENT, &rows, policy).unwrap_err();
        assert!(matches!(error.problem, Problem::Duplicate { .. }), "{error}");
    }
}

#[test]
fn a_retired_table_without_its_header_is_refused() {
    let refused = refusal(CURRENT, "327302\t3\tCoblong\t\t\t\tgap\thigh\t\n");
    assert!(refused.starts_with("retired.tsv, line 1: expected the header"), "{refused}");
}

#[test]
fn a_table_longer_than_ids_reach_is_refused() {
    let kecamatan = (0..32_000).map(|number| 320_000 + number).filter(|code| code / 10_000 < 36);
    let mut lines: Vec<_> = kecamatan.map(|code| format!("{code}\tK\n")).collect();
    lines.extend((32..36).map(|province| format!("{province}\tP\n")));
    lines.extend((3_200..3_520).map(|regency| format!("{regency}\tKota R\n")));
    lines.sort_by_key(|line| line.split('\t').next().map(str::to_owned));
    let current = lines.concat();
    assert_eq!(refusal(&current, ""), "current.tsv, line 32001: expected at most 32000 lines");
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_without_a_panic(
        current in "([0-9]{2,6}\t[A-Z]?\n?){0,9}",
        rows in "([0-9]{2,6}\t[123]\t[A-Z]?\t\t\t[0-9]{0,6}\t\t(low|confirmed)\t\n){0,4}",
        noise in any::<String>(),
    ) {
        for (current, rows) in [(&current, &retired(&rows)), (&noise, &noise), (&current, &noise)] {
            let _ = Regions::parse(current, rows, RetiredCodes::All);
        }
    }
}
