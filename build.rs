//! Notes the source revision for `--version` and `nik_stream_build_info`, and builds the C sources
//! that use librdkafka's internals.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=NIK_STREAM_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    // These files change with a commit or a checkout. If a path does not exist, Cargo runs this
    // script at every build.
    for file in ["logs/HEAD", "HEAD"] {
        let path = git(&["rev-parse", "--git-path", file]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let given = std::env::var("NIK_STREAM_REVISION").ok();
    let revision = given
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NIK_STREAM_REVISION={revision}");
    build_c_sources();
}

/// Builds with the headers of the librdkafka that `rdkafka-sys` has configured and built.
fn build_c_sources() {
    let sources = ["headers.c", "transactions.c"].map(|it| format!("src/kafka/client/native/{it}"));
    for source in &sources {
        println!("cargo::rerun-if-changed={source}");
    }
    let librdkafka = std::env::var("DEP_RDKAFKA_ROOT").expect("rdkafka-sys names its directory");
    // Names the folders of the headers of OpenSSL, zlib and zstd that are not the system's own.
    let makefile = Path::new(&librdkafka).join("Makefile.config");
    let makefile = std::fs::read_to_string(makefile).expect("librdkafka is configured");
    let includes = makefile.split_whitespace().filter_map(|word| word.strip_prefix("-I"));
    cc::Build::new()
        .files(sources)
        .include(Path::new(&librdkafka).join("src"))
        .includes(includes)
        .warnings(false) // of librdkafka's headers
        .compile("nik_librdkafka");
}

/// What git answers; `None` in a source archive, which has no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
