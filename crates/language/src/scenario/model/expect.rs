//! The expectations of a step: the values of its matchers. They exist in two forms, as they are written, and with their
//! references replaced.

use indexmap::IndexMap;
use parallax_vocab::answer::Signature;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChainOf, Expect};
use crate::scenario::duration::Span;
use crate::scenario::parts::{Parts, no_parts};
use crate::scenario::template::{Template, Tree, Words};

/// A bound of a span of time, with a lower limit, an upper limit or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpanBound {
    /// The span must be shorter than this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Span>,
    /// The span must be at least as long as this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Span>,
}

/// A bound of a number, with a lower limit, an upper limit or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NumberBound {
    /// The number must be less than this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// The number must not be less than this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

no_parts!(SpanBound, NumberBound);

/// An expectation as it is written in a scenario. Its texts can contain references.
pub type WrittenExpect = Expect<Template, Tree, ChainOf>;

/// The value of a matcher as a scenario writes it.
pub(super) trait Written: Parts {
    /// The type of the value after every reference in it is replaced.
    type Filled;

    /// Returns the value with every reference replaced. `words` looks up the value of a reference.
    fn fill(&self, words: &Words<'_>) -> Result<Self::Filled, String>;
}

/// Implements `Written` for types that cannot contain references.
macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(impl Written for $type {
            type Filled = Self;

            fn fill(&self, _: &Words<'_>) -> Result<Self, String> {
                Ok(*self)
            }
        })*
    };
}

plain!(bool, u16, u64, usize, i32, ConnectFault, DnsFault, TlsFault, Signature, SpanBound, NumberBound);

impl Written for Template {
    type Filled = String;

    fn fill(&self, words: &Words<'_>) -> Result<String, String> {
        Ok(self.filled(words)?.to_string())
    }
}

impl Written for Tree {
    type Filled = Value;

    fn fill(&self, words: &Words<'_>) -> Result<Value, String> {
        Ok(self.filled(words)?.value().clone())
    }
}

impl Written for ChainOf {
    type Filled = String;

    fn fill(&self, _: &Words<'_>) -> Result<String, String> {
        Ok(self.to_string())
    }
}

impl<T: Written> Written for Vec<T> {
    type Filled = Vec<T::Filled>;

    fn fill(&self, words: &Words<'_>) -> Result<Self::Filled, String> {
        self.iter().map(|it| it.fill(words)).collect()
    }
}

impl<T: Written> Written for IndexMap<String, T> {
    type Filled = IndexMap<String, T::Filled>;

    fn fill(&self, words: &Words<'_>) -> Result<Self::Filled, String> {
        self.iter().map(|(name, it)| Ok((name.clone(), it.fill(words)?))).collect()
    }
}
