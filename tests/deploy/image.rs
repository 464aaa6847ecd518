//! The `Dockerfile`, and the root file system of its image with the real program in it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{file, program, read, texts, tool, words, written};
use crate::docs::pages::files;

/// The value after the first `name="` of a text.
fn quoted<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split(&format!("{name}=\"")).nth(1);
    rest.and_then(|it| it.split('"').next()).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_dockerfile_is_sound_and_agrees_with_the_program() {
    written(&mut tool(&["hadolint", "Dockerfile"]));
    let text = read("Dockerfile");
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).unwrap();
    assert!(text.contains(&format!("FROM rust:{channel}-bookworm AS build")));
    let version = quoted(&text, "image.version");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let description = quoted(&text, "image.description");
    assert_eq!(description, env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(quoted(&text, "image.licenses"), "MIT");

    // Its variables are settings, and it exposes the port that they set.
    let variables = text.split("NIK_STREAM__").skip(1);
    let variables: Vec<_> = variables
        .filter_map(|rest| rest.split_whitespace().next()?.split_once('='))
        .map(|(name, value)| (format!("NIK_STREAM__{name}"), value.to_owned()))
        .collect();
    assert_eq!(written(&mut program(&["config", "check"], &variables)), "ok\n");
    let port = variables[0].1.rsplit(':').next().unwrap();
    assert!(text.contains(&format!("\nEXPOSE {port}\n")));
    assert!(text.contains("\nUSER 65532:65532\n"));
}

#[test]
fn the_build_context_has_every_file_that_the_image_is_built_from() {
    let allowed = read(".dockerignore");
    let allowed: Vec<_> = allowed.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &allowed {
        assert!(file(path).exists(), "{path}");
    }
    let script = read("script/image-root");
    let mut needed: Vec<_> = ends(&script, "$here/").collect();
    assert!(needed.len() >= 4, "{needed:?}");
    // Files that are compiled in, such as `include_str!("../../config/default.toml")`.
    let sources: Vec<_> = files("src").iter().map(|path| read(path)).collect();
    for source in sources.iter().filter(|it| it.contains("include_str!")) {
        let above = ends(source, "(\"../").map(|path| path.trim_start_matches("../"));
        needed.extend(above.filter(|path| file(path).exists()));
    }
    assert!(needed.contains(&"config/default.toml"), "{needed:?}");
    // Cargo reads the manifests of all members of the workspace.
    let members = [
        "Cargo.lock",
        "build.rs",
        "src",
        "data",
        "crates/nik",
        "crates/nik-wire",
        "fuzz/Cargo.toml",
    ];
    for path in needed.into_iter().chain(members) {
        let is_allowed = allowed.iter().any(|it| path.starts_with(it));
        assert!(is_allowed, "{path}: the image is built from it");
    }
}

/// The text after each `mark`, up to a quote or a space.
fn ends<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let rest = text.split(mark).skip(1);
    rest.filter_map(|rest| rest.split(['"', ' ']).next())
}

#[test]
fn the_image_has_every_library_of_the_program_and_no_shell() {
    let dir = TempDir::with_prefix("nik-stream-image-").expect("a temporary directory");
    let root = dir.path().join("root");
    let mut lay_out = Command::new(file("script/image-root"));
    written(lay_out.arg(env!("CARGO_BIN_EXE_nik-stream")).arg(&root));
    for path in [
        "etc/ssl/certs/ca-certificates.crt",
        "usr/share/doc/nik-stream/LICENSE",
        "usr/share/doc/nik-stream/NOTICE-regions",
    ] {
        assert!(root.join(path).is_file(), "{path}");
    }
    for shell in ["bin", "usr/bin", "sbin"] {
        assert!(!root.join(shell).exists(), "{shell}");
    }
    let notices = std::fs::read_to_string(root.join("usr/share/doc/nik-stream/THIRD-PARTY"));
    let notices = notices.expect("notices");
    for linked in
        ["librdkafka - Apache Kafka C driver library", "LZ4 Library", "zstd-sys", "libz-sys"]
    {
        assert!(notices.contains(linked), "{linked}");
    }
    let scanned = root.join("var/lib/dpkg/status.d/libssl3");
    let scanned = std::fs::read_to_string(scanned).expect("libssl3 is named to scanners");
    assert!(scanned.contains("\nVersion: "));

    // Only root may call chroot; others are root in a namespace of their users.
    let id = Command::new("id").arg("--user").output().expect("id runs");
    let is_root = id.stdout == b"0\n";
    let inside = |arguments: &[&str]| {
        let mut command = if is_root {
            let mut chroot = Command::new("chroot");
            chroot.arg("--userspec=65532:65532"); // the image's user
            chroot
        } else {
            let mut unshare = Command::new("unshare");
            unshare.args(["--map-root-user", "chroot"]);
            unshare
        };
        command.arg(&root);
        command.arg("/usr/local/bin/nik-stream").args(arguments);
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().env("PATH", path).output().expect("chroot runs")
    };
    let version = inside(&["--version"]);
    let expected = format!("nik-stream {} ", env!("CARGO_PKG_VERSION"));
    assert!(words(&version).starts_with(&expected), "{}", words(&version));
    let health = inside(&["health", "--live"]);
    assert_eq!(health.status.code(), Some(1), "nobody is there");
    assert!(words(&health).contains("cannot reach http://127.0.0.1:9464/livez"));
}

