//! What a flow keeps of its steps for those that come later, and how it fills in `{{ }}`.

use std::collections::BTreeMap;

use parallax_vocab::answer::Reply;
use serde_json::Value;

use super::scene::Scene;
use super::step::Tried;
use crate::judge::Seen;
use crate::scenario::model::{Expect, Step};
use crate::scenario::template::Reference;

/// What later steps refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// What `{{ step }}` stands for.
    yielded: BTreeMap<String, String>,
    /// What matchers compare with.
    pub(super) seen: Seen,
}

impl Kept {
    /// Keeps what later steps refer to.
    pub(super) fn keep(&mut self, step: &Step, tried: &Tried) {
        let Some(answer) = &tried.answer else { return };
        if let Some(Reply::Presign(presign)) = &answer.reply {
            self.yielded.insert(step.id.clone(), presign.url.clone());
        }
        if !answer.evidence.chain.is_empty() {
            self.seen.chains.insert(step.id.clone(), answer.evidence.chain.clone());
        }
    }

    /// What a reference to a step stands for.
    pub(super) fn value(&self, reference: &Reference) -> Result<String, String> {
        let value = self.yielded.get(&reference.name).cloned();
        value.ok_or_else(|| format!("step `{}` yielded no value", reference.name))
    }
}

/// A scene with what was kept so far: everything that `{{ }}` can stand for.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) kept: &'a Kept,
}

impl Words<'_> {
    /// A text with its references replaced.
    pub(super) fn text(&self, text: &str) -> Result<String, String> {
        self.scene.render(text, self.kept)
    }

    /// A value with the references in all its texts replaced.
    pub(super) fn value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text)?),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| Ok((key.clone(), self.value(value)?)));
                Value::Object(fields.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// An expectation with the references in all its texts replaced.
    pub(super) fn expect(&self, expect: &Expect) -> Result<Expect, String> {
        let value = serde_json::to_value(expect).map_err(|error| error.to_string())?;
        serde_json::from_value(self.value(&value)?).map_err(|error| error.to_string())
    }
}
