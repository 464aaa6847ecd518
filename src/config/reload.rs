//! Which settings may change while the program runs.

use std::collections::BTreeMap;

use super::reader::Shown;
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
        let text = |shown: &[Shown]| -> BTreeMap<String, Option<String>> {
            let text = |it: &Shown| it.value.as_ref().map(|value| value.text.clone());
            shown.iter().map(|it| (it.key.clone(), text(it))).collect()
        };
        let [before, after] = [text(&self.shown), text(&again.shown)];
        let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
        let differing = keys.filter(|key| before.get(*key) != after.get(*key)).cloned();
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
