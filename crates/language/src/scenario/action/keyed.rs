//! The type of a text that a scenario writes under exactly one of several keys. For example, an `http` step writes its
//! URL under the HTTP method, and an `s3` step writes its object under the operation.

use std::fmt;

use super::{Diagnostic, Judge};
use crate::scenario::parts::{Parts, See, below};
use crate::scenario::template::{Template, Words};

/// A set of YAML keys of which a scenario gives exactly one, for example the HTTP methods or the S3 operations.
pub trait Key: Copy + fmt::Debug + PartialEq {
    /// The key as a scenario file writes it.
    fn key(self) -> &'static str;
}

/// A text, and the key under which it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed<K> {
    /// The key that the step gives.
    pub key: K,
    /// The text that is written under the key.
    pub text: Template,
}

impl<K: Key> Keyed<K> {
    /// Returns the first key that the step gives, with the text under it. `all` has the text of each possible key.
    /// Returns an error if the step gives none of the keys.
    pub(super) fn first<const N: usize>(all: [(K, Option<Template>); N]) -> Result<Self, String> {
        let given = all.into_iter().find_map(|(key, text)| Some(Self { key, text: text? }));
        given.ok_or_else(|| "none of its keys is present".to_owned())
    }

    /// Checks that the text has the form `bucket/key`. A text with references cannot be checked yet.
    pub(super) fn check_object(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let (key, target) = (self.key.key(), self.text.as_str());
        if self.text.is_open() {
            return;
        }
        let fix = match target.split_once('/') {
            _ if target.contains("://") => "write `bucket/key` without a scheme",
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => return,
            _ => "write `bucket/key`",
        };
        let error = judge.error(&format!("/{at}/{key}"), format!("`{target}` is not a valid object for `{key}`"));
        errors.push(error.fix(fix));
    }
}

impl<K: Key> Parts for Keyed<K> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        below(at, self.key.key(), |at| self.text.see(at, to));
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(Self { key: self.key, text: self.text.filled(words)? })
    }
}
