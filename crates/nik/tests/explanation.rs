//! Reasons, warnings, the history of areas, and comparisons with what is declared.

use std::collections::HashSet;

use nik::region::{Code, RETIRED_HEADER, Regions, RetiredCodes, State};
use nik::{Claim, Comparison, Date, Explanation, Gender, Nik, SectionReason, Warning};
use nik::{assess, explain};
use proptest::prelude::*;

use crate::judgement::AROUND_THE_CALENDAR;
use crate::sample::date;

const CURRENT: &str = "\
32\tJawa Barat
3273\tKota Bandung
327301\tSukasari
327305\tAndir
91\tPapua
9171\tKota Jayapura
917101\tJayapura Utara
93\tPapua Selatan
9301\tKabupaten Merauke
930101\tMerauke
";

/// 327302 has no name, 327303 and 327304 have the same successor, 910101 and its regency moved to
/// another province, the chain of 910102 ends at a regency, and that of 910103 is unknown.
const RETIRED: &str = "\
327302\t3\t\tbefore 2015\tbefore 2015\t\tgap\tcode high / name unknown\t
327303\t3\tCoblong\tbefore 2012\tbefore 2003\t327301\tgap+annex\tconfirmed\t
327304\t3\tCidadap\tbefore 2012\tbefore 2003\t327301\tgap+annex\tmedium\t
9101\t2\tKabupaten Merauke\t2012\t2022\t9301\tlist\thigh\t
910101\t3\tMerauke\t2012\t2022\t930101\tlist\tconfirmed\t
910102\t3\tOkaba\t2012\t2022\t9301\tlist\tlow\t
910103\t3\tKimaam\t2012\t2022\t\tlist\thigh\t
";

fn regions(retired: RetiredCodes) -> Regions {
    Regions::parse(CURRENT, &format!("{RETIRED_HEADER}\n{RETIRED}"), retired).expect("well-formed")
}

const MIN_AGE: u8 = 17;

fn explained<'a>(text: &'a str, regions: &Regions, reference: Date) -> Explanation<'a> {
    explain(&Nik::new(text).expect("a NIK"), regions, MIN_AGE, reference)
}

