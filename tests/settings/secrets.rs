//! Secrets are used but never shown.

use std::fs;

use tempfile::TempDir;

use super::load;

const SASL: &str = "[kafka.security]\nprotocol = \"sasl_ssl\"\nsasl_mechanism = \"SCRAM-SHA-512\"\nusername = \"nik\"\n";

fn problem(text: &str) -> String {
    let problems = load(&[text], &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn a_secret_is_shown_neither_by_debug_nor_by_config_show() {
    let loaded = load(
        &[
            &format!("{SASL}password = \"hunter2\"\n[kafka.librdkafka]\n\"ssl.keystore.password\" = \"hunter2\"\n"),
            "[kafka.producer]\n\"ssl.key.pem\" = \"hunter2\"\n\"sasl.oauthbearer.config\" = \"hunter2\"",
        ],
        &[],
    )
    .unwrap();
    let shown = loaded.show();
    assert!(shown.contains("password = \"***\" # "), "{shown}");
    assert!(shown.contains("\"ssl.keystore.password\" = \"***\" # "), "{shown}");
    for text in [shown, format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let password = loaded.settings.kafka.security.password.unwrap();
    assert_eq!(password.expose(), "hunter2");
}

#[test]
fn no_problem_quotes_a_value_that_may_be_a_secret() {
    for text in [
        "[kafka.security]\npassword = hunter2",
        "[kafka.security]\npassword = \"hunter2",
        "[kafka.security]\npassword = \"hunter2\" hunter2",
        "[kafka.security]\npassword = [\"hunter2\"]",
        "[kafka.security]\nprotocol = \"hunter2\"",
        "[kafka.security]\npasword = \"hunter2\"",
        "[kafka]\nworkers = \"hunter2\"",
    ] {
        let problem = problem(text);
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn a_password_comes_from_a_file_without_the_line_break_at_its_end() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("password");
    let text = format!("{SASL}password_file = {path:?}\n");
    assert!(problem(&text).contains("kafka.security.password_file: "));
    fs::write(&path, "\n").unwrap();
    assert!(problem(&text).ends_with("is empty"));
    fs::write(&path, " 0123 \r\n").unwrap();
    let loaded = load(&[&text], &[]).unwrap();
    let password = loaded.settings.kafka.security.password.clone().unwrap();
    assert_eq!(password.expose(), " 0123 ");
    let shown = format!("password = \"***\" # {}\n", path.display());
    assert!(loaded.show().contains(&shown));
    assert!(problem(&format!("{text}password = \"a\"")).ends_with("found both"));
}

#[test]
fn keys_that_a_protocol_requires_or_does_not_use_are_reported() {
    let problems = load(&["[kafka.security]\nprotocol = \"sasl_ssl\""], &[]).unwrap_err();
    assert_eq!(
        problems,
        [
            "0.toml: kafka.security.protocol: sasl_ssl requires kafka.security.sasl_mechanism",
            "0.toml: kafka.security.protocol: sasl_ssl requires kafka.security.username",
            "0.toml: kafka.security.protocol: sasl_ssl requires kafka.security.password",
        ]
    );
    let problems = load(&["[kafka.security]\nsasl_mechanism = \"PLAIN\"\nusername = \"a\"\npassword = \"b\"\nkey_password = \"c\""], &[]).unwrap_err();
    assert_eq!(
        problems,
        [
            "0.toml: kafka.security.key_password: only allowed if kafka.security.protocol uses ssl",
            "0.toml: kafka.security.key_password: requires kafka.security.key_file as well",
            "0.toml: kafka.security.sasl_mechanism: only allowed if kafka.security.protocol uses sasl",
            "0.toml: kafka.security.username: only allowed if kafka.security.protocol uses sasl",
            "0.toml: kafka.security.password: only allowed if kafka.security.protocol uses sasl",
        ]
    );
}

#[test]
fn a_certificate_requires_its_key_and_both_must_be_readable() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pem");
    fs::write(&path, "").unwrap();
    let tls = format!("[kafka.security]\nprotocol = \"ssl\"\nca_file = {path:?}\n");
    load(&[&tls], &[]).unwrap();
    let certificate = format!("{tls}certificate_file = {path:?}\n");
    assert_eq!(
        problem(&certificate),
        "0.toml: kafka.security.certificate_file: requires kafka.security.key_file as well"
    );
    load(&[&format!("{certificate}key_file = {path:?}")], &[]).unwrap();
    assert!(
        problem(&format!("{certificate}key_file = \"/nonexistent/key\""))
            .contains("cannot be read")
    );
}

#[test]
fn a_token_has_one_source_and_replaces_the_user_name() {
    let tls = "[kafka.security]\nprotocol = \"sasl_ssl\"\nsasl_mechanism = \"OAUTHBEARER\"\n";
    let command = format!("{tls}oauth_token_command = \"echo hunter2\"\n");
    let shown = load(&[&command], &[]).unwrap().show();
    assert!(shown.contains("oauth_token_command = \"***\" # "), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(
        problem(tls),
        "0.toml: kafka.security.protocol: sasl_ssl requires kafka.security.oauth_token_file or kafka.security.oauth_token_command"
    );
    let both = problem(&format!("{command}oauth_token_file = \"/dev/null\""));
    assert!(both.ends_with("found both"), "{both}");
    assert!(!both.contains("hunter2"), "{both}");
    assert_eq!(
        problem(&format!("{command}username = \"a\"")),
        "0.toml: kafka.security.username: only allowed if kafka.security.sasl_mechanism is not OAUTHBEARER"
    );
    assert_eq!(
        problem(&format!("{SASL}password = \"a\"\noauth_token_command = \"b\"")),
        "0.toml: kafka.security.oauth_token_command: only allowed if kafka.security.sasl_mechanism is OAUTHBEARER"
    );
}
