//! The rules for sources: who may import whom, who may use what, how long a file may get, which phrases are refused.

mod obstacles;
pub mod source;
mod words;

use source::{Source, sources};

/// The modules of `src`; each may import those before it.
const MODULES: [&str; 8] =
    ["pipeline", "regions", "telemetry", "http", "config", "kafka", "app", "cli"];

/// The modules of `src/kafka`, and the two files that they share, with what each may import of the others. The other files directly
/// in `src/kafka` may import everything.
const KAFKA_MODULES: [(&str, &[&str]); 9] = [
    ("limits", &[]),
    ("security", &["limits"]),
    ("roles", &["security"]),
    ("client", &["limits", "roles", "security"]),
    ("dlq", &["limits", "roles", "security", "client"]),
    ("topics", &["limits", "roles", "security", "client"]),
    ("ledger", &["limits", "roles", "security", "client"]),
    ("stream", &["limits", "roles", "security", "client", "dlq::headers", "ledger"]),
    ("audit", &["limits", "roles", "security", "client", "dlq", "stream"]),
];

/// Crates that one module alone may use.
const CRATES: [(&str, &str); 2] = [("rdkafka", "kafka"), ("prometheus", "telemetry/metrics")];

/// What the pure code does without. For the crate `nik`, which is `no_std`, the compiler checks it.
const IMPURE: [&str; 8] = [
    "tokio",
    "std::thread",
    "std::fs",
    "std::net",
    "std::env",
    "std::io::stdin",
    "SystemTime::now",
    "Instant::now",
];

/// The module that may contain `unsafe`.
const UNSAFE: &str = "kafka/client/native";

/// The most lines of code in a file.
const LONGEST: usize = 400;

/// Asserts that there is no fault; otherwise lists all of them.
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn rank(module: &str) -> Option<usize> {
    MODULES.iter().position(|it| *it == module)
}

#[test]
fn modules_import_one_way() {
    let mut faults = Vec::new();
    for file in sources("src") {
        let path = file.module();
        let module = path.first().copied().unwrap_or_default();
        // `lib` and `main` only declare the modules and start the program.
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let Some(own) = rank(module) else {
            faults.push(format!("{}: add its module to MODULES", file.name));
            continue;
        };
        for path in file.paths() {
            let Some(rest) = path.strip_prefix("crate::") else { continue };
            let imported = rest.split("::").next().unwrap_or_default();
            if rank(imported).is_none_or(|rank| rank > own) {
                faults.push(format!("{}: {path} is above it", file.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_modules_of_kafka_import_one_way() {
    let mut faults = Vec::new();
    for file in sources("src/kafka") {
        let module = file.module();
        let own = module.first().copied().unwrap_or_default();
        let allowed = match KAFKA_MODULES.iter().find(|(name, _)| *name == own) {
            Some((_, allowed)) => [&[own], *allowed].concat(),
            None if module.len() < 2 => continue,
            None => vec![],
        };
        for path in file.paths() {
            let Some(rest) = path.strip_prefix("crate::kafka::") else { continue };
            let is_in = |name: &&str| format!("{rest}::").starts_with(&format!("{name}::"));
            if !allowed.iter().any(is_in) {
                faults.push(format!("kafka/{}: {path} is not below it", file.name));
            }
        }
    }
    assert_none(&faults);
}

/// Otherwise the tests above would not see every import.
#[test]
fn imports_from_another_module_begin_with_crate() {
    let mut faults = Vec::new();
    for file in sources("src") {
        let module = file.module();
        let in_kafka = module.len() > 1
            && module[0] == "kafka"
            && KAFKA_MODULES.iter().any(|(name, _)| *name == module[1]);
        let depth = module.len() - if in_kafka { 2 } else { 1 };
        for path in file.paths() {
            if path.split("::").take_while(|part| *part == "super").count() > depth {
                faults.push(format!("{}: {path} leaves its module", file.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn crates_are_used_where_they_belong() {
    let mut faults = Vec::new();
    for file in sources("src") {
        for path in file.paths() {
            for (name, module) in CRATES {
                let is_its = path.split("::").next() == Some(name);
                if is_its && !file.is_of(module) {
                    faults.push(format!("{}: {path} belongs in {module}", file.name));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn pure_code_uses_no_runtime_no_files_and_no_clock() {
    let mut faults = Vec::new();
    for directory in ["crates/nik-wire/src", "src/pipeline"] {
        for file in sources(directory) {
            for path in file.paths() {
                for name in IMPURE {
                    if format!("::{path}::").contains(&format!("::{name}::")) {
                        faults.push(format!("{directory}/{}: {path}", file.name));
                    }
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn unsafe_code_is_in_one_module() {
    let is_unsafe = |file: &Source| file.paths().iter().any(|path| path == "unsafe");
    for file in sources("src") {
        assert!(!is_unsafe(&file) || file.is_of(UNSAFE), "{}", file.name);
    }
    for directory in ["crates/nik/src", "crates/nik-wire/src"] {
        for file in sources(directory) {
            assert!(!is_unsafe(&file), "{directory}/{}", file.name);
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_and_is_short() {
    let mut faults = Vec::new();
    for directory in ["src", "crates", "tests", "benches", "fuzz"] {
        for file in sources(directory) {
            let name = format!("{directory}/{}", file.name);
            // A crate may open with its README.
            if !["//! ", "#![doc = include_str!("].iter().any(|it| file.text.starts_with(it)) {
                faults.push(format!("{name}: its first line does not say what it is"));
            }
            let lines = file.lines_of_code();
            if lines > LONGEST {
                faults.push(format!("{name}: {lines} lines of code"));
            }
        }
    }
    assert_none(&faults);
}
