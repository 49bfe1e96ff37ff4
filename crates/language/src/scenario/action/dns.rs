//! `dns`: resolves a name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Resolve a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsStep {
    /// The host name.
    pub name: Template,
}

parts!(DnsStep { name });

impl Kinded for DnsStep {
    const NATURE: Nature = Nature::probe(&["dns", "mismatch"]);
}

impl Rules for DnsStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Name]
    }
}
