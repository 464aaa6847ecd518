//! Which settings may change while the program runs.

use std::collections::BTreeMap;

use super::reader::{Shown, ShownValue};
use super::{Delivery, Loaded, Log, Settings, SizeLimits};

/// The settings that may change, and tables of them with a dot at the end.
const MAY_CHANGE: [&str; 7] = [
    "delivery.max_failure_ratio",
    "delivery.failure_window",
    "delivery.failure_cool_down_ms",
    "limits.",
    "log.level",
    "privacy.",
    "rules.",
];

/// The producers and the topics are made for it.
const FIXED: &str = "limits.result_bytes";

/// What settings that were loaded again change.
pub struct Changes {
    /// What is in force with the changes that are possible.
    pub loaded: Loaded,
    /// The keys that change.
    pub taken: Vec<String>,
    /// The keys that differ and cannot change.
    pub fixed: Vec<String>,
}

impl Loaded {
    /// Compares settings that were loaded again with these, which are in force.
    pub fn changes(&self, again: Self) -> Changes {
        let by_key = |shown: &[Shown]| -> BTreeMap<String, Option<ShownValue>> {
            shown.iter().map(|it| (it.key.clone(), it.value.clone())).collect()
        };
        let [before, after] = [by_key(&self.shown), by_key(&again.shown)];
        let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
        let is_same = |key: &String| match (before.get(key), after.get(key)) {
            (Some(Some(before)), Some(Some(after))) => before.is_same(after),
            (before, after) => before == after,
        };
        // The contents of the file are renewed by themselves.
        let from_file = again.settings.kafka.security.password_file.is_some();
        let is_renewed = |key: &String| from_file && key == "kafka.security.password";
        let differing = keys.filter(|key| !is_same(key) && !is_renewed(key)).cloned();
        let (taken, fixed) = differing.partition(|key| may_change(key));

        let shown = self.shown.iter().map(|before| {
            let after = again.shown.iter().find(|it| it.key == before.key && may_change(&it.key));
            after.unwrap_or(before).clone()
        });
        let (old, new) = (self.settings.clone(), again.settings);
        let settings = Settings {
            delivery: Delivery {
                max_failure_ratio: new.delivery.max_failure_ratio,
                failure_window: new.delivery.failure_window,
                failure_cool_down_ms: new.delivery.failure_cool_down_ms,
                ..old.delivery
            },
            limits: SizeLimits { result_bytes: old.limits.result_bytes, ..new.limits },
            log: Log { level: new.log.level, ..old.log },
            privacy: new.privacy,
            rules: new.rules,
            ..old
        };
        let loaded = Loaded { settings, shown: shown.collect(), ..self.clone() };
        Changes { loaded, taken, fixed }
    }
}

fn may_change(key: &str) -> bool {
    key != FIXED
        && MAY_CHANGE.iter().any(|it| key == *it || it.ends_with('.') && key.starts_with(it))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::config::load_from;

    #[test]
    fn a_changed_secret_is_named_and_not_shown() {
        let load = |password: &str| {
            let set = [
                ("NIK_STREAM__KAFKA__SECURITY__PROTOCOL", "sasl_plaintext"),
                ("NIK_STREAM__KAFKA__SECURITY__SASL_MECHANISM", "SCRAM-SHA-256"),
                ("NIK_STREAM__KAFKA__SECURITY__USERNAME", "service"),
                ("NIK_STREAM__KAFKA__SECURITY__PASSWORD", password),
            ];
            let set = set.map(|(key, value)| (OsString::from(key), OsString::from(value)));
            load_from(&[], set, |_, _| Ok(())).expect("valid")
        };
        let before = load("hunter2");
        assert!(before.changes(load("hunter2")).fixed.is_empty());
        let changes = before.changes(load("hunter3"));
        assert_eq!(changes.fixed, ["kafka.security.password"]);
        assert!(changes.taken.is_empty());
        assert!(!format!("{:?}", changes.loaded.shown).contains("hunter"));
    }
}
