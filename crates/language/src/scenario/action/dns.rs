//! `dns`: resolves a host name.

use parallax_vocab::Probe;
use parallax_vocab::question::DnsQuestion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::nature::AT_ONCE_MS;
use super::{Asks, Kinded, Nature, Rules, Special};
use crate::scenario::model::Source;
use crate::scenario::parts::{Parts as _, parts};
use crate::scenario::template::{Template, Words};

/// Resolve a host name with the resolver of the vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsStep {
    /// The host name to resolve.
    pub name: Template,
}

parts!(DnsStep { name });

impl Kinded for DnsStep {
    const NATURE: Nature = Nature::probe(&["dns", "mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Asks for DnsStep {
    fn question(&self, words: &Words<'_>, _: &dyn Asking) -> Result<Probe, String> {
        let Self { name } = self.filled(words)?;
        Ok(Probe::Dns(DnsQuestion { name: name.to_string() }))
    }

    fn special(&self) -> Special<'_> {
        Special { store: None, token: None, token_of: None, presents: None, signs: None, program: None, runs: None }
    }
}

impl Rules for DnsStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Name]
    }
}
