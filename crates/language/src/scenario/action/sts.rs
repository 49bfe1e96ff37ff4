//! `sts`: exchanges a token for credentials.

use parallax_vocab::Probe;
use parallax_vocab::question::StsQuestion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, token_source};
use super::nature::AT_ONCE_MS;
use super::token::{self, TokenSpec};
use super::{Asks, Implied, Kinded, Nature, Rules, Special};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{Source, TokenOf};
use crate::scenario::parts::{Leaves, Parts as _, parts};
use crate::scenario::template::{Template, Words};

/// Exchange a token for credentials (`AssumeRoleWithWebIdentity`). Later steps use the credentials with `as: STEP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StsStep {
    /// The id of the store's fixture. It can be left out if the scenario has only one store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The ARN of the role to assume, for example `{{ oidc.role-arn }}`.
    pub role: Template,
    /// The token to create and exchange. Without this key, the step uses the token that the kubelet projects into the
    /// vantage's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
    /// Use the token of an earlier `jwt` or `sts` step, even if the token has expired since. Give the id of that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<TokenOf>,
    /// How long the credentials are valid, sent as `DurationSeconds`. Without this key, they are valid as long as the
    /// token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Send the request to this `https://host[:port]` instead of the store's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Template>,
}

parts!(StsStep { store, role, token, token_of, duration, endpoint });

impl Kinded for StsStep {
    const NATURE: Nature =
        Nature { asserts: true, ..Nature::probe(&["dns", "connect", "tls", "status", "sts", "mismatch", "client"]) };
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Asks for StsStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        let Self { store, role, token: _, token_of: _, duration, endpoint } = self.filled(words)?;
        let of_store = asking.endpoint(store.as_deref())?;
        Ok(Probe::Sts(StsQuestion {
            endpoint: endpoint.map_or(of_store, |it| it.to_string()),
            role_arn: role.to_string(),
            token: token_source(asking),
            duration_s: duration.map(Span::as_seconds),
            policy: None,
        }))
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: self.store.as_deref(),
            token: self.token.as_ref(),
            token_of: self.token_of.as_ref(),
            presents: None,
            signs: None,
            program: None,
            runs: None,
        }
    }
}

impl Rules for StsStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::TokenService]
    }

    fn needs_expect(&self) -> bool {
        false
    }

    fn implied(&self) -> Implied {
        Implied::Success
    }

    fn leaves(&self) -> &'static [Leaves] {
        // A token that is projected into a pod does not leave the pod, so later steps cannot use it.
        let given = self.token.is_some() || self.token_of.is_some();
        if given { &[Leaves::Credentials, Leaves::Token] } else { &[Leaves::Credentials] }
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.store("sts", self.store.as_deref(), errors);
        if self.endpoint.as_ref().is_some_and(|it| !it.starts_with("https://") && !it.is_open()) {
            let error = judge.error("/sts/endpoint", "a token is only sent over `https`".to_owned());
            errors.push(error.fix("write `https://host[:port]`"));
        }
        token::check("sts", self.token.as_ref(), self.token_of.as_ref(), judge, errors);
    }
}
