//! The built-in tables and the lookup in them. The expectations are read from the files without the
//! parser.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nik::dataset::{self, CURRENT_TSV, RETIRED_TSV};
use nik::region::{Area, Level, Regions, RetiredCodes, State};

fn retired_rows() -> impl Iterator<Item = Vec<&'static str>> {
    RETIRED_TSV.lines().skip(1).map(|line| line.split('\t').collect())
}

/// The names of all codes, current and retired.
fn names() -> HashMap<&'static str, &'static str> {
    let current = CURRENT_TSV.lines().map(|line| line.split_once('\t').unwrap());
    current.chain(retired_rows().map(|row| (row[0], row[2]))).collect()
}

/// What each kecamatan code must resolve to, under a policy that admits these confidences.
fn expected(admits: impl Fn(&str) -> bool) -> BTreeMap<u32, Area<'static>> {
    let names = names();
    let current = CURRENT_TSV.lines().map(|line| line.split_once('\t').unwrap().0);
    let retired = retired_rows().filter(|row| admits(row[7])).map(|row| row[0]);
    let codes = current.chain(retired).filter(|code| code.len() == 6);
    let area = |code: &str| Area {
        province: names[&code[..2]],
        regency: names[&code[..4]],
        kecamatan: Some(names[code]).filter(|name| !name.is_empty()),
    };
    codes.map(|code| (code.parse().unwrap(), area(code))).collect()
}

fn assert_every_number_resolves_as_expected(
    regions: &Regions,
    expected: &BTreeMap<u32, Area<'static>>,
    count: usize,
) {
    assert_eq!(expected.len(), count);
    assert_eq!(regions.len(), count);
    for code in 0..=999_999 {
        let found = regions.find(code).map(|id| regions.area(id));
        assert_eq!(found.as_ref(), expected.get(&code), "{code:06}");
    }
    assert_eq!(regions.find(1_000_000), None);
    assert_eq!(regions.find(u32::MAX), None);
}

#[test]
fn every_code_in_the_tables_resolves_to_its_names_and_other_numbers_do_not() {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    assert_every_number_resolves_as_expected(&regions, &expected(|_| true), 7_285 + 1_364);
}

#[test]
fn the_policy_confirmed_adds_only_confirmed_retired_codes() {
    let regions = dataset::regions(RetiredCodes::Confirmed).unwrap();
    let expected = expected(|confidence| confidence == "confirmed");
    assert_every_number_resolves_as_expected(&regions, &expected, 7_285 + 174);
    assert_eq!(regions.count(Level::Kecamatan, State::Retired), 174);
    assert_eq!(regions.count(Level::Regency, State::Retired), 0);
}

#[test]
fn the_policy_none_knows_only_current_codes() {
    let regions = dataset::regions(RetiredCodes::None).unwrap();
    assert_every_number_resolves_as_expected(&regions, &expected(|_| false), 7_285);
    assert_eq!(regions.count(Level::Kecamatan, State::Retired), 0);
}

#[test]
fn areas_are_in_the_order_of_their_ids() {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let areas: Vec<_> = regions.areas().collect();
    let ids: Vec<_> = (0..1_000_000).filter_map(|code| regions.find(code)).collect();
    assert_eq!(areas.len(), regions.len());
    assert!(ids.iter().all(|&id| regions.area(id) == areas[id.index()]));
}

#[test]
fn a_retired_kecamatan_keeps_the_names_of_its_time() {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let area = |code| regions.area(regions.find(code).unwrap());
    // Merauke moved from Papua (91) to Papua Selatan (93) in 2022.
    let merauke =
        |province| Area { province, regency: "Kabupaten Merauke", kecamatan: Some("Merauke") };
    assert_eq!(area(910_101), merauke("Papua"));
    assert_eq!(area(930_101), merauke("Papua Selatan"));
    // A number missing from the codes of Kabupaten Muna: it was a code once, and its name is lost.
    let lost = Area { province: "Sulawesi Tenggara", regency: "Kabupaten Muna", kecamatan: None };
    assert_eq!(area(740_308), lost);
}

#[test]
fn every_number_up_to_the_last_code_of_a_regency_is_known() {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let regencies = (1_000..10_000).map(|regency| regency * 100);
    for first in regencies {
        let last = (first..first + 100).rfind(|&code| regions.find(code).is_some());
        for code in first + 1..last.unwrap_or(first) {
            assert!(regions.find(code).is_some(), "{code} is unknown");
        }
    }
}

#[test]
fn every_regency_is_named_kabupaten_or_kota_and_a_retired_one_like_its_successor() {
    let names = names();
    for (code, name) in names.iter().filter(|(code, _)| code.len() == 4) {
        assert!(name.starts_with("Kabupaten ") || name.starts_with("Kota "), "{code} {name}");
        assert!(!name.split(' ').any(|word| word.len() > 3 && word == word.to_uppercase()));
    }
    for row in retired_rows().filter(|row| row[1] == "2") {
        assert_eq!(row[2], names[row[5]], "{}", row[0]);
    }
}

/// Names that the source does not write in title case.
const UNSTYLED: [&str; 5] = ["Cibal barat", "G u", "Kot olin", "Madang beras", "Timang gajah"];

#[test]
fn every_name_is_in_title_case_except_five_of_the_source() {
    let is_styled = |word: &str| {
        let letters: Vec<char> = word.chars().filter(|c| c.is_alphabetic()).collect();
        let starts_lowercase = letters.first().is_some_and(|c| c.is_lowercase());
        let is_uppercase = letters.len() > 3 && letters.iter().all(|c| c.is_uppercase());
        let is_numeral = letters.iter().all(|c| "IVXLC".contains(*c));
        ["dan", "x"].contains(&word) || !starts_lowercase && (!is_uppercase || is_numeral)
    };
    let names: BTreeSet<_> = names().into_values().collect();
    let unstyled = names.into_iter().filter(|name| !name.split(' ').all(is_styled));
    assert_eq!(unstyled.collect::<Vec<_>>(), UNSTYLED);
}
