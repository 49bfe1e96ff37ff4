//! The objects that the harness itself adds to an environment. This module also replaces, in all manifests, the names
//! of images by image references, and the ids of authorities by certificates.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parallax_vocab::Secret;
use serde_json::{Value, json};

use crate::certs::{Bundle, Issuer, Leaf};
use crate::cluster::AGENT_TAINT;
use crate::probe::AGENT_PATH;
use parallax_language::fixture::Credentials;
use parallax_language::scenario::Span;
use parallax_language::scenario::model::{PodVantage, STS_AUDIENCE};
use parallax_plan::EdgePlan;

/// The folder in which the projected ServiceAccount token is mounted in a pod. AWS's webhook for web identity mounts
/// the token in the same folder.
pub(super) const TOKEN_FOLDER: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
/// The path of the token file in a vantage's pod.
pub const TOKEN_FILE: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
/// The lifetime in seconds of the projected ServiceAccount token, if the vantage sets none. AWS's webhook for web
/// identity also uses one day.
const TOKEN_LIFETIME_S: i64 = 86_400;

/// The key of the label with the run's id. Each object that a run creates in somebody else's cluster has this label.
pub const RUN_LABEL: &str = "io.parallax.run";

/// The Namespace object of an environment.
pub(super) fn namespace(name: &str, run: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": name, "labels": { RUN_LABEL: run } },
    })
}

/// A Secret with a certificate. It has the keys `tls.crt`, `tls.key` and `ca.crt`, which ingresses and MinIO read.
pub(crate) fn tls_secret(name: &str, leaf: &Leaf) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": name },
        "stringData": { "tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem.expose(), "ca.crt": leaf.root_pem },
    })
}

/// A Secret with the certificate and key of an authority. With this Secret, a program in the cluster can issue
/// certificates in the name of the authority.
pub(super) fn issuing_secret(name: &str, issuer: &Issuer) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": name },
        "stringData": {
            "tls.crt": issuer.issuing_pem(), "tls.key": issuer.key_pem().expose(), "ca.crt": issuer.root_pem(),
        },
    })
}

/// A Secret with the values of credentials. If `wanted` declares files, the Secret also contains their texts. In these
/// texts, `$KEY` is replaced by the credentials' value with the key `KEY`.
pub(super) fn credentials_secret(wanted: &Credentials, values: &BTreeMap<String, Secret>) -> Value {
    let filled = |text: &String| {
        values.iter().fold(text.clone(), |text, (key, value)| text.replace(&format!("${key}"), value.expose()))
    };
    let own = values.iter().map(|(key, value)| (key.as_str(), value.expose().to_owned()));
    let files = wanted.files.iter().map(|(key, text)| (key.as_str(), filled(text)));
    let data: BTreeMap<&str, String> = own.chain(files).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": wanted.secret }, "stringData": data,
    })
}

/// The `NodePort` Service through which the edge of the external network (the world) reaches the pods behind one host
/// name.
pub(super) fn edge_service(edge: &EdgePlan) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": format!("parallax-edge-{}", edge.node_port) },
        "spec": {
            "type": "NodePort",
            "selector": edge.selector,
            "ports": [{ "name": "edge", "port": edge.port, "targetPort": edge.target_port, "nodePort": edge.node_port }],
        },
    })
}

/// Returns a ServiceAccount without rights.
pub(super) fn service_account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } })
}

/// A ConfigMap with the certificates that the programs of a pod must trust.
pub(super) fn ca_bundle(pod: &str, pem: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": pod }, "data": { "ca-bundle.pem": pem },
    })
}

/// A ConfigMap with trusted certificates under the key `ca.crt`. cert-manager's Secrets and the ConfigMap
/// `kube-root-ca.crt` of Kubernetes use the same key.
pub(super) fn trust_bundle(name: &str, pem: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name }, "data": { "ca.crt": pem },
    })
}

/// A pod that is created only as a dry run, to see how admission (a policy or a webhook) changes it. Its image does not
/// exist, because the pod never starts.
pub(super) fn tried_pod(service_account: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "parallax-tried" },
        "spec": { "serviceAccountName": service_account, "containers": [{ "name": "tried", "image": "none" }] },
    })
}

