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

/// The results of earlier steps to which later steps can refer.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    /// The value of `{{ variant.nonce }}`.
    nonce: String,
    /// The value of `{{ STEP }}`, by the id of the step.
    yielded: BTreeMap<String, String>,
    /// The value of `{{ STEP.NAME }}`, by the id of the step and the name in its `capture`.
    captured: BTreeMap<String, BTreeMap<String, Value>>,
    /// The time at which each step ended, by the id of the step.
    ended: BTreeMap<String, OffsetDateTime>,
    /// The temporary credentials that `as: STEP` uses, by the id of the `sts` step that received them.
    credentials: BTreeMap<String, TemporaryCredentials>,
    /// The web identity tokens that earlier steps used, by the id of the step.
    tokens: BTreeMap<String, Secret>,
    /// The URLs and forms that steps signed, each with its question, by the id of the step.
    pub(super) presigned: Presigned,
    /// The values that the rounds of the current `repeat` have captured, by the id of the step and the name in its
    /// `capture`.
    collected: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// The values that the rounds of the current `repeat` had captured before the current round. If the current round
    /// is void, these values replace the newer ones.
    before: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// The number of void rounds of each finished `repeat`. The key is the id of a step inside the `repeat` that
    /// captured values, so a `repeat` may have several keys.
    void: BTreeMap<String, u32>,
    /// The value of `{{ round }}`: the number of the current round. `None` outside a repeat.
    round: Option<u32>,
    /// The certificate chains that earlier steps saw. Matchers compare later answers with these chains.
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

    /// The time at which a step ended. `None` if the step has not run.
    pub(super) fn ended(&self, step: &str) -> Option<OffsetDateTime> {
        self.ended.get(step).copied()
    }

    /// The temporary credentials that the `sts` step with this id received.
    pub(super) fn credentials(&self, step: &str) -> Option<&TemporaryCredentials> {
        self.credentials.get(step)
    }

    /// The token that the `sts` or `jwt` step with this id used.
    pub(super) fn token(&self, step: &str) -> Option<&Secret> {
        self.tokens.get(step)
    }

    /// Begins the round `number` of a `repeat`. From now on, captured values belong to this round.
    pub(super) fn begin_round(&mut self, number: u32) {
        self.round = Some(number);
        self.before.clone_from(&self.collected);
    }

    /// Discards the values that the current round captured, because the round is void.
    pub(super) fn void_round(&mut self) {
        self.collected.clone_from(&self.before);
    }

    /// The number of void rounds in the `repeat` whose captured values `text` uses. 0 if `text` uses no such values.
    pub(super) fn void_of(&self, text: &Template) -> u32 {
        let references = text.references().unwrap_or_default();
        references.iter().find_map(|it| self.void.get(&it.name)).copied().unwrap_or(0)
    }

    /// Ends the rounds of a `repeat` that had `void` void rounds. A step inside the `repeat` may have captured a value
    /// under a name in each round. From now on, this name refers to the list of these values.
    pub(super) fn end_rounds(&mut self, void: u32) {
        self.round = None;
        for (step, values) in std::mem::take(&mut self.collected) {
            self.void.insert(step.clone(), void);
            let lists = values.into_iter().map(|(name, values)| (name, Value::Array(values)));
            self.captured.insert(step, lists.collect());
        }
    }

    /// The value of a reference to a step's result, to the number of the round, or to the variant's nonce. The error
    /// says why there is no value.
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

/// The text that replaces a reference to a captured value: a string without quotes, everything else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Everything to which `{{ }}` can refer: the exports of the scene's fixtures, and the results of earlier steps.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) results: &'a Results,
}

impl Words<'_> {
    /// A copy of `it` in which the references (`{{ }}`) in all texts are replaced by values.
    pub(super) fn fill<T: Parts>(&self, it: &T) -> Result<T, String> {
        it.filled(&|reference| self.scene.value(reference, self.results))
    }

    /// The target of a step, such as the object of a `log` step, with the references in its text replaced by values.
    pub(super) fn target<T: Target>(&self, it: &Aimed<T>) -> Result<T, String> {
        it.target(&|reference| self.scene.value(reference, self.results))
    }

    /// The question of a step, with the references in all texts of the question replaced by values.
    pub(super) fn question(&self, step: &dyn Asks, asking: &dyn Asking) -> Result<Probe, String> {
        step.question(&|reference| self.scene.value(reference, self.results), asking)
    }

    /// The expectation of a step, with the references in all texts of the expectation replaced by values.
    pub(super) fn expect(&self, expect: &WrittenExpect) -> Result<Expect, String> {
        expect.filled(&|reference| self.scene.value(reference, self.results))
    }
}
