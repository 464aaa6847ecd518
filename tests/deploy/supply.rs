//! The packages of the program: their source and their licences, by the lists of `deny.toml`, which cargo-deny uses as well.

use std::collections::BTreeSet;
use std::process::Command;

use config::{Config, File, FileFormat};
use serde_json::Value;

use super::{file, read, written};
use crate::docs::pages::files;

/// Every package for the platforms that a release is built for, including those of tests.
fn packages(features: &str) -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--format-version", "1", "--features", features]);
    for target in deny::<Vec<String>>("graph.targets") {
        cargo.args(["--filter-platform", &target]);
    }
    let mut metadata: Value = serde_json::from_str(&written(&mut cargo)).expect("JSON");
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("no packages");
    };
    packages
}

/// The names of all packages.
fn names(packages: &[Value]) -> BTreeSet<String> {
    packages.iter().map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
}

fn deny<'a, T: serde::Deserialize<'a>>(key: &str) -> T {
    let deny = Config::builder().add_source(File::from_str(&read("deny.toml"), FileFormat::Toml));
    let deny = deny.build().expect("TOML");
    deny.get(key).unwrap_or_else(|error| panic!("{key}: {error}"))
}

/// Whether the allowed licences satisfy an SPDX expression. `/` is an old `OR`. (The crate `spdx` would be one more package to check,
/// for three operators.)
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    assert!(rest.is_empty(), "{expression}: not understood from {rest:?}");
    met
}

fn either<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (also, after) = both(after, allowed);
        (met, rest) = (met || also, after);
    }
    (met, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (also, after) = one(after, allowed);
        (met, rest) = (met && also, after);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inside @ ..] => {
            let (met, rest) = either(inside, allowed);
            assert_eq!(rest.first(), Some(&")"), "{words:?}");
            (met, &rest[1..])
        }
        [name, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (allowed.contains(*name), rest),
        [] => panic!("a licence is missing"),
    }
}

#[test]
fn every_licence_is_allowed() {
    #[derive(serde::Deserialize)]
    struct Exception {
        #[serde(rename = "crate")]
        name: String,
        allow: BTreeSet<String>,
    }
    let always: BTreeSet<String> = deny("licenses.allow");
    let exceptions: Vec<Exception> = deny("licenses.exceptions");
    let is_refused = |package: &Value| {
        let of_it = |it: &&Exception| package["name"] == it.name;
        let also = exceptions.iter().filter(of_it).flat_map(|it| it.allow.clone());
        let allowed = always.iter().cloned().chain(also).collect();
        package["license"].as_str().is_none_or(|licence| !is_met(licence, &allowed))
    };
    let mut refused = packages("bundled-openssl");
    refused.retain(is_refused);
    let refused: Vec<_> = refused.iter().map(|it| (&it["name"], &it["license"])).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn licence_expressions_are_evaluated_as_spdx_defines() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    let allowed = BTreeSet::from(allowed);
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0/MIT",
        "Apache-2.0 WITH LLVM-exception",
        "(GPL-3.0 OR MIT) AND MIT",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "Apache-2.0",
        "GPL-3.0 OR MIT AND BSD-3-Clause",
        "(MIT OR X) AND Y",
    ] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}

#[test]
fn every_package_is_from_the_registry_or_the_workspace_and_none_is_banned() {
    let banned: Vec<String> = deny::<Vec<std::collections::BTreeMap<String, String>>>("bans.deny")
        .into_iter()
        .map(|it| it["crate"].clone())
        .collect();
    assert!(!banned.is_empty());
    for package in packages("") {
        let name = package["name"].as_str().expect("a name");
        assert!(!banned.iter().any(|it| it == name), "{name} is banned");
        let source = package["source"].as_str();
        let is_ours = source.is_none(); // a path: a member of the workspace
        let is_registry = source.is_some_and(|it| it.starts_with("registry+"));
        assert!(is_ours || is_registry, "{name}: {source:?}");
    }
    assert!(!file(".cargo/config.toml").exists(), "no registry but the default");
}

/// The ban is for the default program; `script/portable` links OpenSSL statically, and nothing else changes.
#[test]
fn the_portable_program_alone_contains_openssl() {
    let (usual, portable) = (names(&packages("")), names(&packages("bundled-openssl")));
    let added: Vec<_> = portable.difference(&usual).collect();
    assert_eq!(added, ["openssl-src"]);
    assert!(deny::<Vec<String>>("graph.features").iter().all(|it| it != "bundled-openssl"));
    let setters = files("script").into_iter().chain(["Dockerfile".into(), ".ci/run".into()]);
    let sets = |path: &String| read(path).contains("--features bundled-openssl");
    assert_eq!(setters.filter(sets).collect::<Vec<_>>(), ["script/portable"]);

    let list = |arguments: &[&str]| {
        let list = written(Command::new(file("script/notices")).args(arguments));
        list.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (usual, portable) = (list(&["--list"]), list(&["--list", "--bundled-openssl"]));
    let added: Vec<_> = portable.difference(&usual).collect();
    assert!(added.len() == 1 && added[0].starts_with("openssl-src "), "{added:?}");
}

#[test]
fn every_linked_crate_has_a_licence_text() {
    // The script fails for a crate without one.
    let notices = written(&mut Command::new(file("script/notices")));
    let mut names = Command::new(file("script/notices"));
    let names = written(names.arg("--list"));
    assert!(names.lines().count() > 80, "{names}");
    for line in names.lines() {
        assert!(notices.starts_with(&names) && notices.contains(line), "{line}");
    }
    assert!(names.contains("\nrdkafka-sys ") && !names.contains("proptest"));
}

#[test]
fn the_version_is_printed_with_the_revision() {
    let said = written(&mut super::program(&["--version"], &[]));
    let expected = format!("nik-stream {} (", env!("CARGO_PKG_VERSION"));
    let revision = said.strip_prefix(&expected).and_then(|it| it.strip_suffix(")\n"));
    let revision = revision.unwrap_or_else(|| panic!("{said}"));
    let is_hash = revision.len() >= 12 && revision.bytes().all(|it| it.is_ascii_hexdigit());
    assert!(is_hash || revision == "unknown", "{said}");
}

#[test]
fn the_provenance_names_the_commit_and_the_checksum_of_each_file() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let archive = dir.path().join("archive.tar.gz");
    std::fs::write(&archive, "abc").expect("written");
    let mut script = Command::new(file("script/provenance"));
    let statement = written(script.arg("urn:example:builder").arg(&archive));
    assert!(!statement.contains(dir.path().to_str().expect("a plain path")), "{statement}");
    let statement: Value = serde_json::from_str(&statement).expect("JSON");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let subject = serde_json::json!([{"name": "archive.tar.gz", "digest": {"sha256": abc}}]);
    assert_eq!(statement["subject"], subject);
    let predicate = &statement["predicate"];
    assert_eq!(predicate["runDetails"]["builder"]["id"], "urn:example:builder");
    let head = written(Command::new("git").args(["rev-parse", "HEAD"]));
    let source = &predicate["buildDefinition"]["resolvedDependencies"][0];
    assert_eq!(source["digest"]["gitCommit"], head.trim());
}