/// The pod of a vantage: the agent and the settings of the vantage. A vantage with its own image gets enough memory
/// for the image's programs, including a browser.
pub(super) fn agent_pod(name: &str, image: &str, spec: &PodVantage) -> Value {
    let memory = if spec.image.is_some() { "1Gi" } else { "256Mi" };
    let env: Vec<Value> = spec.env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    if spec.service_account.is_some() {
        let audience = spec.audience.as_deref().unwrap_or(STS_AUDIENCE);
        let lifetime_s = spec.token_lifetime.map_or(TOKEN_LIFETIME_S, Span::as_seconds);
        let token = json!({ "audience": audience, "expirationSeconds": lifetime_s, "path": "token" });
        let mut projected = json!({ "sources": [{ "serviceAccountToken": token }] });
        if let Some(mode) = spec.token_mode.as_deref().and_then(|it| u32::from_str_radix(it, 8).ok()) {
            projected["defaultMode"] = json!(mode);
        }
        volumes.push(json!({ "name": "token", "projected": projected }));
        mounts.push(json!({ "name": "token", "mountPath": TOKEN_FOLDER, "readOnly": true }));
    }
    if !spec.ca_bundle.is_empty() {
        volumes.push(json!({ "name": "ca-bundle", "configMap": { "name": name } }));
        mounts.push(json!({ "name": "ca-bundle", "mountPath": "/etc/parallax", "readOnly": true }));
    }
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app.kubernetes.io/name": "parallax-vantage" } },
        "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "restartPolicy": "Never",
            "containers": [{
                "name": "agent", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": [AGENT_PATH], "args": ["hold"],
                "env": env, "volumeMounts": mounts,
                "resources": { "requests": { "cpu": "5m", "memory": "16Mi" }, "limits": { "memory": memory } },
            }],
            "volumes": volumes,
        },
    });
    let fields = &mut pod["spec"];
    if let Some(user) = spec.sidecar_user
        && let Some(containers) = fields["containers"].as_array_mut()
    {
        containers.push(json!({
            "name": "sidecar", "image": image, "imagePullPolicy": "IfNotPresent",
            "command": [AGENT_PATH], "args": ["hold"],
            "securityContext": { "runAsUser": user },
            "resources": { "requests": { "cpu": "5m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
        }));
    }
    if let Some(node) = &spec.node {
        fields["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
        fields["tolerations"] = json!([{ "key": AGENT_TAINT, "operator": "Exists", "effect": "NoSchedule" }]);
    }
    if let Some(account) = &spec.service_account {
        fields["serviceAccountName"] = json!(account);
    }
    if let Some(user) = spec.user {
        fields["securityContext"]["runAsUser"] = json!(user);
    }
    if let Some(group) = spec.fs_group {
        fields["securityContext"]["fsGroup"] = json!(group);
    }
    pod
}

/// Adds the label of the run to an object. Also adds it to the templates of a `StatefulSet`'s volume claims, because
/// Kubernetes does not remove these claims together with the `StatefulSet`.
pub(super) fn set_run(manifest: &mut Value, run: &str) {
    manifest["metadata"]["labels"][RUN_LABEL] = json!(run);
    if let Some(claims) = manifest.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut) {
        for claim in claims {
            claim["metadata"]["labels"][RUN_LABEL] = json!(run);
        }
    }
}

/// Makes a pod comply with the profile `restricted` of the Pod Security Standards, which the namespaces of many
/// clusters require. If the pod already sets a user or a group, this value is kept.
pub(super) fn restrict(pod: &mut Value) {
    let spec = &mut pod["spec"];
    let security = &mut spec["securityContext"];
    for (key, id) in [("runAsUser", 65532), ("runAsGroup", 65532), ("fsGroup", 65532)] {
        if security[key].is_null() {
            security[key] = json!(id);
        }
    }
    security["runAsNonRoot"] = json!(security["runAsUser"] != 0);
    security["seccompProfile"] = json!({ "type": "RuntimeDefault" });
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        container["securityContext"]["allowPrivilegeEscalation"] = json!(false);
        container["securityContext"]["capabilities"] = json!({ "drop": ["ALL"] });
    }
}

/// In each field `image` of a manifest, replaces the name of an image in `images.lock` by the full reference of the
/// image. The loader has already checked that fixtures use only names that `images.lock` has.
pub(super) fn set_images(manifest: &mut Value, images: &BTreeMap<String, String>) {
    match manifest {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(image) if key == "image" => {
                        if let Some(reference) = images.get(image.as_str()) {
                            reference.clone_into(image);
                        }
                    }
                    other => set_images(other, images),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| set_images(item, images)),
        _ => {}
    }
}

/// Replaces each id of an authority in a field `caBundle` by the authority's root certificate, in base64 as the
/// apiserver expects it.
pub(super) fn set_authorities(manifest: &mut Value, certificates: &Bundle) {
    match manifest {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(authority) if key == "caBundle" => {
                        if let Some(root) = certificates.root_pem(authority) {
                            *authority = STANDARD.encode(root);
                        }
                    }
                    other => set_authorities(other, certificates),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| set_authorities(item, certificates)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_contains_the_values_of_its_keys() {
        let wanted = Credentials {
            name: "root".to_owned(),
            secret: "s".to_owned(),
            keys: BTreeMap::from([("user".to_owned(), 4)]),
            inputs: BTreeMap::new(),
            files: BTreeMap::from([("config.env".to_owned(), "export USER=$user".to_owned())]),
        };
        let secret = credentials_secret(&wanted, &BTreeMap::from([("user".to_owned(), Secret::new("abcd"))]));
        assert_eq!(secret["stringData"], json!({ "user": "abcd", "config.env": "export USER=abcd" }));
    }

    #[test]
    fn a_runs_label_is_also_on_the_claims_of_a_stateful_set() {
        let mut set =
            json!({ "metadata": { "name": "a", "labels": { "app": "a" } }, "spec": { "volumeClaimTemplates": [{}] } });
        set_run(&mut set, "r1");
        assert_eq!(set["metadata"]["labels"], json!({ "app": "a", RUN_LABEL: "r1" }));
        assert_eq!(set["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"], json!({ RUN_LABEL: "r1" }));
        let mut secret = json!({ "kind": "Secret" });
        set_run(&mut secret, "r1");
        assert_eq!(secret, json!({ "kind": "Secret", "metadata": { "labels": { RUN_LABEL: "r1" } } }));
    }

    #[test]
    fn only_images_of_the_lock_are_replaced() {
        let images = BTreeMap::from([("minio".to_owned(), "quay.io/minio/minio:1".to_owned())]);
        let mut pod = json!({"spec": {"containers": [{"image": "minio"}, {"image": "other:1"}], "note": "minio"}});
        set_images(&mut pod, &images);
        let expected = json!(
            {"spec": {"containers": [{"image": "quay.io/minio/minio:1"}, {"image": "other:1"}], "note": "minio"}}
        );
        assert_eq!(pod, expected);
    }
}
