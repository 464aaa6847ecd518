//! What is wrong with the settings.

use std::fmt;

/// One thing wrong: where it was said, about which key, and what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// A file, or an environment variable.
    pub origin: String,
    /// The key, its parts joined by dots; none if the whole file is the problem.
    pub key: Option<String>,
    /// What is wrong, never with the value of a secret.
    pub text: String,
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

/// Everything wrong, one problem a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(formatter, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
