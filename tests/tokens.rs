//! `nik-stream token`, and results with tokens as their readers use them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NIK: &str = "3273010101900001";
/// Computed with Python's hmac and base64.
const TOKEN: &str = "ta_rfv2n27trwaflmv2mxyyh47cuq";

/// A directory with the file `keys`, whose first key is the one above, and settings with tokens.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let other = "ff".repeat(32);
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    file("keys", &format!("a {KEY}\nold {other}\n"));
    file("tokens.toml", "[privacy]\noutcomes = \"tokens\"\nkey_file = \"keys\"\n");
    directory
}

fn run(program: &str, arguments: &[&str], directory: &TempDir, input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env_remove("NIK_STREAM__PRIVACY__KEY_FILE");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn nik_stream(arguments: &[&str], directory: &TempDir, input: &str) -> Output {
    run(env!("CARGO_BIN_EXE_nik-stream"), arguments, directory, input)
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn each_line_gets_its_token_by_the_first_key() {
    let directory = directory();
    let input = format!("{NIK}\r\n\n{NIK}");
    let by_option = nik_stream(&["token", "--key-file", "keys"], &directory, &input);
    let lines: Vec<_> = text(&by_option.stdout).lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, TOKEN, TOKEN));
    assert!(lines[1].starts_with("ta_") && lines[1] != TOKEN, "an empty line has a token, too");
    let by_settings = nik_stream(&["token", "--config", "tokens.toml"], &directory, &input);
    assert_eq!(by_settings.stdout, by_option.stdout);
}

#[test]
fn without_a_key_there_is_no_token_and_no_nik_in_the_message() {
    let directory = directory();
    for arguments in
        [&["token"][..], &["token", "--key-file", "none"], &["token", "--key-file", "tokens.toml"]]
    {
        let output = nik_stream(arguments, &directory, "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("--key-file: "), "{output:?}");
    }
}

#[test]
fn check_prints_what_would_be_published_with_tokens() {
    let directory = directory();
    let request = format!(r#"{{"nik":["{NIK}"],"process":"limited"}}"#);
    let output = nik_stream(&["check", "--config", "tokens.toml"], &directory, &request);
    let expected = format!(r#""data":{{"{TOKEN}":true}}"#);
    assert!(text(&output.stdout).contains(&expected), "{output:?}");
}

#[cfg(feature = "packaging-tests")]
mod join {
    use super::{KEY, NIK, TOKEN, directory, nik_stream, run, text};

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/privacy/join.py");

    #[test]
    fn the_reader_in_python_finds_the_niks_that_it_knows() {
        let directory = directory();
        std::fs::write(directory.path().join("niks"), format!("{NIK}\n1234567891234567\n"))
            .unwrap();
        let request = format!(
            r#"{{"nik":["{NIK}","1234567891234567","9999990101900001"],"process":"limited"}}"#
        );
        let results = nik_stream(&["check", "--config", "tokens.toml"], &directory, &request);
        let joined = run("python3", &[EXAMPLE, "keys", "niks"], &directory, text(&results.stdout));
        let lines: Vec<_> = text(&joined.stdout).lines().collect();
        assert_eq!(
            lines[..2],
            [format!("{NIK}\ttrue"), "1234567891234567\tfalse".to_owned()],
            "{joined:?}"
        );
        assert!(
            lines.len() == 3 && lines[2].starts_with("ta_") && lines[2].ends_with("\tfalse"),
            "{joined:?}"
        );
    }

    /// The cases whose data are text.
    #[test]
    fn the_reader_in_python_makes_the_tokens_of_rfc_4231_and_ours() {
        let directory = directory();
        for (key, data, expected) in [
            (&*"0b".repeat(20), "Hi There", "t1_wa2eyyoy3m4fgxfiv7hk6c7rfm"),
            ("4a656665", "what do ya want for nothing?", "t1_lpomcrv7mb2u42qeeqtarflvy4"),
            (&"0c".repeat(20), "Test With Truncation", "t1_uo3bm5dtcahoa3qmpfwcsvkvfm"),
            (
                &"aa".repeat(131),
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "t1_mdsdcwi64c3h6dmke2vmx5nxp4",
            ),
            (KEY, NIK, &TOKEN.replace("ta_", "t1_")),
        ] {
            let folder = EXAMPLE.trim_end_matches("/join.py");
            let code = "import sys; sys.path.insert(0, sys.argv[1]); from join import token; print(token('1', *sys.argv[2:]))";
            let output = run("python3", &["-B", "-c", code, folder, key, data], &directory, "");
            assert_eq!(text(&output.stdout).trim_end(), expected, "{output:?}");
        }
    }
}
