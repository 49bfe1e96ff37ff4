//! `sts`: exchanging a token for credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::token::{self, TokenSpec};
use super::{Implied, Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{Source, TokenOf};
use crate::scenario::parts::{Leaves, parts};
use crate::scenario::template::Template;

/// Exchange a token for credentials (`AssumeRoleWithWebIdentity`); later steps use them by `as: STEP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StsStep {
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// ARN of the role to take on, for example `{{ oidc.role-arn }}`.
    pub role: Template,
    /// The token; left out, the one that the kubelet projects into the vantage's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
    /// The token that this earlier `jwt` or `sts` step was given, however old it is by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<TokenOf>,
    /// `DurationSeconds`; left out, the credentials live as long as the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Ask this `https://host[:port]` instead of the store's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Template>,
}

parts!(StsStep { store, role, token, token_of, duration, endpoint });

impl Kinded for StsStep {
    const NATURE: Nature =
        Nature { asserts: true, ..Nature::probe(&["dns", "connect", "tls", "status", "sts", "mismatch", "client"]) };
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
        // The token of a pod stays in the pod.
        let given = self.token.is_some() || self.token_of.is_some();
        if given { &[Leaves::Credentials, Leaves::Token] } else { &[Leaves::Credentials] }
    }

    fn token(&self) -> Option<&TokenSpec> {
        self.token.as_ref()
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.store("sts", self.store.as_deref(), errors);
        if self.endpoint.as_ref().is_some_and(|it| !it.starts_with("https://") && !it.is_open()) {
            let error = judge.error("/sts/endpoint", "a token is sent by `https` only".to_owned());
            errors.push(error.fix("write `https://host[:port]`"));
        }
        token::check("sts", self.token.as_ref(), self.token_of.as_ref(), judge, errors);
    }
}
