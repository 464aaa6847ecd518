//! The rules of the house, read from the sources: who may import whom, who may know what, how long a file may get.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, each may import those before it. `config` stands beside the others: imported from `kafka` up.
const ROOMS: [&str; 12] = [
    "region",
    "nik",
    "codec",
    "pipeline",
    "dataset",
    "generate",
    "telemetry",
    "config",
    "kafka",
    "app",
    "cli",
    "main",
];

/// A name, the last room that may not use it, the one module below that may, and why.
const FORBIDDEN: [(&str, &str, &str, &str); 12] = [
    ("rdkafka", "config", "", "a broker client ends at the edge"),
    ("prometheus", "main", "telemetry/metrics", "metrics are made in one place"),
    ("tokio", "generate", "", "the judgement knows no runtime"),
    ("std::thread", "generate", "", "the judgement knows no threads"),
    ("std::fs", "generate", "", "the judgement knows no files"),
    ("std::net", "generate", "", "the judgement knows no sockets"),
    ("std::env", "generate", "", "the judgement knows no environment"),
    ("std::io::stdin", "generate", "", "the judgement is given its input"),
    ("SystemTime::now", "generate", "", "the reference date is an argument"),
    ("Instant::now", "generate", "", "the reference date is an argument"),
    ("chrono", "generate", "", "the reference date is an argument"),
    ("serde", "nik", "", "domain types are no wire types"),
];

/// The module that may hold `unsafe`: a file, and the directory of its parts.
const UNSAFE: &str = "kafka/native";

const LONGEST: usize = 400;

#[test]
fn rooms_import_one_way() {
    let mut faults = Vec::new();
    for file in sources("src") {
        for path in file.paths() {
            let mut parts = path.split("::");
            let Some(imported) = parts.next().filter(|first| *first == "crate").and(parts.next())
            else {
                continue;
            };
            // An item of lib.rs itself is in no room.
            let Some(rank) = ROOMS.iter().position(|room| *room == imported) else {
                faults.push(format!("{}: {path} is in no room", file.name));
                continue;
            };
            if file.rank() < rank {
                faults.push(format!("{}: {path} is above it", file.name));
            }
        }
        // So that every import of another room begins with `crate`.
        let root = !file.name.contains('/') || file.name.ends_with("/mod.rs");
        let way_out = if root { "\nuse super::" } else { "\nuse super::super::" };
        if file.text.contains(way_out) && file.name != "lib.rs" {
            faults.push(format!("{}: an import that leaves the room without crate::", file.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rooms_know_only_what_they_may() {
    let mut faults = Vec::new();
    for file in sources("src") {
        for path in file.paths() {
            for (name, last, except, reason) in FORBIDDEN {
                if file.rank() <= rank(last)
                    && (except.is_empty() || !file.is_of(except))
                    && format!("::{path}::").contains(&format!("::{name}::"))
                {
                    faults.push(format!("{}: {path}: {reason}", file.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_is_in_one_module() {
    for file in sources("src") {
        let is_unsafe = file.paths().iter().any(|path| path == "unsafe");
        let may = file.name.strip_prefix(UNSAFE);
        let may = may.is_some_and(|rest| rest.starts_with(['.', '/']));
        assert!(!is_unsafe || may, "{}", file.name);
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    for directory in ["src", "tests", "benches"] {
        for file in sources(directory) {
            assert!(file.text.starts_with("//! "), "{directory}/{}", file.name);
            let lines = file.text.lines().count();
            assert!(lines <= LONGEST, "{directory}/{}: {lines} lines", file.name);
        }
    }
}

#[test]
fn the_reader_of_sources_sees_every_path() {
    let file = Source {
        name: "nik/mod.rs".to_owned(),
        text: r##"
// crate::comment
use crate::{codec::{self, Reason}, region::Area};
use std::{fs, io::Write as _};
fn f<'a>(c: char) -> bool { c == '"' || "crate::text \" crate::text" == r#"crate::"text"# || unsafe { a::<B>::c(d.e) } }
#[cfg(test)]
mod tests { use crate::test; }
"##
        .to_owned(),
    };
    let paths = file.paths();
    for path in [
        "crate::codec::self",
        "crate::codec::Reason",
        "crate::region::Area",
        "std::fs",
        "std::io::Write",
        "unsafe",
    ] {
        assert!(paths.iter().any(|it| it == path), "{path}: {paths:?}");
    }
    for path in ["crate::comment", "crate::text", "crate::test"] {
        assert!(!paths.iter().any(|it| it.starts_with(path)), "{path}: {paths:?}");
    }
}

/// A file, by its name below its directory.
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The place of the file's room.
    fn rank(&self) -> usize {
        let room = self.name.split(['/', '.']).next().unwrap_or_default();
        // The root declares the rooms and uses none.
        if room == "lib" { 0 } else { rank(room) }
    }

    /// Whether the file is the module of this name, or below it.
    fn is_of(&self, module: &str) -> bool {
        let rest = self.name.strip_prefix(module);
        rest.is_some_and(|rest| rest.starts_with(['.', '/']))
    }

    /// Every path and every single name in the code, groups of `use` spread out; tests beside the code may know more than it.
    fn paths(&self) -> Vec<String> {
        let code = self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let words = words(code);
        let mut paths = Vec::new();
        let mut rest = words.as_slice();
        while let Some((first, after)) = rest.split_first() {
            rest = if is_name(first) { path(rest, "", &mut paths) } else { after };
        }
        paths
    }
}

fn rank(room: &str) -> usize {
    let place = ROOMS.iter().position(|it| *it == room);
    place.unwrap_or_else(|| panic!("{room}: give it a place among the rooms of tests/house.rs"))
}

fn sources(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut waiting = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(place) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&place) else {
            continue;
        };
        let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) =
            entries.map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
        waiting.extend(directories);
        let is_rust = |path: &PathBuf| path.extension().is_some_and(|it| it == "rs");
        found.extend(files.into_iter().filter(is_rust).map(|path| Source {
            name: path.strip_prefix(&root).unwrap().display().to_string(),
            text: fs::read_to_string(&path).unwrap(),
        }));
    }
    found
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path, with its groups, from the start of `words`; what follows it.
fn path<'a>(words: &'a [&'a str], prefix: &str, paths: &mut Vec<String>) -> &'a [&'a str] {
    let mut here = format!("{prefix}{}", words[0]);
    let mut rest = &words[1..];
    loop {
        match rest {
            ["::", "{", inside @ ..] => {
                rest = inside;
                while let Some((first, after)) = rest.split_first() {
                    rest = match *first {
                        "}" => return after,
                        name if is_name(name) => path(rest, &format!("{here}::"), paths),
                        _ => after,
                    };
                }
                return rest;
            }
            ["::", name, after @ ..] if is_name(name) => {
                here = format!("{here}::{name}");
                rest = after;
            }
            _ => {
                paths.push(here);
                return rest;
            }
        }
    }
}

/// The names and signs of a code, without its comments and texts. (`syn` would leave the insides of macros unread, and `tracing` and
/// `assert` are macros.)
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(text) = rest.strip_prefix("r#\"") {
            text.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if first == '"' {
            text_length(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") || rest.starts_with("'\\\\'") {
            4
        } else {
            let length = if is_name(rest) {
                let end = |c: char| !(c.is_alphanumeric() || c == '_');
                rest.find(end).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                words.push(&rest[..length]);
            }
            length
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the text, quotes included, that `code` begins with.
fn text_length(code: &str) -> usize {
    let mut escaped = false;
    for (index, c) in code.char_indices().skip(1) {
        match c {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    code.len()
}