/// The names of the reasons with their sections.
fn reasons(text: &str) -> String {
    let nik = explained(text, &regions(RetiredCodes::Confirmed), date("2024-03-01"));
    let reasons = nik.assessment.reasons().into_iter().flatten();
    reasons.map(|it| format!("{}.{}", it.section(), it.as_str())).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_reason_is_the_first_check_that_fails() {
    let cases = [
        ("3273010101900001", ""),
        ("327301010190000", "length.too_short computerized.not_four_digits"),
        ("32730101019000011", "length.too_long computerized.not_four_digits"),
        ("327301010190000x", "length.not_digits computerized.not_four_digits"),
        ("１273010101900001", "length.not_digits area.not_digits"),
        ("3273０10101900001x", "length.too_long area.not_digits computerized.not_four_digits"),
        ("9973010101900001", "area.unknown_province"),
        ("3299010101900001", "area.unknown_regency"),
        ("3273990101900001", "area.unknown_kecamatan"),
        ("3273020101900001", "area.retired"),
        ("3273030101900001", ""),
        ("9101020101900001", "area.retired"),
        ("9101990101900001", "area.unknown_kecamatan"),
        ("32730101019", "length.too_short dob.incomplete computerized.missing"),
        ("3273010001900001", "dob.day_out_of_range"),
        ("3273013201900001", "dob.day_out_of_range"),
        ("3273014001900001", "dob.day_out_of_range"),
        ("3273017201900001", "dob.day_out_of_range"),
        ("3273010099900001", "dob.day_out_of_range"),
        ("3273010100900001", "dob.month_out_of_range"),
        ("3273010113900001", "dob.month_out_of_range"),
        ("3273013002900001", "dob.no_such_day"),
        ("3273017104900001", "dob.no_such_day"),
        ("3273012902230001", "dob.no_such_day"),
        ("3273010203070001", "dob.below_min_age"),
        ("3273018001900001", "dob.day_out_of_range gender.out_of_range"),
        ("327301010190", "length.too_short computerized.missing"),
        ("3273010101900000", "computerized.zero"),
        ("32730101019000000", "length.too_long computerized.not_four_digits"),
        ("327301010190 001", "length.not_digits computerized.not_four_digits"),
    ];
    for (text, expected) in cases {
        assert_eq!(reasons(text), expected, "{text}");
    }
}

#[test]
fn a_day_is_after_the_reference_date_if_neither_century_has_it_by_then() {
    let regions = regions(RetiredCodes::All);
    // 29 February of year 00 exists in 2000 alone.
    let on = |day| explained("3273012902000001", &regions, date(day)).assessment.reasons()[2];
    assert_eq!(on("2000-02-28"), Some(SectionReason::DobAfterReferenceDate));
    assert_eq!(on("2017-02-28"), Some(SectionReason::DobBelowMinAge));
    assert_eq!(on("2017-03-01"), None);
    let before = explained("3273010101900001", &regions, date("1899-12-31"));
    assert_eq!(before.assessment.reasons()[2], Some(SectionReason::DobAfterReferenceDate));
}

#[test]
fn warnings_are_about_valid_sections() {
    let warnings = |text, retired| {
        let regions = regions(retired);
        let nik = explained(text, &regions, date("2024-03-01"));
        nik.warnings().map(Warning::as_str).collect::<Vec<_>>()
    };
    let all = |text| warnings(text, RetiredCodes::All);
    assert_eq!(all("3273010101900001"), [""; 0]);
    assert_eq!(all("3273030101900001"), ["retired_area"]);
    assert_eq!(all("3273020101900001"), ["retired_area", "unnamed_area"]);
    assert_eq!(all("3273040101900001"), ["retired_area", "uncertain_area"]);
    assert_eq!(all("9101020101000001"), ["retired_area", "uncertain_area", "ambiguous_century"]);
    assert_eq!(warnings("3273040101900001", RetiredCodes::None), [""; 0]);
    assert_eq!(all("3273012902000001"), [""; 0], "1900 had no 29 February");
    assert_eq!(all("3273010101070001"), ["ambiguous_century"], "17 since 1 January");
    assert_eq!(all("3273010203070001"), [""; 0], "the date is not valid below 17");
}

#[test]
fn state_and_successor_are_known_whatever_the_retired_codes() {
    for retired in [RetiredCodes::All, RetiredCodes::Confirmed, RetiredCodes::None] {
        let regions = regions(retired);
        for (code, state, now) in [
            ("327301", Some(State::Current), None),
            ("327303", Some(State::Retired), Some("327301")),
            ("327302", Some(State::Retired), None),
            ("910101", Some(State::Retired), Some("930101")),
            ("910102", Some(State::Retired), Some("9301")),
            ("327399", None, None),
            ("32730x", None, None),
        ] {
            let text = format!("{code}0101900001");
            let nik = explained(&text, &regions, date("2024-03-01"));
            assert_eq!(nik.state, state, "{code}");
            assert_eq!(nik.now.map(|code| code.to_string()).as_deref(), now, "{code}");
        }
        let names = |code: &str| regions.names_of(code.parse().unwrap());
        assert_eq!(names("9301").unwrap().regency, "Kabupaten Merauke");
        assert_eq!(names("9301").unwrap().kecamatan, None);
        assert_eq!(names("930101").unwrap().kecamatan, Some("Merauke"));
        assert!(names("93").is_none() && names("930199").is_none() && names("9399").is_none());
    }
}

/// The outcome of a claim for a NIK on 1 March 2024, as `birth_date gender area consistent`.
fn compared(text: &str, claim: [&str; 3]) -> String {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let [birth_date, gender, area] = claim;
    let claim = Claim {
        birth_date: given(birth_date).map(|text| date(&text)),
        gender: given(gender).map(|text| Gender::from_text(&text).expect("a gender")),
        area: given(area).and_then(|text| Code::from_digits(&text)),
    };
    let regions = regions(RetiredCodes::Confirmed);
    let reference = date("2024-03-01");
    let Some(declared) = claim.compare(&explained(text, &regions, reference), &regions, reference)
    else {
        return "nothing".to_owned();
    };
    let name = |it: Option<Comparison>| it.map_or("-", Comparison::as_str);
    let consistent = declared.consistent().map_or("-".to_owned(), |it| it.to_string());
    let parts = [declared.birth_date, declared.gender, declared.area].map(name);
    format!("{} {consistent}", parts.join(" "))
}

#[test]
fn a_birth_date_matches_in_either_century_back_to_1900() {
    let with = |text, day| compared(text, [day, "", ""]);
    for (text, day, expected) in [
        ("3273010101900001", "1990-01-01", "match - - true"),
        ("3273014101900001", "1990-01-01", "match - - true"),
        ("3273010101200001", "1920-01-01", "match - - true"),
        ("3273010101200001", "2020-01-01", "match - - true"),
        ("3273010101900001", "1890-01-01", "mismatch - - false"),
        ("3273010101000001", "1900-01-01", "match - - true"),
        ("3273013112990001", "1899-12-31", "mismatch - - false"),
        ("3273010101900001", "1990-01-02", "mismatch - - false"),
        ("3273010101900001", "1990-02-01", "mismatch - - false"),
        ("3273010101900001", "1991-01-01", "mismatch - - false"),
        ("3273010103240001", "2024-03-01", "match - - true"),
        ("3273010203240001", "2024-03-02", "mismatch - - false"),
        ("3273010203240001", "1924-03-02", "match - - true"),
        ("3273012902000001", "2000-02-29", "match - - true"),
        ("3273013002900001", "1990-03-02", "not_comparable - - false"),
        ("3273010001900001", "1990-01-01", "not_comparable - - false"),
        ("32730101019", "1990-01-01", "not_comparable - - false"),
        ("9999990101900000", "1990-01-01", "match - - true"),
    ] {
        assert_eq!(with(text, day), expected, "{text} {day}");
    }
}

#[test]
fn genders_and_the_consistency_of_what_is_given() {
    for (text, claim, expected) in [
        ("3273010101900001", ["", "", ""], "nothing"),
        ("3273010101900001", ["", "Man", ""], "- match - true"),
        ("3273010101900001", ["", "Woman", ""], "- mismatch - false"),
        ("3273014101900001", ["", "Woman", ""], "- match - true"),
        ("3273018101900001", ["", "Man", ""], "- not_comparable - false"),
        ("3273010101900001", ["1990-01-01", "Man", ""], "match match - true"),
        ("3273010101900001", ["1990-01-01", "Woman", ""], "match mismatch - false"),
        ("3273010101900001", ["1990-01-02", "Man", ""], "mismatch match - false"),
        ("3273010101900001", ["1990-01-01", "Man", "91"], "match match mismatch true"),
        ("3273010101900001", ["", "", "91"], "- - mismatch -"),
    ] {
        assert_eq!(compared(text, claim), expected, "{text} {claim:?}");
    }
}

#[test]
fn areas_match_by_their_digits_or_by_history() {
    let with = |code: &str, area| {
        let all = compared(&format!("{code}0101900001"), ["", "", area]);
        all.split(' ').nth(2).expect("the area").to_owned()
    };
    for (code, area, expected) in [
        ("327301", "32", "match"),
        ("327301", "3273", "match"),
        ("327301", "327301", "match"),
        ("327301", "327305", "mismatch"),
        ("327301", "9171", "mismatch"),
        ("327301", "99", "not_comparable"),
        ("327301", "327399", "not_comparable"),
        ("327399", "32", "not_comparable"),
        // A retired code in the NIK.
        ("910101", "91", "match"),
        ("910101", "9101", "match"),
        ("910101", "93", "match_by_history"),
        ("910101", "9301", "match_by_history"),
        ("910101", "930101", "match_by_history"),
        ("910101", "9171", "mismatch"),
        // A retired code that is declared, whatever the settings admit.
        ("930101", "910101", "match_by_history"),
        ("930101", "9101", "match_by_history"),
        ("327301", "327304", "match_by_history"),
        ("930101", "910102", "match_by_history"),
        ("930101", "910103", "mismatch"),
        // Two retired codes with the same successor.
        ("327303", "327304", "match_by_history"),
        ("327303", "327302", "mismatch"),
        // The settings leave 910102 out.
        ("910102", "91", "not_comparable"),
    ] {
        assert_eq!(with(code, area), expected, "{code} {area}");
    }
}

#[test]
fn a_chain_that_ends_at_a_regency_does_not_reach_its_kecamatan() {
    let regions = regions(RetiredCodes::All);
    let nik = explained("9101020101900001", &regions, date("2024-03-01"));
    let area = |code: &str| {
        let claim = Claim { area: Code::from_digits(code), ..Claim::default() };
        claim.compare(&nik, &regions, date("2024-03-01")).and_then(|it| it.area)
    };
    assert_eq!(area("930101"), Some(Comparison::Mismatch));
    assert_eq!(area("9301"), Some(Comparison::MatchByHistory));
    assert_eq!(area("93"), Some(Comparison::MatchByHistory));
    assert_eq!(area("9101"), Some(Comparison::Match));
}

#[test]
fn names_are_unique_in_their_lists() {
    let reasons = SectionReason::ALL.map(|it| (it.section(), it.as_str()));
    assert_eq!(HashSet::from(reasons).len(), 18);
    assert_eq!(HashSet::from(Warning::ALL.map(Warning::as_str)).len(), 4);
    assert_eq!(HashSet::from(Comparison::ALL.map(Comparison::as_str)).len(), 4);
    for (index, reason) in SectionReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index, "counters are indexed by it");
    }
}

proptest! {
    #[test]
    fn a_section_has_a_reason_if_and_only_if_it_is_invalid(
        text in prop_oneof!["\\PC{0,20}", "[0-9]{7,18}", "(3273|9101|99)[0-9x]{3,14}"],
        ms in AROUND_THE_CALENDAR,
        min_age: u8,
    ) {
        if let Some(nik) = Nik::new(&text) {
            let (regions, day) = (regions(RetiredCodes::Confirmed), Date::from_unix_ms_jakarta(ms));
            let judged = assess(&nik, &regions, min_age, day);
            let verdicts = [
                judged.length.valid(),
                judged.area.valid(),
                judged.dob.valid(),
                judged.gender.valid(),
                judged.computerized.valid(),
            ];
            let explained = explain(&nik, &regions, min_age, day).assessment;
            prop_assert_eq!(explained.reasons().map(|reason| reason.is_none()), verdicts);
            prop_assert_eq!(explained.is_valid(), judged.is_valid());
            let sections = ["length", "area", "dob", "gender", "computerized"];
            for (reason, section) in explained.reasons().into_iter().zip(sections) {
                prop_assert!(reason.is_none_or(|reason| reason.section() == section));
            }
        }
    }
}
