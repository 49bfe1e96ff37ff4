//! Tokens that are made for a step: what `sts` and `jwt` say alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{PodVantage, TokenOf};
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;

/// The audience that AWS's SDKs and webhooks use.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";

/// A token made for the step: by the apiserver's TokenRequest, or by the harness, which owns the cluster and its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenSpec {
    /// The ServiceAccount in the variant's namespace that the token is for.
    pub service_account: Template,
    /// Who it is for; `sts.amazonaws.com` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Template>,
    /// When it ends, from now: `10m`; `-1h` is an hour ago, which only a minted token can be. An hour where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// Who signs it; the apiserver where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// The secret of `signer: shared-secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Template>,
    /// Id of a fixture that has a signing key: it signs, in the name of its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The pod that the apiserver binds it to, as the kubelet's projected tokens are bound to theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Template>,
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

no_parts!(Signer);
parts!(TokenSpec { service_account, audience, expires, signer, secret, issuer, pod });

/// A token is the pod's own, that of an earlier step, or one that can be made. `action` is the key of the step's kind.
pub(super) fn check(
    action: &str,
    token: Option<&TokenSpec>,
    token_of: Option<&TokenOf>,
    judge: &Judge<'_>,
    errors: &mut Vec<Diagnostic>,
) {
    if token_of.is_some() {
        if token.is_some() {
            let message = format!("`{action}` has both `token` and `token-of`");
            errors.push(judge.key_error(&format!("/{action}/token-of"), message).fix("keep one of the two"));
        }
        return;
    }
    let Some(token) = token else {
        let projected = |pod: &PodVantage| pod.service_account.is_some();
        if let Some((id, _)) = judge.place().filter(|(_, spec)| !spec.pod.as_ref().is_some_and(projected)) {
            let message = format!("vantage `{id}` has no projected token");
            errors.push(judge.key_error(&format!("/{action}"), message).fix(format!(
                "give the vantage one, `pod: {{ service-account: app }}`, or the step: `{action}: {{ token: {{ service-account: app }} }}`"
            )));
        }
        return;
    };
    let signer = token.signer.unwrap_or_default();
    if let Some(issuer) = &token.issuer {
        check_issuer(action, issuer, judge, errors);
        if token.signer.is_some() {
            let message = "`issuer` says who signs, and so does `signer`".to_owned();
            errors.push(judge.key_error(&format!("/{action}/token/signer"), message).fix("keep one of the two"));
        }
    }
    let by_apiserver = signer == Signer::Apiserver && token.issuer.is_none();
    if token.pod.is_some() && !by_apiserver {
        let message = "only the apiserver binds a token to a pod".to_owned();
        errors.push(judge.key_error(&format!("/{action}/token/pod"), message).fix("leave out who else signs"));
    }
    let shortest_s = if by_apiserver { 600 } else { i64::MIN };
    if token.expires.is_some_and(|it| it.as_seconds() < shortest_s) {
        let message = "the apiserver gives no token that lives less than ten minutes".to_owned();
        let error = judge.error(&format!("/{action}/token/expires"), message);
        errors.push(error.fix("write 10m or more, or have the harness mint it: `signer: cluster`"));
    }
    if (signer == Signer::SharedSecret) != token.secret.is_some() {
        let message = "`secret` and `signer: shared-secret` go together".to_owned();
        errors.push(judge.key_error(&format!("/{action}/token"), message).fix("add the other, or remove both"));
    }
}

/// A fixture with a signing key.
fn check_issuer(action: &str, issuer: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    let (fixtures, library) = (&judge.subject.scenario.fixtures, judge.subject.library);
    let signs = |name: &str| library.get(name).is_none_or(|it| it.file.signing_key);
    if fixtures.get(issuer).is_some_and(|used| signs(&used.fixture)) {
        return;
    }
    let known = fixtures.iter().filter(|(_, used)| signs(&used.fixture)).map(|(id, _)| id.as_str());
    let error = judge.error(&format!("/{action}/token/issuer"), format!("`{issuer}` has no key that signs tokens"));
    errors.push(error.fix(suggest(issuer, known, "fixtures with one")));
}
