//! The results of a flow's steps that later steps can refer to, and the replacement of references (`{{ }}`) by values.

use std::collections::BTreeMap;

use parallax_vocab::Secret;
use parallax_vocab::answer::{Reply, TemporaryCredentials};
use parallax_vocab::probes::Outputs;
use parallax_vocab::question::{Probe, TokenSource};
use serde_json::Value;
use time::OffsetDateTime;

use super::scene::Scene;
use super::signature::Presigned;
use super::step::Tried;
use parallax_judge::Seen;
use parallax_language::scenario::action::Asks;
use parallax_language::scenario::action::asking::Asking;
use parallax_language::scenario::model::{Expect, ROUND, Step, WrittenExpect};
use parallax_language::scenario::parts::Parts;
use parallax_language::scenario::target::{Aimed, Target};
use parallax_language::scenario::template::{Reference, Template, VARIANT};

/// The results of earlier steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    /// The value of `{{ variant.nonce }}`.
    nonce: String,
    /// The value of `{{ STEP }}`, by step.
    yielded: BTreeMap<String, String>,
    /// The value of `{{ STEP.NAME }}`, by step and name.
    captured: BTreeMap<String, BTreeMap<String, Value>>,
    /// The time at which each step ended, by the id of the step.
    ended: BTreeMap<String, OffsetDateTime>,
    /// The temporary credentials for `as: STEP`, by step.
    credentials: BTreeMap<String, TemporaryCredentials>,
    /// The tokens that steps used, by step.
    tokens: BTreeMap<String, Secret>,
    /// The signed URLs and forms, each with its question, by step.
    pub(super) presigned: Presigned,
    /// The values that the rounds of the current repeat captured, by step and name.
    collected: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// A copy of `collected` from before the current round; it is restored if the round is void.
    before: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// The number of void rounds, by the id of a step inside the repeat.
    void: BTreeMap<String, u32>,
    /// The value of `{{ round }}`.
    round: Option<u32>,
    /// Earlier observations that matchers compare with.
    pub(super) seen: Seen,
}

impl Results {
    /// The state before the first step: there are no results, only the variant's nonce.
    pub(super) fn of(nonce: String) -> Self {
        Self { nonce, ..Self::default() }
    }

    /// Stores the results of a step that later steps can refer to.
    pub(super) fn keep(&mut self, step: &Step, tried: &Tried) {
        if !tried.captured.is_empty() {
            self.captured.insert(step.id.clone(), tried.captured.clone());
        }
        if let Some(value) = &tried.value {
            self.yielded.insert(step.id.clone(), value.clone());
        }
        self.ended.insert(step.id.clone(), OffsetDateTime::now_utc());
        if self.round.is_some() {
            let collected = self.collected.entry(step.id.clone()).or_default();
            for (name, value) in &tried.captured {
                collected.entry(name.clone()).or_default().push(value.clone());
            }
        }
        if let Some(TokenSource::Value(token)) = tried.question.as_ref().and_then(|it| it.probe.facts().token) {
            self.tokens.insert(step.id.clone(), token.clone());
        }
        let Some(answer) = &tried.answer else { return };
        if let Some(Outputs { signed, credentials, json: _ }) = answer.reply().map(Reply::outputs) {
            if let Some(signed) = signed {
                self.yielded.insert(step.id.clone(), signed.url.clone());
                if let Some(question) = tried.question.as_ref().and_then(|it| it.probe.facts().signs) {
                    self.presigned.insert(step.id.clone(), (question.clone(), signed.clone()));
                }
            }
            if let Some(credentials) = credentials {
                self.credentials.insert(step.id.clone(), credentials.clone());
            }
        }
        if !answer.evidence.chain.is_empty() {
            self.seen.chains.insert(step.id.clone(), answer.evidence.chain.clone());
        }
    }

    /// Returns the time at which a step ended. Returns `None` if the step has not run.
    pub(super) fn ended(&self, step: &str) -> Option<OffsetDateTime> {
        self.ended.get(step).copied()
    }

    /// The temporary credentials that an `sts` step received.
    pub(super) fn credentials(&self, step: &str) -> Option<&TemporaryCredentials> {
        self.credentials.get(step)
    }

    /// The token that an `sts` or `jwt` step used.
    pub(super) fn token(&self, step: &str) -> Option<&Secret> {
        self.tokens.get(step)
    }

    /// Begins a round. From now on, captured values belong to this round.
    pub(super) fn begin_round(&mut self, number: u32) {
        self.round = Some(number);
        self.before.clone_from(&self.collected);
    }

    /// Discards the values that the current round captured, because the round is void.
    pub(super) fn void_round(&mut self) {
        self.collected.clone_from(&self.before);
    }

    /// The number of void rounds in the repeat whose values a text refers to.
    pub(super) fn void_of(&self, text: &Template) -> u32 {
        let references = text.references().unwrap_or_default();
        references.iter().find_map(|it| self.void.get(&it.name)).copied().unwrap_or(0)
    }

    /// Ends the rounds. From now on, a captured name refers to the list of the values from all rounds.
    pub(super) fn end_rounds(&mut self, void: u32) {
        self.round = None;
        for (step, values) in std::mem::take(&mut self.collected) {
            self.void.insert(step.clone(), void);
            let lists = values.into_iter().map(|(name, values)| (name, Value::Array(values)));
            self.captured.insert(step, lists.collect());
        }
    }

    /// The value of a reference to a step, the round or the variant's nonce.
    pub(super) fn value(&self, reference: &Reference) -> Result<String, String> {
        let value = match &reference.field {
            Some(_) if reference.name == VARIANT => Some(self.nonce.clone()),
            None if reference.name == ROUND => self.round.map(|number| number.to_string()),
            None => self.yielded.get(&reference.name).cloned(),
            Some(field) => self.captured.get(&reference.name).and_then(|all| all.get(field)).map(shown),
        };
        value.ok_or_else(|| format!("step `{}` left no value for `{}`", reference.name, reference.path()))
    }
}

/// A captured value as it is inserted into a text: a string without quotes, everything else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A scene and the results so far: everything that `{{ }}` can refer to.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) results: &'a Results,
}

impl Words<'_> {
    /// A copy of `it` in which the references in all texts are replaced.
    pub(super) fn fill<T: Parts>(&self, it: &T) -> Result<T, String> {
        it.filled(&|reference| self.scene.value(reference, self.results))
    }

    /// The target of a step, with the references in its text replaced.
    pub(super) fn target<T: Target>(&self, it: &Aimed<T>) -> Result<T, String> {
        it.target(&|reference| self.scene.value(reference, self.results))
    }

    /// The question of a step, with the references in all its texts replaced.
    pub(super) fn question(&self, step: &dyn Asks, asking: &dyn Asking) -> Result<Probe, String> {
        step.question(&|reference| self.scene.value(reference, self.results), asking)
    }

    /// The expectation with the references in all its texts replaced.
    pub(super) fn expect(&self, expect: &WrittenExpect) -> Result<Expect, String> {
        expect.filled(&|reference| self.scene.value(reference, self.results))
    }
}
