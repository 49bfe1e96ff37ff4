//! Computes, without I/O, the JSON patch that gives a pod its web identity.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// AWS's annotation for the role that pods assume. Pods of a ServiceAccount without this annotation are not changed.
const ROLE: &str = "eks.amazonaws.com/role-arn";
/// AWS's annotation for the audience of the token.
const AUDIENCE: &str = "eks.amazonaws.com/audience";
/// Parallax's annotation for the endpoint URL of S3 and STS.
const ENDPOINT: &str = "injection.parallax/endpoint";
/// Parallax's annotation for the name of a ConfigMap. The pods trust the authority in the ConfigMap's `ca.crt`.
const AUTHORITY: &str = "injection.parallax/authority";

/// The name of the volume with the token, as AWS's webhook uses it.
const VOLUME: &str = "web-identity";
/// The folder at which AWS's webhook mounts the token.
const FOLDER: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
/// The lifetime of the token, in seconds: a day, as with AWS's webhook.
const LIFETIME_S: u32 = 86_400;

/// Returns the operations of a JSON patch that adds the token, the environment variables and the mounts to a pod. The
/// values come from the ServiceAccount's annotations. If a container sets one of the variables itself, the container's
/// value is kept.
pub(super) fn of(pod: &Value, annotations: &BTreeMap<String, String>) -> Vec<Value> {
    let Some(role) = annotations.get(ROLE) else { return Vec::new() };
    let token = format!("{FOLDER}/token");
    let mut env = vec![("AWS_ROLE_ARN", role.clone()), ("AWS_WEB_IDENTITY_TOKEN_FILE", token)];
    env.push(("AWS_REGION", "us-east-1".to_owned()));
    if let Some(endpoint) = annotations.get(ENDPOINT) {
        env.extend([("AWS_ENDPOINT_URL_STS", endpoint.clone()), ("AWS_ENDPOINT_URL_S3", endpoint.clone())]);
    }
    let audience = annotations.get(AUDIENCE).map_or("sts.amazonaws.com", String::as_str);
    let mut sources = vec![json!({
        "serviceAccountToken": { "audience": audience, "expirationSeconds": LIFETIME_S, "path": "token" }
    })];
    if let Some(authority) = annotations.get(AUTHORITY) {
        env.push(("AWS_CA_BUNDLE", format!("{FOLDER}/ca.crt")));
        sources.push(json!({ "configMap": { "name": authority, "items": [{ "key": "ca.crt", "path": "ca.crt" }] } }));
    }
    let spec = &pod["spec"];
    let mut patch = Vec::new();
    let volume = json!({ "name": VOLUME, "projected": { "sources": sources } });
    add(&mut patch, spec, "/spec", "volumes", &[("name", volume)]);
    for kind in ["initContainers", "containers"] {
        for (index, container) in spec[kind].as_array().into_iter().flatten().enumerate() {
            let at = format!("/spec/{kind}/{index}");
            let env = env.iter().map(|(name, value)| ("name", json!({ "name": name, "value": value })));
            add(&mut patch, container, &at, "env", &env.collect::<Vec<_>>());
            let mount = json!({ "name": VOLUME, "mountPath": FOLDER, "readOnly": true });
            add(&mut patch, container, &at, "volumeMounts", &[("mountPath", mount)]);
        }
    }
    patch
}

/// Adds operations to `patch` that append `entries` to a list. `of` is the JSON object with the list, `at` is the path
/// of this object in the pod, and `list` is the name of the list. Each entry comes with the name of its key field: an
/// entry is left out if its key is already in the list. A missing list is created.
fn add(patch: &mut Vec<Value>, of: &Value, at: &str, list: &str, entries: &[(&str, Value)]) {
    let there = of[list].as_array();
    let has = |(key, entry): &&(&str, Value)| !there.into_iter().flatten().any(|it| it[*key] == entry[*key]);
    let missing: Vec<&Value> = entries.iter().filter(has).map(|(_, entry)| entry).collect();
    if missing.is_empty() {
        return;
    }
    if there.is_some() {
        let one = |entry: &Value| json!({ "op": "add", "path": format!("{at}/{list}/-"), "value": entry });
        patch.extend(missing.into_iter().map(one));
    } else {
        patch.push(json!({ "op": "add", "path": format!("{at}/{list}"), "value": missing }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let all = [(ROLE, "arn:minio:iam:::role/r")].into_iter().chain(more.iter().copied());
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn an_account_without_a_role_leaves_its_pods_alone() {
        let pod = json!({ "spec": { "containers": [{ "name": "a" }] } });
        assert!(of(&pod, &BTreeMap::from([(ENDPOINT.to_owned(), "https://s3".to_owned())])).is_empty());
    }

    #[test]
    fn every_container_gets_what_it_does_not_set_itself() {
        let own = json!({ "name": "AWS_REGION", "value": "eu-north-1" });
        let pod = json!({ "spec": {
            "initContainers": [{ "name": "before" }],
            "containers": [{ "name": "a", "env": [own], "volumeMounts": [{ "name": "x", "mountPath": FOLDER }] }],
            "volumes": [{ "name": "x" }],
        } });
        let patch = of(&pod, &annotated(&[(ENDPOINT, "https://s3"), (AUTHORITY, "ca")]));
        let paths: Vec<&str> = patch.iter().filter_map(|it| it["path"].as_str()).collect();
        let mut expected = vec!["/spec/volumes/-", "/spec/initContainers/0/env", "/spec/initContainers/0/volumeMounts"];
        // The first container has its own region and its own mount. Therefore the patch adds five of the six variables
        // to it, and no mount.
        expected.extend(["/spec/containers/0/env/-"; 5]);
        assert_eq!(paths, expected);
        assert_eq!(patch[1]["value"].as_array().map(Vec::len), Some(6));
        let sources = &patch[0]["value"]["projected"]["sources"];
        assert_eq!(sources[0]["serviceAccountToken"]["audience"], "sts.amazonaws.com");
        assert_eq!(sources[1]["configMap"]["name"], "ca");
    }
}
