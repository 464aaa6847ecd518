//! What a page names exists; what it says is not there yet does not.

use super::pages::{ARCHITECTURE, CHANGELOG, README, blocks, file, files, names, read, section};

const PAGES: [(&str, &str); 5] = [
    ("README.md", README),
    ("ARCHITECTURE.md", ARCHITECTURE),
    ("CHANGELOG.md", CHANGELOG),
    ("SECURITY.md", include_str!("../../SECURITY.md")),
    (
        "docs/deployment.md",
        include_str!("../../docs/deployment.md"),
    ),
];

/// Whether a name stands for a file or directory of this repository.
fn is_path(name: &str) -> bool {
    const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".tsv", ".json", ".yml"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    // No endpoint is a file, and what a build makes is not in the repository.
    let below = |first: &str| !["", "target"].contains(&first) && file(first).is_dir();
    name.chars().all(plain)
        && (ENDINGS.iter().any(|ending| name.ends_with(ending))
            || name.split_once('/').is_some_and(|(first, _)| below(first)))
}

#[test]
fn every_file_that_is_named_exists() {
    let mut missing = Vec::new();
    for (name, page) in PAGES {
        let code = names(page)
            .into_iter()
            .filter_map(|name| name.split(' ').next());
        let links = page.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split([')', '#']).next());
        // From where the page stands.
        let folder = name.rsplit_once('/').map_or("", |it| it.0);
        let links = links.map(|link| match link.strip_prefix("../") {
            Some(link) => link.to_owned(),
            None if folder.is_empty() => link.to_owned(),
            None => format!("{folder}/{link}"),
        });
        let scripts = blocks(page)
            .into_iter()
            .flat_map(|(_, text)| text.split_whitespace());
        let scripts = scripts.filter(|word| word.starts_with("script/"));
        let named = code.chain(scripts).map(str::to_owned).chain(links);
        for path in named.filter(|it| is_path(it)) {
            if !file(&path).exists() {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_script_and_every_room_is_named() {
    let named = |path: &str| README.contains(path) || ARCHITECTURE.contains(path);
    for script in files("script")
        .iter()
        .filter(|it| it.matches('/').count() == 1)
    {
        assert!(named(script), "{script}");
    }
    for source in files("src") {
        let room = source.split_inclusive('/').take(2).collect::<String>();
        let binds = ["src/main.rs", "src/lib.rs"].contains(&room.as_str());
        assert!(binds || ARCHITECTURE.contains(&room), "{room}");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let mut sources = [files("src"), files("tests")].concat();
    sources.retain(|path| file(path).extension().is_some_and(|it| it == "rs"));
    let mut named = 0;
    for name in names(ARCHITECTURE) {
        let Some((module, test)) = name.split_once("::").filter(|it| it.1.contains('_')) else {
            continue;
        };
        named += 1;
        let places = [
            format!("/{module}.rs"),
            format!("/{module}/mod.rs"),
            format!("/{module}/"),
        ];
        let mut files = sources
            .iter()
            .filter(|path| places.iter().any(|place| path.contains(place)));
        assert!(
            files.any(|path| read(path).contains(&format!("fn {test}("))),
            "{name}"
        );
    }
    assert!(named > 10, "{named}");
}

#[test]
fn the_layers_are_those_of_the_house() {
    let house = read("tests/house.rs");
    let rooms = house.split("const ROOMS").nth(1).unwrap();
    let rooms = rooms
        .split("];")
        .next()
        .unwrap()
        .split('"')
        .skip(1)
        .step_by(2);
    let told = ARCHITECTURE
        .lines()
        .find(|line| line.contains(" <- "))
        .unwrap();
    let told = told.split(" <- ").flat_map(|rooms| rooms.split(", "));
    assert_eq!(
        told.map(str::trim).collect::<Vec<_>>(),
        rooms.collect::<Vec<_>>()
    );
}

#[test]
fn every_link_within_a_page_leads_to_a_heading() {
    let headings: Vec<String> = README
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| format!("#{}", heading.to_lowercase().replace(' ', "-")))
        .collect();
    for link in README
        .split("](")
        .skip(1)
        .filter(|rest| rest.starts_with('#'))
    {
        let link = link.split(')').next().unwrap_or_default();
        assert!(headings.iter().any(|it| it == link), "{link}");
    }
}

#[test]
fn what_is_said_to_be_missing_is() {
    let sources = files("src");
    let missing = section("Not yet");
    for name in names(missing) {
        if let Some(path) = name
            .split_once(' ')
            .map(|it| it.1)
            .filter(|it| it.starts_with('/'))
        {
            let routes = read("src/telemetry/http.rs");
            assert!(
                !routes.contains(&format!(".route(\"{path}\"")),
                "{name} is there"
            );
        } else if let Some((_, key)) = name.split_once('.') {
            // A setting without effect is one that only its own room reads.
            let readers: Vec<_> = sources
                .iter()
                .filter(|path| !path.starts_with("src/config/"))
                .filter(|path| read(path).contains(&format!(".{key}")))
                .collect();
            assert!(readers.is_empty(), "{name} is read by {readers:?}");
        } else if let Some((command, _)) = name.split_once(' ') {
            assert!(
                !file(&format!("src/cli/{command}.rs")).exists(),
                "{name} is there"
            );
            assert!(
                !file(&format!("src/cli/{command}")).exists(),
                "{name} is there"
            );
        }
    }
}
