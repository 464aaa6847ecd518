//! `privacy`: the key file, combinations, and warnings.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nik_stream::config::load_from;
use nik_stream::kafka::check_property;
use tempfile::TempDir;

use super::load;

/// A directory with a key file of this text and these permissions, and the path of the file.
fn key_file(text: &str, mode: u32) -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keys");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

fn line(id: &str) -> String {
    format!("{id} {}\n", "4e".repeat(32))
}

#[test]
fn tokens_are_written_by_the_first_key_of_the_file() {
    let (_directory, path) = key_file(&(line("b") + &line("a")), 0o600);
    let text = format!("[privacy]\noutcomes = \"tokens\"\nkey_file = {path:?}");
    let privacy = load(&[&text], &[]).unwrap().settings.privacy;
    assert_eq!(privacy.keys.len(), 2);
    let token = privacy.process().tokens.unwrap().token(b"1");
    assert!(token.as_bytes().starts_with(b"tb_"));
    let plain = load(&[&format!("[privacy]\nkey_file = {path:?}")], &[]).unwrap();
    assert!(plain.settings.privacy.process().tokens.is_none());
}

#[test]
fn tokens_require_a_key_file_that_can_be_read() {
    let tokens = "[privacy]\noutcomes = \"tokens\"\n";
    assert_eq!(
        load(&[tokens], &[]).unwrap_err(),
        ["0.toml: privacy.outcomes: \"tokens\" requires privacy.key_file"]
    );
    let missing = load(&[tokens], &[("PRIVACY__KEY_FILE", "/nowhere/keys")]).unwrap_err();
    assert_eq!(missing.len(), 1, "{missing:?}");
    let start = "NIK_STREAM__PRIVACY__KEY_FILE: privacy.key_file: /nowhere/keys cannot be read: ";
    assert!(missing[0].starts_with(start), "{missing:?}");
    let (_directory, path) = key_file(&line("a").replace("4e4e\n", "4e4x\n"), 0o600);
    let wrong = load(&[&format!("{tokens}key_file = {path:?}")], &[]).unwrap_err();
    assert_eq!(
        wrong,
        [format!(
            "0.toml: privacy.key_file: {path}, line 1: expected a key of 64 hex digits after the id"
        )]
    );
    let other = load(&["[privacy]\noutcomes = \"sha256\"\nfailures = \"hash\""], &[]).unwrap_err();
    assert_eq!(
        other,
        [
            "0.toml: privacy.outcomes: expected \"plain\" or \"tokens\"",
            "0.toml: privacy.failures: expected \"plain\" or \"reference\"",
        ]
    );
}

/// The keys that are warned about.
fn warned(outcomes: &str, failures: &str, mode: u32) -> Vec<String> {
    let (_directory, path) = key_file(&line("a"), mode);
    let variables = [("OUTCOMES", outcomes), ("FAILURES", failures), ("KEY_FILE", &path)];
    let variables = variables
        .map(|(name, value)| (format!("NIK_STREAM__PRIVACY__{name}").into(), value.into()));
    let loaded = load_from(&[], variables, check_property).unwrap();
    loaded.warnings.into_iter().filter_map(|it| it.key).collect()
}

#[test]
fn what_leaks_elsewhere_is_warned_about() {
    let none: [&str; 0] = [];
    assert_eq!(warned("plain", "plain", 0o640), none);
    assert_eq!(warned("plain", "plain", 0o644), ["privacy.key_file"]);
    // Failures with NIKs; keys and headers.
    assert_eq!(warned("tokens", "plain", 0o600), ["privacy.failures", "privacy.outcomes"]);
    // Results with NIKs; the retention of the requests.
    assert_eq!(warned("plain", "reference", 0o600), ["privacy.outcomes", "privacy.failures"]);
    assert_eq!(warned("tokens", "reference", 0o600), ["privacy.outcomes", "privacy.failures"]);
}

#[test]
fn config_check_prints_warnings_and_ok() {
    let output = Command::new(env!("CARGO_BIN_EXE_nik-stream"))
        .args(["config", "check"])
        .env_clear()
        .env("NIK_STREAM__PRIVACY__FAILURES", "reference")
        .output()
        .unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"ok\n"[..]));
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(words.lines().count(), 2, "{words}");
    assert!(
        words.contains("warning: NIK_STREAM__PRIVACY__FAILURES: privacy.failures: "),
        "{words}"
    );
}
