//! Notes the source revision for `--version` and `nik_stream_build_info`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=NIK_STREAM_REVISION");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let given = std::env::var("NIK_STREAM_REVISION").ok();
    let revision = given
        .or_else(from_git)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NIK_STREAM_REVISION={revision}");
}

/// A source archive has no repository: then there is no revision.
fn from_git() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
