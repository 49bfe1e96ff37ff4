//! What a flow keeps of its steps for those that come later, and how it fills in `{{ }}`.

use std::collections::BTreeMap;

use parallax_vocab::Secret;
use parallax_vocab::answer::{Reply, StsReply, TemporaryCredentials};
use parallax_vocab::question::{JwtQuestion, Probe, StsQuestion, TokenSource};
use serde_json::Value;
use time::OffsetDateTime;

use super::scene::Scene;
use super::signature::Presigned;
use super::step::Tried;
use parallax_judge::Seen;
use parallax_language::scenario::model::{Expect, ROUND, Step, WrittenExpect};
use parallax_language::scenario::parts::Parts;
use parallax_language::scenario::template::{Reference, Template, VARIANT};

/// What later steps refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// What `{{ variant.nonce }}` stands for.
    nonce: String,
    /// What `{{ step }}` stands for.
    yielded: BTreeMap<String, String>,
    /// What `{{ step.name }}` stands for.
    captured: BTreeMap<String, BTreeMap<String, Value>>,
    /// When each step ended.
    ended: BTreeMap<String, OffsetDateTime>,
    /// What `as: STEP` asks with.
    credentials: BTreeMap<String, TemporaryCredentials>,
    /// The tokens that steps were given.
    tokens: BTreeMap<String, Secret>,
    /// URLs that were signed, each with how.
    pub(super) presigned: Presigned,
    /// What the rounds of the repeat under way captured, by step and name.
    collected: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// The same before the round under way, for one that turns out void.
    before: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// How many rounds of the repeat that a step is in were void.
    void: BTreeMap<String, u32>,
    /// What `{{ round }}` stands for.
    round: Option<u32>,
    /// What matchers compare with.
    pub(super) seen: Seen,
}

impl Kept {
    /// Nothing yet, but the variant's own word.
    pub(super) fn of(nonce: String) -> Self {
        Self { nonce, ..Self::default() }
    }

    /// Keeps what later steps refer to.
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
        if let Some(
            Probe::Sts(StsQuestion { token: TokenSource::Value(token), .. })
            | Probe::Jwt(JwtQuestion { token: TokenSource::Value(token), .. }),
        ) = tried.question.as_ref().map(|it| &it.probe)
        {
            self.tokens.insert(step.id.clone(), token.clone());
        }
        let Some(answer) = &tried.answer else { return };
        if let Ok(Reply::Presign(presign)) = &answer.outcome {
            self.yielded.insert(step.id.clone(), presign.url.clone());
            if let Some(Probe::Presign(question)) = tried.question.as_ref().map(|it| &it.probe) {
                self.presigned.insert(step.id.clone(), (question.clone(), presign.clone()));
            }
        }
        if let Ok(Reply::Sts(StsReply { credentials: Some(credentials), .. })) = &answer.outcome {
            self.credentials.insert(step.id.clone(), credentials.clone());
        }
        if !answer.evidence.chain.is_empty() {
            self.seen.chains.insert(step.id.clone(), answer.evidence.chain.clone());
        }
    }

    /// When a step ended; none where it has not run.
    pub(super) fn ended(&self, step: &str) -> Option<OffsetDateTime> {
        self.ended.get(step).copied()
    }

    /// The credentials that an `sts` step gained.
    pub(super) fn credentials(&self, step: &str) -> Option<&TemporaryCredentials> {
        self.credentials.get(step)
    }

    /// The token that an `sts` or `jwt` step was given.
    pub(super) fn token(&self, step: &str) -> Option<&Secret> {
        self.tokens.get(step)
    }

    /// From now on steps are those of this round.
    pub(super) fn begin_round(&mut self, number: u32) {
        self.round = Some(number);
        self.before.clone_from(&self.collected);
    }

    /// The round does not count: what it captured is forgotten.
    pub(super) fn void_round(&mut self) {
        self.collected.clone_from(&self.before);
    }

    /// How many rounds were void of the repeat whose values a text refers to.
    pub(super) fn void_of(&self, text: &Template) -> u32 {
        let references = text.references().unwrap_or_default();
        references.iter().find_map(|it| self.void.get(&it.name)).copied().unwrap_or(0)
    }

    /// The rounds are over: what they captured is from now on the list of all.
    pub(super) fn end_rounds(&mut self, void: u32) {
        self.round = None;
        for (step, values) in std::mem::take(&mut self.collected) {
            self.void.insert(step.clone(), void);
            let lists = values.into_iter().map(|(name, values)| (name, Value::Array(values)));
            self.captured.insert(step, lists.collect());
        }
    }

    /// What a reference to a step stands for.
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

/// A captured value within a text: a text as it is, everything else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A scene with what was kept so far: everything that `{{ }}` can stand for.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) kept: &'a Kept,
}

impl Words<'_> {
    /// The same with the references in all its texts replaced.
    pub(super) fn fill<T: Parts>(&self, it: &T) -> Result<T, String> {
        it.filled(&|reference| self.scene.value(reference, self.kept))
    }

    /// What must hold, with the references in all its texts replaced.
    pub(super) fn expect(&self, expect: &WrittenExpect) -> Result<Expect, String> {
        expect.filled(&|reference| self.scene.value(reference, self.kept))
    }
}
