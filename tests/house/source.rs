//! A source file as the rules see it: its module, its lines of code, and every path in its code.

use std::fs;
use std::path::Path;

/// A file, named from the directory that was read.
pub struct Source {
    pub name: String,
    pub text: String,
}

/// Every file below a directory of the repository, except what builds and package managers leave there.
pub fn files(directory: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![root.join(directory)];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            if path.is_symlink() || ["target", "node_modules"].contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// The Rust files below a directory.
pub fn sources(directory: &str) -> Vec<Source> {
    let mut names = files(directory);
    names.retain(|name| Path::new(name).extension().is_some_and(|it| it == "rs"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    names
        .into_iter()
        .map(|name| Source {
            text: fs::read_to_string(root.join(&name)).expect("text"),
            name: name[directory.len() + 1..].to_owned(),
        })
        .collect()
}

impl Source {
    /// The path of the file's module.
    pub fn module(&self) -> Vec<&str> {
        let name = self.name.trim_end_matches(".rs");
        let name = name.strip_suffix("/mod").unwrap_or(name);
        name.split('/').filter(|part| *part != "mod").collect()
    }

    /// Whether the file is the module of this name or below it.
    pub fn is_of(&self, module: &str) -> bool {
        let rest = self.name.strip_prefix(module);
        rest.is_some_and(|rest| rest.starts_with(['.', '/']))
    }

    /// The code without the tests beside it, which may use more than it.
    fn code(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// Lines that are neither blank nor a comment nor a test.
    pub fn lines_of_code(&self) -> usize {
        let lines = self.code().lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
    }

    /// Every path and every single name in the code; `a::{b, c}` is two paths.
    pub fn paths(&self) -> Vec<String> {
        let words = words(self.code());
        let mut paths = Vec::new();
        let mut rest = words.as_slice();
        while let Some((first, after)) = rest.split_first() {
            rest = if is_name(first) { path(rest, "", &mut paths) } else { after };
        }
        paths
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path, with its groups, from the start of `words`; returns what follows it.
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

/// The names and signs of the code, without comments and literals. (`syn` would not read the arguments of macros, and `tracing`
/// and `assert` are macros.)
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(text) = rest.strip_prefix("r#\"") {
            text.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if first == '"' {
            literal_length(rest)
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

/// The length of the string literal, quotes included, at the start of `code`.
fn literal_length(code: &str) -> usize {
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

#[test]
fn every_path_of_a_source_is_found() {
    let file = Source {
        name: "kafka/client/mod.rs".to_owned(),
        text: r##"
// crate::comment
use crate::{config::{self, Settings}, regions::Area};
use std::{fs, io::Write as _};

fn f<'a>(c: char) -> bool { c == '"' || "crate::text \" crate::text" == r#"crate::"text"# || unsafe { a::<B>::c(d.e) } }
#[cfg(test)]
mod tests { use crate::test; }
"##
        .to_owned(),
    };
    let paths = file.paths();
    for path in [
        "crate::config::self",
        "crate::config::Settings",
        "crate::regions::Area",
        "std::fs",
        "std::io::Write",
        "unsafe",
    ] {
        assert!(paths.iter().any(|it| it == path), "{path}: {paths:?}");
    }
    for path in ["crate::comment", "crate::text", "crate::test"] {
        assert!(!paths.iter().any(|it| it.starts_with(path)), "{path}: {paths:?}");
    }
    assert_eq!(file.module(), ["kafka", "client"]);
    assert_eq!(file.lines_of_code(), 3);
}
