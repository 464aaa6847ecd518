//! Warnings about settings that are allowed and may be a mistake.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{FailureForm, OutcomeForm, Privacy, Problem, Settings};

/// The warnings about settings without problems.
pub(super) fn warnings(settings: &Settings, origins: &BTreeMap<String, String>) -> Vec<Problem> {
    const OUTCOMES: &str = "privacy.outcomes";
    const FAILURES: &str = "privacy.failures";
    let Privacy { outcomes, failures, key_file, .. } = &settings.privacy;
    let tokens = *outcomes == OutcomeForm::Tokens;
    let by_reference = *failures == FailureForm::Reference;
    let readable = key_file.as_ref().filter(|path| is_readable_by_all(path));
    let warnings = [
        readable.map(|path| {
            (Privacy::KEY_FILE, format!("every user of this machine can read {path}: chmod o-r"))
        }),
        (tokens && !by_reference).then(|| {
            let text = "failures still hold the NIKs of their requests, in their list and in \
                        nik-failure-original: \"reference\" leaves both out";
            (FAILURES, text.to_owned())
        }),
        (by_reference && !tokens).then(|| {
            let text = "results still hold NIKs: \"tokens\" replaces them";
            (OUTCOMES, text.to_owned())
        }),
        tokens.then(|| {
            let text = "keys and headers of requests are passed on unchanged, with the NIKs that they hold; \
                        nik_stream_niks_in_keys_total counts such keys";
            (OUTCOMES, text.to_owned())
        }),
        by_reference.then(|| {
            let text = "a failure can be replayed only while topics.requests retains its request: check the \
                        retention of that topic";
            (FAILURES, text.to_owned())
        }),
    ];
    let problem = |(key, text): (&str, String)| Problem {
        origin: origins.get(key).cloned().unwrap_or_default(),
        key: Some(key.to_owned()),
        text,
    };
    warnings.into_iter().flatten().map(problem).collect()
}

fn is_readable_by_all(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}