/// The content of a blob, after a comparison with its descriptor.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().expect("a digest");
    let hash = digest.strip_prefix("sha256:").expect("SHA-256");
    let content = std::fs::read(layout.join("blobs/sha256").join(hash)).expect(hash);
    assert_eq!(descriptor["size"], content.len());
    let found = format!("{:x}", Sha256::digest(&content));
    assert_eq!(found, hash);
    content
}

#[test]
fn the_image_layout_has_an_image_for_each_architecture() {
    let dir = TempDir::with_prefix("nik-stream-image-").expect("a temporary directory");
    let roots = ["x86_64", "aarch64"].map(|it| dir.path().join(it));
    // The heads of ELF files, in which the machine is.
    for (root, machine) in roots.iter().zip([0x3e, 0xb7]) {
        let mut head = [0; 64];
        head[..4].copy_from_slice(b"\x7fELF");
        head[18] = machine;
        std::fs::create_dir_all(root.join("usr/local/bin")).expect("a directory");
        std::fs::write(root.join("usr/local/bin/nik-stream"), head).expect("written");
    }
    let layouts = ["one", "two"].map(|it| dir.path().join(it));
    for layout in &layouts {
        let mut script = Command::new(file("script/image-layout"));
        written(script.arg(layout).args(&roots).env("SOURCE_DATE_EPOCH", "1000000000"));
    }
    let bytes = |path: &Path| std::fs::read(path).expect("a file");
    let index = bytes(&layouts[0].join("index.json"));
    assert_eq!(index, bytes(&layouts[1].join("index.json")), "equal roots give equal bytes");
    let marker = String::from_utf8(bytes(&layouts[0].join("oci-layout"))).expect("text");
    assert_eq!(marker.trim(), r#"{"imageLayoutVersion":"1.0.0"}"#);

    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let manifests = index["manifests"].as_array().expect("a list");
    let platforms = manifests.iter().map(|it| it["platform"]["architecture"].clone());
    assert_eq!(platforms.collect::<Vec<_>>(), ["amd64", "arm64"]);
    let dockerfile = read("Dockerfile");
    for manifest in manifests {
        let manifest_of =
            |descriptor| serde_json::from_slice::<Value>(&blob(&layouts[0], descriptor));
        let platform = &manifest["platform"];
        let manifest = manifest_of(manifest).expect("JSON");
        let config = manifest_of(&manifest["config"]).expect("JSON");
        assert_eq!(config["architecture"], platform["architecture"]);
        let run = &config["config"];
        assert_eq!(run["User"], "65532:65532");
        assert_eq!(run["Entrypoint"], serde_json::json!(["nik-stream"]));
        assert_eq!(run["Cmd"], serde_json::json!(["run"]));
        let labels = &run["Labels"];
        assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
        for variable in texts(&run["Env"]) {
            assert!(variable.starts_with("PATH=") || dockerfile.contains(variable), "{variable}");
        }
        assert!(texts(&run["Env"]).contains(&"NIK_STREAM__HTTP__LISTEN=0.0.0.0:9464"));

        let layer = dir.path().join("layer.tar.gz");
        std::fs::write(&layer, blob(&layouts[0], &manifest["layers"][0])).expect("written");
        let mut tar = Command::new("tar");
        let listed = written(
            tar.args(["--list", "--verbose", "--utc", "--numeric-owner", "--file"]).arg(&layer),
        );
        let program = listed.lines().find(|line| line.ends_with(" usr/local/bin/nik-stream"));
        let program = program.unwrap_or_else(|| panic!("{listed}"));
        assert!(program.contains(" 0/0 ") && program.contains(" 2001-09-09 "), "{program}");
    }
}
