//! What a page names exists, and every link leads somewhere.

use super::pages::{ARCHITECTURE, README, blocks, file, files, names, pages, read};

/// Whether a name stands for a file or directory of this repository.
fn is_path(name: &str) -> bool {
    const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".tsv", ".json", ".yml"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    // No endpoint is a file, and what a build or an example makes is not in the repository.
    let below = |first: &str| !["", ".", "target"].contains(&first) && file(first).is_dir();
    name.chars().all(plain)
        && (ENDINGS.iter().any(|ending| name.ends_with(ending))
            || name.split_once('/').is_some_and(|(first, _)| below(first)))
}

#[test]
fn every_file_that_is_named_exists() {
    let mut missing = Vec::new();
    for (name, page) in pages() {
        let code = names(&page).into_iter().filter_map(|name| name.split(' ').next());
        let scripts = blocks(&page).into_iter().flat_map(|(_, text)| text.split_whitespace());
        let scripts = scripts.filter(|word| word.starts_with("script/"));
        for path in code.chain(scripts).filter(|it| is_path(it)) {
            if !file(path).exists() {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_script_and_every_room_is_named() {
    let named = |path: &str| README.contains(path) || ARCHITECTURE.contains(path);
    for script in files("script").iter().filter(|it| it.matches('/').count() == 1) {
        assert!(named(script), "{script}");
    }
    for source in files("src") {
        let room = source.split_inclusive('/').take(2).collect::<String>();
        let binds = ["src/main.rs", "src/lib.rs"].contains(&room.as_str());
        assert!(binds || ARCHITECTURE.contains(&room), "{room}");
    }
}

/// The file that holds the tests of a module as the test binaries name it: `stream::records`, or `kafka::fault::tests` beside the code.
fn tests_of(module: &str) -> Option<String> {
    let (directory, module) = match module.strip_suffix("::tests") {
        Some(beside) => ("src", beside),
        None => ("tests", module),
    };
    let path = format!("{directory}/{}", module.replace("::", "/"));
    let mut places = [format!("{path}.rs"), format!("{path}/mod.rs")].into_iter();
    places.find(|path| file(path).exists())
}

/// Whether a source has a test of this name: the first function below the attribute.
fn has_test(source: &str, name: &str) -> bool {
    let call = format!("{name}(");
    let tests = source.split("#[test]").skip(1);
    tests.filter_map(|rest| rest.split("fn ").nth(1)).any(|function| function.starts_with(&call))
}

#[test]
fn every_test_that_is_named_exists() {
    for (page, least) in [("ARCHITECTURE.md", 10), ("docs/promises.md", 200)] {
        let mut named = 0;
        let mut missing = Vec::new();
        let source = read(page);
        for name in names(&source) {
            let Some((module, test)) = name.rsplit_once("::").filter(|it| it.1.contains('_'))
            else {
                continue;
            };
            named += 1;
            if !tests_of(module).is_some_and(|path| has_test(&read(&path), test)) {
                missing.push(name);
            }
        }
        assert!(missing.is_empty(), "{page}: {missing:#?}");
        assert!(named >= least, "{page}: {named}");
    }
}

#[test]
fn the_layers_are_those_of_the_house() {
    let house = read("tests/house.rs");
    let rooms = house.split("const ROOMS").nth(1).unwrap();
    let rooms = rooms.split("];").next().unwrap().split('"').skip(1).step_by(2);
    let told = ARCHITECTURE.lines().find(|line| line.contains(" <- ")).unwrap();
    let told = told.split(" <- ").flat_map(|rooms| rooms.split(", "));
    assert_eq!(told.map(str::trim).collect::<Vec<_>>(), rooms.collect::<Vec<_>>());
}

/// The headings of a page, as links name them.
fn anchors(page: &str) -> Vec<String> {
    let lines = page.split("\n```").step_by(2).flat_map(str::lines);
    let headings = lines.filter(|line| line.starts_with('#'));
    let plain = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let anchor = |text: &str| text.trim().chars().filter(plain).collect::<String>();
    headings
        .map(|heading| anchor(heading.trim_start_matches('#')))
        .map(|text| text.to_lowercase().replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut broken = Vec::new();
    for (name, page) in pages() {
        let directory = file(&name).parent().expect("a directory").to_owned();
        for link in page.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file(&name) } else { directory.join(path) };
            let leads = target.exists()
                && (anchor.is_empty()
                    || std::fs::read_to_string(&target)
                        .is_ok_and(|page| anchors(&page).iter().any(|it| it == anchor)));
            if !leads {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
