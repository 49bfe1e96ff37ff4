//! Creates the token that a step declares, or takes the token of an earlier step.

use parallax_vocab::Secret;
use time::OffsetDateTime;

use super::error::RunError;
use super::step::Attempt;
use crate::tokens::{self, Claims, Key, Wanted};
use parallax_language::fixture::Export;
use parallax_language::scenario::model::{STS_AUDIENCE, Signer, TokenOf, TokenSpec};

/// The lifetime of a token in seconds, if the step does not set one.
const LIFETIME_S: i64 = 3600;
/// The age in seconds of a newly signed token: its claim `iat` is this much earlier than the current time. So no server
/// considers the token as issued in the future. A few seconds are enough, because containers use the machine's clock.
/// Only the rounding to whole seconds may differ.
const AGE_S: i64 = 5;

/// The token that the step presents, if the step declares one. Each try gets a new token, because the times in a token
/// are relative to the moment of its creation.
pub(super) async fn of_step(
    it: &Attempt<'_>,
    spec: Option<&TokenSpec>,
    token_of: Option<&TokenOf>,
) -> Result<Option<Secret>, RunError> {
    if let Some(other) = token_of {
        let token = it.results.token(other).cloned();
        return token.map(Some).ok_or_else(|| it.wrong(format!("step `{other}` was given no token")));
    }
    let Some(spec) = spec else { return Ok(None) };
    let token = make(it, &it.fill(spec)?).await?;
    it.stage.context.redactor.register(&token);
    Ok(Some(token))
}

async fn make(it: &Attempt<'_>, spec: &TokenSpec) -> Result<Secret, RunError> {
    let stage = it.stage;
    let audience = spec.audience.as_deref().unwrap_or(STS_AUDIENCE).to_owned();
    let account = spec.service_account.to_string();
    let namespace = stage.scene.plan.namespace.clone();
    let expires_s = spec.expires.map_or(LIFETIME_S, parallax_language::scenario::Span::as_seconds);
    let made;
    let key = match (&spec.issuer, spec.signer.unwrap_or_default()) {
        (Some(issuer), _) => {
            let key = stage.scene.environment.signing_keys.get(issuer);
            key.ok_or_else(|| it.wrong(format!("`{issuer}` has no signing key")))?
        }
        (None, Signer::Apiserver) => {
            let client = stage.applier.client().clone();
            let (namespace, account, audience, pod) = (&namespace, &account, &audience, spec.pod.as_deref());
            return Ok(tokens::request(client, &Wanted { namespace, account, audience, expires_s, pod }).await?);
        }
        (None, Signer::Cluster) => {
            let key = stage.scene.cluster.own("read the key that signs its tokens")?.token_key().await?;
            stage.context.redactor.register(&key);
            made = Key::rsa(key)?;
            &made
        }
        (None, Signer::Foreign) => {
            made = Key::foreign()?;
            &made
        }
        (None, Signer::SharedSecret) => {
            made = Key::Shared { secret: spec.secret.as_deref().unwrap_or_default().to_owned(), id: audience.clone() };
            &made
        }
    };
    let exported = spec.issuer.as_ref().and_then(|id| stage.scene.plan.fixtures.get(id)?.exports.get("issuer"));
    let issuer = match exported {
        Some(Export::Value(issuer)) => issuer.clone(),
        _ => stage.scene.cluster.issuer.clone(),
    };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    // The scenario may declare a token that has already expired. The time of issue of an expired token must be before
    // its time of expiry.
    let issued_at = (now - AGE_S).min(now + expires_s - LIFETIME_S.min(60));
    let claims = Claims { issuer, namespace, account, audience, issued_at, expires_at: now + expires_s };
    Ok(key.sign(&claims)?)
}
