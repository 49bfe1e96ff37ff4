//! Tokens that the apiserver gives.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use parallax_vocab::Secret;

use super::TokenError;

/// Asks for a token of a ServiceAccount.
pub async fn request(
    client: Client,
    namespace: &str,
    account: &str,
    audience: &str,
    expires_s: i64,
) -> Result<Secret, TokenError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let spec = TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        expiration_seconds: Some(expires_s),
        ..TokenRequestSpec::default()
    };
    let wanted = TokenRequest { spec, ..TokenRequest::default() };
    let given = accounts.create_token_request(account, &PostParams::default(), &wanted).await;
    let given = given.map_err(|source| TokenError::Refused {
        account: account.to_owned(),
        namespace: namespace.to_owned(),
        source: Box::new(source),
    })?;
    let token = given.status.map(|status| status.token).filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| TokenError::Empty(account.to_owned()))
}
