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
    let endpoint = format!(
        "{tls}oauth_endpoint = \"https://a/token\"\noauth_client_id = \"b\"\noauth_client_secret_file = \"/dev/null\"\n"
    );
    load(&[&endpoint], &[]).unwrap();
    assert_eq!(
        problem(tls),
        "0.toml: kafka.security.protocol: sasl_ssl requires kafka.security.oauth_token_file or kafka.security.oauth_endpoint"
    );
    let both = problem(&format!("{endpoint}oauth_token_file = \"/dev/null\""));
    assert!(both.ends_with("found both"), "{both}");
    assert_eq!(
        problem(&format!("{endpoint}username = \"a\"")),
        "0.toml: kafka.security.username: only allowed if kafka.security.sasl_mechanism is not OAUTHBEARER"
    );
    assert_eq!(
        problem(&format!("{SASL}password = \"a\"\noauth_token_file = \"/dev/null\"")),
        "0.toml: kafka.security.oauth_token_file: only allowed if kafka.security.sasl_mechanism is OAUTHBEARER"
    );
}

#[test]
fn a_token_endpoint_requires_credentials_and_an_encrypted_connection() {
    let base =
        "[kafka.security]\nprotocol = \"sasl_plaintext\"\nsasl_mechanism = \"OAUTHBEARER\"\n";
    let credentials = "oauth_client_id = \"b\"\noauth_client_secret_file = \"/dev/null\"\n";
    let with = |url: &str| format!("{base}{credentials}oauth_endpoint = {url:?}\n");
    for url in [
        "https://idp.example/token",
        "https://idp.example:8443/a?b=c",
        "http://localhost:8080/token",
        "http://127.0.0.1/token",
        "http://[::1]:8080/token",
    ] {
        load(&[&with(url)], &[]).unwrap();
    }
    // The authorities apply to the endpoint, even if the brokers' connections have no TLS.
    load(&[&format!("{}ca_file = \"/dev/null\"", with("https://a/b"))], &[]).unwrap();
    for url in [
        "http://idp.example/token",
        "http://127.0.0.1.example/token",
        "https://user:hunter2@idp.example/token",
        "idp.example/token",
        "https://",
        "ftp://a/b",
    ] {
        assert_eq!(
            problem(&with(url)),
            "0.toml: kafka.security.oauth_endpoint: expected https://host/path, or http:// to localhost, 127.0.0.1 or [::1], \
             without a user name",
            "{url}"
        );
    }
    assert_eq!(
        problem(&format!("{base}oauth_endpoint = \"https://a/b\"\noauth_client_id = \"b\"")),
        "0.toml: kafka.security.oauth_endpoint: requires kafka.security.oauth_client_secret_file as well"
    );
    let file = "oauth_token_file = \"/dev/null\"\n";
    assert_eq!(
        problem(&format!("{base}{file}oauth_scope = \"b\"")),
        "0.toml: kafka.security.oauth_scope: requires kafka.security.oauth_endpoint"
    );
}

#[test]
fn a_line_break_at_the_end_of_a_value_is_not_part_of_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("password");
    fs::write(&path, "hunter2\r\n").unwrap();
    let file =
        format!("{}username = \"\"\"nik\n\"\"\"\n", SASL.replace("username = \"nik\"\n", ""));
    let variables = [
        ("KAFKA__SECURITY__PASSWORD_FILE", format!("{}\n", path.display())),
        ("KAFKA__GROUP_ID", "group\n".to_owned()),
        ("KAFKA__WORKERS", "3\n".to_owned()),
        ("KAFKA__LIBRDKAFKA__SSL_KEYSTORE_PASSWORD", "secret\n".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let kafka = load(&[&file], &variables).unwrap().settings.kafka;
    assert_eq!(kafka.security.username.as_deref(), Some("nik"));
    assert_eq!(kafka.security.password.unwrap().expose(), "hunter2");
    assert_eq!(kafka.security.password_file.as_deref(), Some(path.as_path()));
    assert_eq!((kafka.group_id.as_str(), kafka.workers), ("group", 3));
    assert_eq!(kafka.librdkafka.iter().next(), Some(("ssl.keystore.password", "secret")));
    let variables = [("KAFKA__SECURITY__PASSWORD", "hunter2\n\n")];
    let kafka = load(&[SASL], &variables).unwrap().settings.kafka;
    assert_eq!(kafka.security.password.unwrap().expose(), "hunter2");
}

#[test]
fn a_secret_of_several_lines_is_reported_without_quoting_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("password");
    fs::write(&path, "hunter2\nhunter3\n").unwrap();
    assert_eq!(
        problem(&format!("{SASL}password_file = {path:?}")),
        "0.toml: kafka.security.password_file: expected one line, found several"
    );
    let problems = load(&[SASL], &[("KAFKA__SECURITY__PASSWORD", "hunter2\nhunter3")]).unwrap_err();
    assert_eq!(
        problems,
        [
            "NIK_STREAM__KAFKA__SECURITY__PASSWORD: kafka.security.password: expected one line, found several"
        ]
    );
}
