//! `nik-stream config schema`: the JSON Schema accepts and refuses what the program does.

use std::process::Command;

use jsonschema::Validator;
use serde_json::Value;

use super::load;

fn schema() -> (Value, Validator) {
    let printed = Command::new(env!("CARGO_BIN_EXE_nik-stream"))
        .args(["config", "schema"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(printed.status.code(), Some(0));
    let schema = serde_json::from_slice(&printed.stdout).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    (schema, validator)
}

fn toml(text: &str) -> Value {
    let source = config::File::from_str(text, config::FileFormat::Toml);
    config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap()
}

#[test]
fn the_schema_accepts_and_refuses_what_the_program_does() {
    let (_, schema) = schema();
    let accepted = [
        include_str!("../../config/default.toml"),
        "",
        "[kafka.librdkafka]\n\"client.rack\" = \"r1\"\nlog.connection.close = false\n\"retries\" = 3",
        "[kafka.security]\nprotocol = \"ssl\"",
        "[http]\nlisten = \"[::]:80\"",
        "[delivery]\nmax_failure_ratio = 1",
    ];
    for text in accepted {
        assert!(load(&[text], &[]).is_ok(), "{text}");
        assert!(schema.is_valid(&toml(text)), "{text}");
    }
    let refused = [
        "[kafka]\nworkerz = 1",
        "[kafka]\nworkers = 257",
        "[kafka]\nworkers = 1.5",
        "[kafka]\nworkers = true",
        "[kafka]\ngroup_id = \"\"",
        "[kafka.security]\nprotocol = \"tls\"",
        "[kafka.consumer]\n\"a.b\" = [1]",
        "[http]\napi = 1",
        "[delivery]\nmax_failure_ratio = 1.5",
        "kafka = 5",
        "colour = true",
    ];
    for text in refused {
        assert!(load(&[text], &[]).is_err(), "{text}");
        assert!(!schema.is_valid(&toml(text)), "{text}");
    }
}

#[test]
fn every_setting_has_its_default_and_its_comment() {
    fn visit(schema: &Value, key: &str, found: &mut usize) {
        let open = schema["additionalProperties"] != false;
        if schema["type"] == "object" && !open {
            for (name, inner) in schema["properties"].as_object().unwrap() {
                visit(inner, &format!("{key}.{name}"), found);
            }
        } else if !open || schema["type"] != "object" {
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 5), "{key}");
            assert!(!schema["default"].is_null(), "{key}");
            *found += 1;
        }
    }
    let (schema, _) = schema();
    let mut found = 0;
    visit(&schema, "", &mut found);
    let lines = include_str!("../../config/default.toml").lines();
    assert_eq!(found, lines.filter(|line| !line.starts_with('#') && line.contains(" = ")).count());
}
