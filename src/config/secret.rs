//! Values that no log, error or page may show.

use std::collections::BTreeMap;
use std::fmt;

/// Shown in place of a secret.
pub(super) const HIDDEN: &str = "***";

/// A password. `Debug` does not show it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself. For the client's settings only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A value without the line breaks at its end, which `echo` and editors add to a file or a variable.
pub fn without_line_break(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

/// Properties of librdkafka by name. `Debug` hides the secrets among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Each property's name and value, secrets included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn insert(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }
}

/// Whether librdkafka's property of this name holds a secret. The words are those in the names that
/// librdkafka's own dump hides.
pub(super) fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 5] = ["password", "passphrase", "secret", "pem", "oauthbearer.config"];
    WORDS.iter().any(|word| name.contains(word))
}

impl fmt::Debug for Properties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            self.iter().map(|(name, value)| (name, if is_secret(name) { HIDDEN } else { value }));
        formatter.debug_map().entries(shown).finish()
    }
}
