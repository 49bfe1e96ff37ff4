//! One of several keys, with the text that stands under it: a method with its URL, an operation with its object.

use std::fmt;

use super::{Diagnostic, Judge};
use crate::scenario::parts::{Parts, See, below};
use crate::scenario::template::{Template, Words};

/// A word that is a key in a scenario.
pub trait Key: Copy + fmt::Debug + PartialEq {
    /// The key.
    fn key(self) -> &'static str;
}

/// One of several keys, and the text under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed<K> {
    /// Which key.
    pub key: K,
    /// What stands under it.
    pub text: Template,
}

impl<K: Key> Keyed<K> {
    /// The first that is given.
    pub(super) fn first<const N: usize>(all: [(K, Option<Template>); N]) -> Result<Self, String> {
        let given = all.into_iter().find_map(|(key, text)| Some(Self { key, text: text? }));
        given.ok_or_else(|| "it has none of its keys".to_owned())
    }

    /// Checks `bucket/key`, as far as it can be judged before references are filled in.
    pub(super) fn check_object(&self, at: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let (key, target) = (self.key.key(), self.text.as_str());
        if self.text.is_open() {
            return;
        }
        let fix = match target.split_once('/') {
            _ if target.contains("://") => "leave the scheme out: `bucket/key`",
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => return,
            _ => "write `bucket/key`",
        };
        let error = judge.error(&format!("/{at}/{key}"), format!("`{target}` is not what `{key}` works on"));
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
