//! What is wrong with the settings.

use std::fmt;

use config::Value;

/// One thing that is wrong: where it is set, which key it is, and what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// A file, or an environment variable.
    pub origin: String,
    /// The key, its parts joined by dots; `None` if the whole file is the problem.
    pub key: Option<String>,
    /// What is wrong. Never contains the value of a secret.
    pub text: String,
}

impl Problem {
    pub(super) fn new(key: &str, value: &Value, text: String) -> Self {
        let origin = value.origin().unwrap_or_default().to_owned();
        Self { origin, key: Some(key.to_owned()), text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.origin)?;
        if let Some(key) = &self.key {
            write!(formatter, "{key}: ")?;
        }
        formatter.write_str(&self.text)
    }
}

/// Everything that is wrong, displayed as one problem per line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
