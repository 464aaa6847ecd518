//! Phrases that readers stumbled over are refused: in comments, names, messages and pages. CONTRIBUTING.md says what to write
//! instead.

use std::fs;
use std::path::Path;

use super::assert_none;
use super::source::files;

/// Alternatives are separated by `|`; `*` is any word.
const REFUSED: [&str; 13] = [
    "heed|heeds",
    "anew",
    "whoever",
    "told|tells of",
    "of its own",
    "come|comes about",
    "stand|stands at|for|before|behind",
    "stand|stands in the way",
    "take|takes for",
    "take|takes it for",
    "is|are no *",
    "nobody asks",
    "let|lets go",
];

/// Good English that the list would refuse.
const ALLOWED: [&str; 4] = [
    "there is|are no *",
    "is|are no longer",
    "is|are no more|less|later|earlier than",
    "is|are no one",
];

const DIRECTORIES: [&str; 11] = [
    "benches", "config", "crates", "deploy", "docs", "examples", "fuzz", "schemas", "script",
    "src", "tests",
];
const ENDINGS: [&str; 10] = ["rs", "md", "toml", "yaml", "yml", "html", "js", "json", "sh", "txt"];

/// The place of a word in a text: its line, and the word in lower case. Punctuation is a word, since no phrase extends over it.
type Word<'a> = (usize, &'a str);

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // A phrase may continue on the next line of a comment.
        let mut rest = line.trim_start().trim_start_matches(['/', '!', '#', '*', '>']);
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '\'').unwrap_or(rest.len());
            let length = if end > 0 { end } else { first.len_utf8() };
            if !first.is_whitespace() && first != '_' {
                words.push((index + 1, &rest[..length]));
            }
            rest = &rest[length..];
        }
    }
    words
}

/// A phrase as the alternatives of each of its words.
type Phrase = Vec<Vec<&'static str>>;

fn phrases(list: &[&'static str]) -> Vec<Phrase> {
    let phrase = |phrase: &&'static str| phrase.split(' ').map(|it| it.split('|').collect());
    list.iter().map(|it| phrase(it).collect()).collect()
}

/// The words at the start of `words` that are the phrase.
fn matched<'a, 'b>(phrase: &Phrase, words: &'a [Word<'b>]) -> Option<&'a [Word<'b>]> {
    let words = words.get(..phrase.len())?;
    let fits = |(alternatives, (_, word)): (&Vec<&str>, &Word<'_>)| {
        alternatives.contains(word)
            || alternatives == &["*"] && word.starts_with(char::is_alphanumeric)
    };
    phrase.iter().zip(words).all(fits).then_some(words)
}

/// The refused phrases in a text, each with its line.
fn refused(text: &str) -> Vec<(usize, String)> {
    let text = text.to_lowercase();
    let words = words(&text);
    let (refused, allowed) = (phrases(&REFUSED), phrases(&ALLOWED));
    let is_allowed = |at: usize| {
        allowed.iter().any(|phrase| {
            let from = if phrase[0] == ["there"] { at.checked_sub(1) } else { Some(at) };
            from.is_some_and(|from| matched(phrase, &words[from..]).is_some())
        })
    };
    let at = |at: usize| {
        let found = refused.iter().find_map(|phrase| matched(phrase, &words[at..]))?;
        let phrase: Vec<&str> = found.iter().map(|(_, word)| *word).collect();
        (!is_allowed(at)).then(|| (words[at].0, phrase.join(" ")))
    };
    (0..words.len()).filter_map(at).collect()
}

/// A page without its code spans, which quote names and, in CONTRIBUTING.md, the refused phrases.
fn without_code_spans(page: &str) -> String {
    let line = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join("x");
    page.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_refused_phrase_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_text = |name: &String| {
        let ending = Path::new(name).extension().and_then(|it| it.to_str());
        ending.map_or(name.starts_with("script/"), |it| ENDINGS.contains(&it))
    };
    let mut names: Vec<String> = DIRECTORIES.iter().flat_map(|it| files(it)).collect();
    let top = fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry"));
    let top = top.filter(|entry| entry.path().is_file());
    names.extend(top.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names.retain(|name| is_text(name) && name != "tests/house/words.rs");
    assert!(names.len() > 200 && names.iter().any(|name| name == "README.md"), "{names:?}");

    let mut faults = Vec::new();
    for name in names {
        let mut text = fs::read_to_string(root.join(&name)).expect("text");
        if Path::new(&name).extension().is_some_and(|it| it == "md") {
            text = without_code_spans(&text);
        }
        let found = refused(&text);
        faults.extend(found.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    assert_none(&faults);
}

#[test]
fn refused_phrases_are_found_across_lines_and_in_names() {
    let found = |text| refused(text).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
    assert_eq!(found("/// A worker starts\n/// Anew.\nfn begins_anew() {}"), [2, 3]);
    assert_eq!(found("// a record that is\n// no failure"), [1]);
    assert_eq!(found("what stands in the way; it takes it for a fault"), [1, 1]);
    assert_eq!(found("There is no broker. That it is! No, it is no longer there."), [0; 0]);
    assert_eq!(found("the house manewal heeded"), [0; 0]);
    assert_eq!(without_code_spans("write `anew` and `heed` so"), "write x and x so");
}
