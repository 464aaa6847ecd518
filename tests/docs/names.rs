//! What a page names exists, and every link leads somewhere.

use super::pages::{ARCHITECTURE, CONTRIBUTING, README, blocks, file, files, names, pages};

/// Whether a name is meant to be a file or directory of this repository.
fn is_path(name: &str) -> bool {
    const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".tsv", ".json", ".yml"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    // An endpoint is not a file, and the output of a build, a release or an example is not in the repository.
    let below = |first: &str| !["", ".", "target"].contains(&first) && file(first).is_dir();
    name.chars().all(plain)
        && !name.contains("VERSION")
        && (ENDINGS.iter().any(|ending| name.ends_with(ending))
            || name.split_once('/').is_some_and(|(first, _)| below(first)))
}

#[test]
fn every_file_that_a_page_names_exists() {
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
fn every_script_and_every_module_has_its_line() {
    for script in files("script").iter().filter(|it| it.matches('/').count() == 1) {
        assert!([README, CONTRIBUTING].iter().any(|page| page.contains(script)), "{script}");
    }
    for source in files("src") {
        let module = source.split_inclusive('/').take(2).collect::<String>();
        let joins = ["src/main.rs", "src/lib.rs"].contains(&module.as_str());
        assert!(joins || ARCHITECTURE.contains(&module), "{module}");
    }
}

#[test]
fn the_first_pages_are_short() {
    assert!(README.len() <= 8 * 1024, "README.md: {} bytes", README.len());
    assert!(ARCHITECTURE.len() <= 10 * 1024, "ARCHITECTURE.md: {} bytes", ARCHITECTURE.len());
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
