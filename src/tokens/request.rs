//! Requests tokens of ServiceAccounts from the apiserver.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use parallax_vocab::Secret;

use super::TokenError;

/// The properties of the token that is requested.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The namespace of the ServiceAccount.
    pub namespace: &'a str,
    /// The name of the ServiceAccount.
    pub account: &'a str,
    /// The audience for which the token is valid.
    pub audience: &'a str,
    /// How long the token is valid from now on, in seconds.
    pub expires_s: i64,
    /// The pod to which the token is bound, as in tokens that the kubelet mounts into pods. `None` if the token is
    /// bound only to the ServiceAccount.
    pub pod: Option<&'a str>,
}

/// Requests a token of a ServiceAccount from the apiserver.
pub async fn request(client: Client, it: &Wanted<'_>) -> Result<Secret, TokenError> {
    let Wanted { namespace, account, audience, expires_s, pod } = *it;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let bound = pod.map(|name| BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name.to_owned()),
        uid: None,
    });
    let spec = TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        expiration_seconds: Some(expires_s),
        bound_object_ref: bound,
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
