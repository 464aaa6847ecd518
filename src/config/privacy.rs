//! `privacy`: what outcomes hold of their requests, and the keys of tokens.

use std::fs;
use std::sync::Arc;

use super::reader::Reader;
use super::rule::{Choice, choice, optional};
use nik_wire::{TokenKey, process};

#[derive(Clone, Debug)]
pub struct Privacy {
    pub outcomes: OutcomeForm,
    pub failures: FailureForm,
    pub key_file: Option<String>,
    /// The keys in the file; the first one writes.
    pub keys: Vec<Arc<TokenKey>>,
}

/// What results hold in the places of NIKs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutcomeForm {
    Plain,
    Tokens,
}

impl Choice for OutcomeForm {
    const NAMES: &'static [(&'static str, Self)] =
        &[("plain", Self::Plain), ("tokens", Self::Tokens)];
}

/// What failures hold of their requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureForm {
    /// The list, and the whole request in a header.
    Plain,
    /// Only where the request is.
    Reference,
}

impl Choice for FailureForm {
    const NAMES: &'static [(&'static str, Self)] =
        &[("plain", Self::Plain), ("reference", Self::Reference)];
}

impl Privacy {
    pub const KEY_FILE: &str = "privacy.key_file";

    pub(super) fn read(keys: &mut Reader) -> Self {
        Self {
            outcomes: keys.read("privacy.outcomes", choice()),
            failures: keys.read("privacy.failures", choice()),
            key_file: keys.read(Self::KEY_FILE, optional()),
            keys: Vec::new(),
        }
    }

    /// Reads the key file, if one is set, or says what is wrong with it.
    pub(super) fn load_keys(&mut self) -> Result<(), String> {
        if let Some(path) = &self.key_file {
            self.keys = read_keys(path)?.into_iter().map(Arc::new).collect();
        }
        Ok(())
    }

    /// The part that the processing of a request needs.
    pub fn process(&self) -> process::Privacy {
        let tokens = self.outcomes == OutcomeForm::Tokens;
        process::Privacy {
            tokens: self.keys.first().filter(|_| tokens).cloned(),
            failures_by_reference: self.failures == FailureForm::Reference,
        }
    }

    /// As [`Self::process`], once for each key: results may have been written with any of them.
    pub fn all(&self) -> Vec<process::Privacy> {
        let first = self.process();
        let further = self.keys.iter().skip(1).filter(|_| first.tokens.is_some()).cloned();
        let further = further.map(|key| process::Privacy { tokens: Some(key), ..first.clone() });
        [first.clone()].into_iter().chain(further).collect()
    }
}

/// Reads a key file, or says what is wrong with it, without quoting it.
pub fn read_keys(path: &str) -> Result<Vec<TokenKey>, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    TokenKey::read_file(&text).map_err(|error| format!("{path}, {error}"))
}
