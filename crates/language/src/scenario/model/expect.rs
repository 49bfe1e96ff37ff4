//! The expectations of a step: the values of its matchers. Each expectation exists in two forms: as the scenario writes
//! it, and with its references replaced by values.

use std::convert::Infallible;

use indexmap::IndexMap;
use parallax_vocab::answer::Signature;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChainOf, Expect};
use crate::scenario::duration::Span;
use crate::scenario::number::{Number, Numeral, Opening};
use crate::scenario::parts::{Parts, See, below, no_parts};
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    bound(serialize = "Open: Opening", deserialize = "Open: Opening")
)]
#[schemars(rename = "NumberBound")]
pub struct NumberBound<Open = Infallible> {
    /// The number must be less than this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Number<f64, Open>>,
    /// The number must not be less than this limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Number<f64, Open>>,
}

impl<Open> NumberBound<Open> {
    /// Returns the bound if its limits are known before the run. A limit that is a reference is known only during the
    /// run.
    pub fn known(&self) -> Option<NumberBound> {
        let known = |limit: &Option<Number<f64, Open>>| match limit {
            None => Some(None),
            Some(limit) => limit.known().map(|it| Some(Number::Known(it))),
        };
        Some(NumberBound { below: known(&self.below)?, at_least: known(&self.at_least)? })
    }
}

no_parts!(SpanBound);

impl Parts for NumberBound<Template> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        below(at, "below", |at| self.below.see(at, to));
        below(at, "at-least", |at| self.at_least.see(at, to));
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(Self { below: Parts::filled(&self.below, words)?, at_least: Parts::filled(&self.at_least, words)? })
    }
}

/// An expectation as it is written in a scenario. Its texts can contain references, and references can yield its
/// numbers.
pub type WrittenExpect = Expect<Template, Tree, ChainOf, Template>;

/// The value of a matcher as a scenario writes it.
pub(super) trait Written: Parts {
    /// The type of the value after its references are replaced.
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

plain!(bool, ConnectFault, DnsFault, TlsFault, Signature, SpanBound);

impl<T: Numeral> Written for Number<T, Template> {
    type Filled = Number<T>;

    fn fill(&self, words: &Words<'_>) -> Result<Number<T>, String> {
        Ok(Number::Known(self.filled(words)?.number()?))
    }
}

impl Written for NumberBound<Template> {
    type Filled = NumberBound;

    fn fill(&self, words: &Words<'_>) -> Result<NumberBound, String> {
        let fill = |it: &Option<Number<f64, Template>>| it.as_ref().map(|it| it.fill(words)).transpose();
        Ok(NumberBound { below: fill(&self.below)?, at_least: fill(&self.at_least)? })
    }
}

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
