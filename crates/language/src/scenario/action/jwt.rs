//! `jwt`: decodes a web identity token and checks its signature.

use parallax_vocab::Probe;
use parallax_vocab::question::JwtQuestion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, token_source};
use super::nature::AT_ONCE_MS;
use super::token::{self, TokenSpec};
use super::{Asks, Kinded, Nature, Rules, Special};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{Source, TokenOf};
use crate::scenario::parts::{Leaves, Parts as _, parts};
use crate::scenario::template::{Template, Words};

/// Decode a web identity token (JWT), and check its signature against the keys that its issuer publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JwtStep {
    /// The token to create and check. Without this key, the step uses the token that the kubelet projects into the
    /// vantage's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
    /// Use the token of an earlier `jwt` or `sts` step, even if the token has expired since. Give the id of that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<TokenOf>,
    /// Ask the issuer at this address, `https://host[:port]`, instead of the address in the token's `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Template>,
}

parts!(JwtStep { token, token_of, issuer });

impl Kinded for JwtStep {
    const NATURE: Nature = Nature::probe(&["dns", "connect", "tls", "status", "mismatch", "client"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Asks for JwtStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        let Self { token: _, token_of: _, issuer } = self.filled(words)?;
        let issuer = issuer.as_ref().map(ToString::to_string);
        Ok(Probe::Jwt(JwtQuestion { token: token_source(asking), issuer }))
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: None,
            token: self.token.as_ref(),
            token_of: self.token_of.as_ref(),
            presents: None,
            signs: None,
            program: None,
            runs: None,
        }
    }
}

impl Rules for JwtStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Token]
    }

    fn leaves(&self) -> &'static [Leaves] {
        // A token that is projected into a pod does not leave the pod, so later steps cannot use it.
        if self.token.is_some() || self.token_of.is_some() { &[Leaves::Token] } else { &[] }
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        token::check("jwt", self.token.as_ref(), self.token_of.as_ref(), judge, errors);
    }
}
