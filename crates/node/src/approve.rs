//! Approves the certificate requests of agent nodes. An agent node uses the cluster's token to request certificates
//! for its kubelet and its kube-proxy (`certificates.k8s.io`). The server node approves the allowed requests, and the
//! controller-manager signs the certificates.
//!
//! In k3s, the apiserver has no part in this: another HTTPS server in the k3s process issues these certificates. This
//! node uses the apiserver instead, as clusters from kubeadm or kops do.

use futures::StreamExt as _;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use rcgen::{CertificateSigningRequestParams, DnType, DnValue};
use serde_json::{Value, json};

use crate::say::say;

/// The user name that the apiserver gives to a client that presents the cluster's token.
pub(crate) const USER: &str = "k3s-agent";
/// The group that the apiserver gives to a client that presents the cluster's token. Upstream Kubernetes uses the same
/// group for the tokens with which nodes join.
pub(crate) const GROUP: &str = "system:bootstrappers";
/// The user name of kube-proxy.
pub(crate) const PROXY_USER: &str = "system:kube-proxy";
/// The name of the Kubernetes signer for all client certificates except those of kubelets.
pub(crate) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

const KUBELET_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
const NODE_PREFIX: &str = "system:node:";
const NODES: &str = "system:nodes";

/// The RBAC objects that allow a client with the cluster's token to request certificates.
pub(crate) fn rights() -> Vec<Value> {
    vec![json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "parallax-node-agents" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP }],
    })]
}

/// Approves certificate requests as long as the node runs.
pub(crate) async fn run(client: Client) {
    let requests: Api<CertificateSigningRequest> = Api::all(client);
    let seen = watcher(requests.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let mut seen = Box::pin(seen);
    while let Some(request) = seen.next().await {
        // After an error, the watch of the certificate requests starts again automatically.
        let Ok(request) = request else { continue };
        if request.status.as_ref().is_some_and(|it| it.conditions.is_some()) || !may_have(&request.spec) {
            continue;
        }
        let name = request.name_any();
        let condition =
            json!({ "type": "Approved", "status": "True", "reason": "Token", "message": "it joins by token" });
        let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
        if let Err(error) = requests.patch_approval(&name, &PatchParams::default(), &patch).await {
            say(format!("the certificate request {name} cannot be approved: {error}"));
        }
    }
}

/// Whether the author of a request may get the certificate. With the cluster's token, a client may get client
/// certificates for a kubelet and for kube-proxy. A kubelet may get only its own serving certificate.
fn may_have(spec: &CertificateSigningRequestSpec) -> bool {
    let Some((name, organisation)) = subject(&spec.request.0) else { return false };
    let by_token = spec.groups.iter().flatten().any(|group| group == GROUP);
    let is_node = name.starts_with(NODE_PREFIX) && organisation.as_deref() == Some(NODES);
    match spec.signer_name.as_str() {
        KUBELET_SIGNER => by_token && is_node,
        CLIENT_SIGNER => by_token && name == PROXY_USER && organisation.is_none(),
        SERVING_SIGNER => is_node && spec.username.as_deref() == Some(name.as_str()),
        _ => false,
    }
}

/// The common name and the organisation in a certificate request. `None` if the request cannot be parsed.
fn subject(pem: &[u8]) -> Option<(String, Option<String>)> {
    let request = CertificateSigningRequestParams::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    let subject = &request.params.distinguished_name;
    let text = |kind: &DnType| match subject.get(kind)? {
        DnValue::Utf8String(text) => Some(text.clone()),
        DnValue::PrintableString(text) => Some(text.as_str().to_owned()),
        _ => None,
    };
    Some((text(&DnType::CommonName)?, text(&DnType::OrganizationName)))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn request(name: &str, organisation: Option<&str>) -> ByteString {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(organisation) = organisation {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        let key = KeyPair::generate().expect("a key");
        ByteString(params.serialize_request(&key).expect("a request").pem().expect("PEM").into_bytes())
    }

    #[test]
    fn nobody_gets_more_than_an_agent_needs() {
        let (token, node) = ((USER, GROUP), ("system:node:far", NODES));
        for (signer, (user, group), name, organisation, expected) in [
            (KUBELET_SIGNER, token, "system:node:far", Some(NODES), true),
            (KUBELET_SIGNER, token, "system:node:far", None, false),
            (KUBELET_SIGNER, token, "system:admin", Some("system:masters"), false),
            (KUBELET_SIGNER, node, "system:node:other", Some(NODES), false),
            (CLIENT_SIGNER, token, PROXY_USER, None, true),
            (CLIENT_SIGNER, token, PROXY_USER, Some("system:masters"), false),
            (CLIENT_SIGNER, token, "system:admin", None, false),
            (CLIENT_SIGNER, node, PROXY_USER, None, false),
            (SERVING_SIGNER, node, "system:node:far", Some(NODES), true),
            (SERVING_SIGNER, node, "system:node:other", Some(NODES), false),
            (SERVING_SIGNER, token, "system:node:far", Some(NODES), false),
            ("example.com/other", token, PROXY_USER, None, false),
        ] {
            let spec = CertificateSigningRequestSpec {
                request: request(name, organisation),
                signer_name: signer.to_owned(),
                username: Some(user.to_owned()),
                groups: Some(vec![group.to_owned()]),
                ..CertificateSigningRequestSpec::default()
            };
            assert_eq!(may_have(&spec), expected, "{signer} for {user}: {name} {organisation:?}");
        }
        assert_eq!(subject(b"no request"), None);
    }
}
