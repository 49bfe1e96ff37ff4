//! Reads the store's keys from a Secret of the namespace.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as Object;
use kube::Api;
use parallax_vocab::Secret;

use crate::cluster::{Access, api_message};

/// The names under which Secrets contain the access key: the name that AWS uses, and the names that charts and
/// operators for MinIO use.
const ACCESS: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "access_key",
    "accesskey",
    "access-key",
    "accessKey",
    "rootUser",
    "root-user",
    "CONSOLE_ACCESS_KEY",
];
/// The names under which Secrets contain the secret key. A Secret that uses a name of `ACCESS` for its access key uses
/// the name at the same position here for its secret key.
const SECRET: [&str; 8] = [
    "AWS_SECRET_ACCESS_KEY",
    "secret_key",
    "secretkey",
    "secret-key",
    "secretKey",
    "rootPassword",
    "root-password",
    "CONSOLE_SECRET_KEY",
];

/// Reads the store's keys from a Secret. Returns the access key, the secret key and, if the Secret has one, the session
/// token.
pub async fn keys_of(access: &Access, namespace: &str, name: &str) -> Result<(String, Secret, Option<Secret>), String> {
    let secrets: Api<Object> = Api::namespaced(access.client.clone(), namespace);
    let found = secrets.get(name).await;
    let found = found
        .map_err(|error| format!("Secret {name} of namespace {namespace} cannot be read: {}", api_message(&error)))?;
    of(&found.data.unwrap_or_default()).map_err(|why| format!("Secret {name} of namespace {namespace} {why}"))
}

fn of(data: &BTreeMap<String, ByteString>) -> Result<(String, Secret, Option<Secret>), String> {
    let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok().map(|it| it.trim_end().to_owned());
    let pair = ACCESS.iter().zip(SECRET).find_map(|(access, secret)| Some((text(access)?, Secret::new(text(secret)?))));
    let token = text("AWS_SESSION_TOKEN").map(Secret::new);
    // The error may contain the names of the Secret's entries, but not the values.
    let names = || data.keys().cloned().collect::<Vec<_>>().join(", ");
    let (access, secret) = pair.ok_or_else(|| {
        format!("holds no keys: it has {}; rename two of them to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or export them", names())
    })?;
    Ok((access, secret, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_charts_are_known_and_values_are_not_told() {
        let data = |pairs: &[(&str, &str)]| -> BTreeMap<String, ByteString> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), ByteString(value.as_bytes().to_vec()))).collect()
        };
        let (access, secret, token) = of(&data(&[("rootUser", "user\n"), ("rootPassword", "canary")])).expect("keys");
        assert_eq!((access.as_str(), secret.expose(), token), ("user", "canary", None));
        let aws =
            [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t"), ("rootUser", "u")];
        let (access, _, token) = of(&data(&aws)).expect("keys");
        assert_eq!((access.as_str(), token.is_some()), ("a", true));
        for pairs in [vec![("user", "canary")], vec![("rootUser", "u"), ("secretkey", "canary")], vec![]] {
            let why = of(&data(&pairs)).expect_err("no pair");
            assert!(why.contains("AWS_ACCESS_KEY_ID") && !why.contains("canary"), "{why}");
        }
    }
}
