//! Web identity: tokens, what they are exchanged for, and known holes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StepRef;
use crate::scenario::duration::Span;

/// The audience that AWS's SDKs and webhooks use.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";

/// Exchange a token for credentials (`AssumeRoleWithWebIdentity`); later steps use them by `as: STEP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StsStep {
    /// Id of the store's fixture; where the scenario has one store only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// ARN of the role to take on, for example `{{ oidc.role-arn }}`.
    pub role: String,
    /// The token; left out, the one that the kubelet projects into the vantage's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
    /// The token that this earlier `jwt` or `sts` step was given, however old it is by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<StepRef>,
    /// `DurationSeconds`; left out, the credentials live as long as the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Ask this `https://host[:port]` instead of the store's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Look at a token, and check its signature against the keys that its issuer publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JwtStep {
    /// The token; left out, the one that the kubelet projects into the vantage's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
    /// The token that this earlier `jwt` or `sts` step was given, however old it is by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_of: Option<StepRef>,
    /// Ask the issuer here, `https://host[:port]`, instead of where the token's `iss` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// A token made for the step: by the apiserver's TokenRequest, or by the harness, which owns the cluster and its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenSpec {
    /// The ServiceAccount in the variant's namespace that the token is for.
    pub service_account: String,
    /// Who it is for; `sts.amazonaws.com` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// When it ends, from now: `10m`; `-1h` is an hour ago, which only a minted token can be. An hour where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// Who signs it; the apiserver where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// The secret of `signer: shared-secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Id of a fixture that has a signing key: it signs, in the name of its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The pod that the apiserver binds it to, as the kubelet's projected tokens are bound to theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// Who signs a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signer {
    /// The apiserver, asked by TokenRequest.
    #[default]
    Apiserver,
    /// The harness, with the cluster's own key: for tokens that the apiserver would not give.
    Cluster,
    /// The harness, with a key that no cluster has.
    Foreign,
    /// Nobody with a private key: HMAC with `secret`, and the audience as key id. MinIO takes its client secret for that.
    SharedSecret,
}

/// A known hole: the step shows an attack that this build lets through. It passes while that is so, and is red from
/// the day on which a build refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vulnerable {
    /// The advisory (`CVE-…`, `GHSA-…`), or where the fault is described.
    pub advisory: String,
    /// What it means for who runs this build: one sentence.
    pub means: String,
    /// What to do instead: one sentence.
    pub instead: String,
}

/// What becomes of the session token of gained credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionToken {
    /// It is left out of the request, as by a client that knows only two keys.
    Dropped,
}
