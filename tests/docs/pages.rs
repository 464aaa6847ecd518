//! The pages as tables, blocks and names. Lines and backticks are enough to read them, so there is no Markdown library.

use std::fs;
use std::path::{Path, PathBuf};

pub use crate::house::source::files;

pub const README: &str = include_str!("../../README.md");
pub const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
pub const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");
pub const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

/// Every page, by its path from the root.
pub fn pages() -> Vec<(String, String)> {
    let mut names = [files("docs"), files("examples")].concat();
    let root = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
    names.extend(root.map(str::to_owned));
    names.retain(|name| file(name).extension().is_some_and(|it| it == "md"));
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The rows of the table with this header, on whichever page it is, cell by cell.
pub fn table(header: &str) -> Vec<Vec<String>> {
    let text = pages().into_iter().map(|(_, page)| page).collect::<String>();
    let mut lines = text.lines().skip_while(|line| *line != header);
    assert!(lines.next().is_some(), "no page has a table {header}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|it| it.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// The first two cells of each row, without backticks.
pub fn pairs(header: &str) -> Vec<(String, String)> {
    let rows = table(header).into_iter();
    rows.map(|row| (row[0].replace('`', ""), row[1].replace('`', ""))).collect()
}

/// The first cell of each row, without backticks.
pub fn column(header: &str) -> Vec<String> {
    pairs(header).into_iter().map(|(first, _)| first).collect()
}

/// The fenced blocks of a page: language and text.
pub fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut fences = page.split("\n```");
    fences.next();
    let mut blocks = Vec::new();
    while let (Some(inside), Some(_outside)) = (fences.next(), fences.next()) {
        blocks.push(inside.split_once('\n').expect("a block has a line"));
    }
    blocks
}

/// The code in the text of a page, outside of its blocks.
pub fn names(page: &str) -> Vec<&str> {
    let text = page.split("\n```").step_by(2);
    text.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

/// A file of this repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
