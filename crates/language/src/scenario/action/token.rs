//! The tokens that the harness creates for the steps `sts` and `jwt`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{PodVantage, TokenOf};
use crate::scenario::parts::{no_parts, parts};
use crate::scenario::template::Template;

/// The default audience of the AWS SDKs and of the AWS pod identity webhook.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";

/// A token for the step. The apiserver issues the token (TokenRequest), or the harness signs it. The harness can sign
/// tokens because it owns the cluster and the cluster's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenSpec {
    /// The name of the ServiceAccount that the token identifies. The ServiceAccount is in the variant's namespace.
    pub service_account: Template,
    /// The audience of the token. The default is `sts.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Template>,
    /// When the token expires, relative to now: `10m`. The default is an hour. A time in the past (`-1h`) needs a
    /// `signer` other than the apiserver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// The party that signs the token. The default is the apiserver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// The secret with which `signer: shared-secret` signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Template>,
    /// The id of a fixture with a signing key. The token is signed with that key and has the fixture's issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The name of the pod to which the apiserver binds the token. The kubelet's projected tokens are bound in the same
    /// way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Template>,
}

/// The party that signs a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signer {
    /// The apiserver signs the token, after a TokenRequest.
    #[default]
    Apiserver,
    /// The harness signs the token with the cluster's own key. Use it for a token that the apiserver would not issue,
    /// such as an expired one.
    Cluster,
    /// The harness signs the token with a key that no cluster has. A verifier must refuse the token.
    Foreign,
    /// The harness signs the token with an HMAC of `secret` instead of a private key, and writes the audience as the
    /// key id (`kid`). MinIO accepts a token that is signed with its client secret.
    SharedSecret,
}

no_parts!(Signer);
parts!(TokenSpec { service_account, audience, expires, signer, secret, issuer, pod });

/// Checks the token of a step. The token is projected into the pod, comes from an earlier step, or is created by the
/// harness. `action` is the key of the step's kind.
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
        if let Some((id, spec)) = judge.place().filter(|(_, spec)| !spec.pod.as_ref().is_some_and(projected)) {
            let message = format!("vantage `{id}` has no projected token");
            let to_the_step = format!("a token to the step, `{action}: {{ token: {{ service-account: app }} }}`");
            let fix = match spec.attach {
                // An `attach` vantage is an application's own pod. The harness does not know the path of a token in
                // this pod, so the fix does not suggest a ServiceAccount.
                Some(_) => format!("add {to_the_step}"),
                None => {
                    format!("add a ServiceAccount to the vantage, `pod: {{ service-account: app }}`, or {to_the_step}")
                }
            };
            errors.push(judge.key_error(&format!("/{action}"), message).fix(fix));
        }
        return;
    };
    let signer = token.signer.unwrap_or_default();
    if let Some(issuer) = &token.issuer {
        check_issuer(action, issuer, judge, errors);
        if token.signer.is_some() {
            let message = "`issuer` and `signer` both say who signs".to_owned();
            errors.push(judge.key_error(&format!("/{action}/token/signer"), message).fix("keep one of the two"));
        }
    }
    let by_apiserver = signer == Signer::Apiserver && token.issuer.is_none();
    if token.pod.is_some() && !by_apiserver {
        let message = "only the apiserver can bind a token to a pod".to_owned();
        errors.push(
            judge
                .key_error(&format!("/{action}/token/pod"), message)
                .fix("remove `signer` and `issuer`, or remove `pod`"),
        );
    }
    let shortest_s = if by_apiserver { 600 } else { i64::MIN };
    if token.expires.is_some_and(|it| it.as_seconds() < shortest_s) {
        let message = "the apiserver issues no token that is valid for less than ten minutes".to_owned();
        let error = judge.error(&format!("/{action}/token/expires"), message);
        errors.push(error.fix("write 10m or more, or let the harness sign it: `signer: cluster`"));
    }
    if (signer == Signer::SharedSecret) != token.secret.is_some() {
        let message = "`secret` and `signer: shared-secret` need each other".to_owned();
        errors.push(judge.key_error(&format!("/{action}/token"), message).fix("add the missing one, or remove both"));
    }
}

/// Checks that the issuer is a fixture with a signing key.
fn check_issuer(action: &str, issuer: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    let (fixtures, library) = (&judge.subject.scenario.fixtures, judge.subject.library);
    let signs = |name: &str| library.get(name).is_none_or(|it| it.file.signing_key);
    if fixtures.get(issuer).is_some_and(|used| signs(&used.fixture)) {
        return;
    }
    let known = fixtures.iter().filter(|(_, used)| signs(&used.fixture)).map(|(id, _)| id.as_str());
    let error = judge.error(&format!("/{action}/token/issuer"), format!("`{issuer}` has no signing key"));
    errors.push(error.fix(suggest(issuer, known, "fixtures with a signing key")));
}
