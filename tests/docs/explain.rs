//! `nik-stream explain` and the pages say the same about every reason, warning and comparison.

use nik_stream::cli::explain::texts::{Explanation, Group};

use super::pages::table;
use super::{printed, program};

const REASONS: &str = "| section | reason | rule | source | say | look at |";
const WARNINGS: &str = "| warning | rule | source | say | look at |";
const COMPARISONS: &str = "| outcome | rule | source | say | look at |";
const FAILURES: &str = "| reason | when | `data` | say to the owner of the producer | look at |";

fn code(name: &str) -> String {
    format!("`{name}`")
}

/// The row of an explanation without its first cells.
fn row(it: &Explanation) -> Vec<String> {
    let texts = [it.rule, it.source, it.say, it.look].map(str::to_owned);
    [vec![code(it.name)], texts.to_vec()].concat()
}

fn rows(group: Group) -> Vec<Vec<String>> {
    group.explanations().iter().map(row).collect()
}

#[test]
fn the_pages_have_the_texts_of_the_command() {
    let sections = Group::ALL.into_iter().filter(|it| it.is_section());
    let reasons = sections.flat_map(|section| {
        rows(section).into_iter().map(move |row| [vec![code(section.title())], row].concat())
    });
    assert_eq!(table(REASONS), reasons.collect::<Vec<_>>());
    assert_eq!(table(WARNINGS), rows(Group::Warning));
    assert_eq!(table(COMPARISONS), rows(Group::Declared));

    let failures = table(FAILURES).into_iter();
    let failures = failures.map(|row| [&row[..2], &row[3..]].concat());
    let texts = Group::Failure.explanations().iter();
    let texts = texts.map(|it| [code(it.name), it.rule.into(), it.say.into(), it.look.into()]);
    assert_eq!(failures.collect::<Vec<_>>(), texts.collect::<Vec<_>>());
}

#[test]
fn the_command_prints_every_text_by_its_name_and_lists_every_name() {
    let list = printed(&["explain"]);
    for group in Group::ALL {
        assert!(list.lines().any(|line| line == group.title()), "{group:?}: {list}");
        for it in group.explanations() {
            let shown = printed(&["explain", it.name]);
            assert!(shown.contains(&format!("{}: {}\n", group.title(), it.name)), "{shown}");
            for text in [it.rule, it.source, it.say, it.look] {
                assert!(shown.lines().any(|line| line.ends_with(text)), "{text}: {shown}");
            }
            let listed = |line: &str| {
                let words = line.split_once("  ").is_some_and(|(indent, _)| indent.is_empty());
                words && line.trim().starts_with(it.name) && line.ends_with(it.rule)
            };
            assert!(list.lines().any(listed), "{}: {list}", it.name);
        }
    }
}

#[test]
fn a_name_of_two_sections_has_both_texts() {
    let shown = printed(&["explain", "not_digits"]);
    let titles = shown.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
    assert_eq!(titles.collect::<Vec<_>>(), ["length: not_digits", "area: not_digits"]);
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_ones() {
    for (name, nearest) in [
        ("unknown_kecamtan", "unknown_kecamatan"),
        ("too_shrot", "too_short"),
        ("TOO_LONG", "too_long"),
        ("month", "month_out_of_range"),
    ] {
        let output = program(&["explain", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(&format!("the nearest are {nearest}")), "{name}: {message}");
        assert!(output.stdout.is_empty(), "{name}");
    }
    let message = program(&["explain", "zzzzzzzzzzzz"]).stderr;
    assert!(String::from_utf8(message).unwrap().contains("`nik-stream explain` lists all"));
}
