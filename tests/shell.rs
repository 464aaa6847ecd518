//! Completions and manual pages, as a shell and a packager use them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

fn program(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_nik-stream")).args(arguments).output().unwrap()
}

#[test]
fn bash_completes_commands_and_their_options() {
    let script = program(&["completions", "bash"]).stdout;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nik-stream");
    fs::write(&path, script).unwrap();
    let complete = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let (before, last) = (words[words.len() - 2], words[words.len() - 1]);
        let ask = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; $(complete -p nik-stream | sed 's/.*-F //; s/ .*//') nik-stream '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"",
            path.display(),
            words.join(" "),
            words.len() - 1,
        );
        let bash = Command::new("bash").args(["-euc", &ask]).output().unwrap();
        assert!(bash.status.success(), "{bash:?}");
        let reply = String::from_utf8(bash.stdout).unwrap();
        reply.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("nik-stream topi"), ["topics"]);
    assert_eq!(complete("nik-stream topics ver"), ["verify"]);
    assert_eq!(complete("nik-stream topics create --part"), ["--partitions"]);
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let said = program(&["manual", directory.path().to_str().unwrap()]);
    assert_eq!((said.status.code(), said.stdout.len()), (Some(0), 0), "{said:?}");
    let pages = fs::read_dir(directory.path()).unwrap();
    let pages: BTreeSet<_> =
        pages.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for page in ["nik-stream.1", "nik-stream-run.1", "nik-stream-topics-create.1"] {
        assert!(pages.contains(page), "{page}: {pages:?}");
    }
    let page = fs::read_to_string(directory.path().join("nik-stream-topics-create.1")).unwrap();
    assert!(
        page.contains(".TH nik-stream-topics-create 1") && page.contains("partitions"),
        "{page}"
    );

    let missing = program(&["manual", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("/nonexistent"));
}
