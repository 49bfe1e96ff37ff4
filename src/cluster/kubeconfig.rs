//! Reads and adapts a kubeconfig, and builds the Kubernetes client for it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use parallax_vocab::Secret;
use parallax_vocab::question::Identity;
use serde_json::Value;

use super::transport;

/// The time limit for opening a connection, including the TLS handshake. If it is exceeded, the apiserver counts as not
/// answering.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);

/// The environment variable with the address (`address:port`) of a proxy that a test puts in front of the apiserver.
/// Only `tests/it/e2e/unanswered.rs` sets it.
const BEFORE_APISERVER: &str = "PARALLAX_TEST_APISERVER";

/// Returns the address at which the harness connects to the apiserver. This is the address `published`, or the address
/// of the proxy that a test has set.
pub(super) fn met_at(published: SocketAddr) -> SocketAddr {
    let before = std::env::var(BEFORE_APISERVER).ok();
    before.and_then(|it| it.parse().ok()).unwrap_or(published)
}

/// Changes the kubeconfig that a node wrote so that it works on this machine: the address of the server becomes the
/// published port of the apiserver.
pub fn outside(kubeconfig: &str, published: SocketAddr) -> Result<Kubeconfig, String> {
    let mut kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| unread(&error))?;
    for cluster in &mut kubeconfig.clusters {
        if let Some(cluster) = &mut cluster.cluster {
            cluster.server = Some(format!("https://{published}"));
        }
    }
    Ok(kubeconfig)
}

/// Returns the reason why a kubeconfig cannot be read, without any text of the kubeconfig. The parser's own message is
/// not used, because it quotes the unexpected value and the lines around the mistake, which may contain a token or a
/// key.
pub fn unread(error: &KubeconfigError) -> String {
    let KubeconfigError::Parse(error) = error else { return error.to_string() };
    let place = error.location().map_or_else(String::new, |at| format!(", line {}, column {}", at.line(), at.column()));
    format!("the YAML is not a kubeconfig{place}; the text is not shown, because it can contain keys")
}

/// Builds a client for a kubeconfig. The client ignores the proxy variables of this process's environment. Each of its
/// calls has a time limit ([`transport`]).
pub async fn client(kubeconfig: Kubeconfig) -> Result<Client, String> {
    of_context(kubeconfig, &KubeConfigOptions::default()).await.map(|(client, _)| client)
}

/// Builds a client for the kubeconfig in a file.
pub async fn client_of_file(path: &Path) -> Result<Client, String> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unread(&error))?;
    client(kubeconfig).await
}

/// Builds a client for a context of the kubeconfig, with the time limits of [`client`] and without a proxy. Also
/// returns the namespace that the context names.
pub(super) async fn of_context(
    kubeconfig: Kubeconfig,
    options: &KubeConfigOptions,
) -> Result<(Client, String), String> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(|error| error.to_string())?;
    config.proxy_url = None;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECTS_WITHIN);
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    Ok((transport::bounded(client, transport::CALL_WITHIN), namespace))
}

/// Returns the certificate of the apiserver's authority, as PEM. Fails if the kubeconfig does not contain the
/// certificate itself.
pub fn authority(kubeconfig: &str) -> Result<String, String> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| error.to_string())?;
    let mut clusters = kubeconfig.clusters.into_iter().filter_map(|it| it.cluster);
    let data = clusters.find_map(|it| it.certificate_authority_data);
    let data = data.ok_or("no cluster of it has certificate-authority-data")?;
    let bytes = STANDARD.decode(data).map_err(|error| format!("certificate-authority-data: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("certificate-authority-data is not PEM: {error}"))
}

/// Returns the client certificate and the private key of a kubeconfig's user. If there are several users, takes the
/// first that has a certificate and a key.
pub(super) fn identity(kubeconfig: &str) -> Result<Identity, String> {
    let kubeconfig: Value = serde_json::from_str(kubeconfig).map_err(|error| error.to_string())?;
    let text = |user: &Value, name: &str| {
        let data = STANDARD.decode(user.get(name)?.as_str()?).ok()?;
        String::from_utf8(data).ok()
    };
    let users = kubeconfig.get("users").and_then(Value::as_array).into_iter().flatten().filter_map(|it| it.get("user"));
    let mut all = users.filter_map(|user| {
        let chain = text(user, "client-certificate-data")?;
        Some(Identity { chain, key: Secret::new(text(user, "client-key-data")?) })
    });
    all.next().ok_or_else(|| "no user of the cluster's kubeconfig signs in with a certificate".to_owned())
}

/// Makes `context` the current context, and removes all other contexts with their clusters and users. So the
/// credentials of other clusters are not copied, and nobody confuses them with the credentials that are used.
pub(super) fn keep_only(kubeconfig: &mut Kubeconfig, context: &str) {
    kubeconfig.current_context = Some(context.to_owned());
    kubeconfig.contexts.retain(|it| it.name == context);
    let used = kubeconfig.contexts.first().and_then(|it| it.context.clone());
    kubeconfig.clusters.retain(|it| used.as_ref().is_some_and(|used| used.cluster == it.name));
    kubeconfig.auth_infos.retain(|it| used.as_ref().is_some_and(|used| used.user.as_ref() == Some(&it.name)));
}

/// Returns the secrets of a kubeconfig's users: private keys (PEM), tokens and passwords.
pub(super) fn secrets(kubeconfig: &Kubeconfig) -> Vec<Secret> {
    let kubeconfig = serde_json::to_value(kubeconfig).unwrap_or_default();
    let users = kubeconfig.get("users").and_then(Value::as_array).into_iter().flatten().filter_map(|it| it.get("user"));
    let texts = users.flat_map(|user| {
        let text = |name: &str| user.get(name).and_then(Value::as_str);
        let key = text("client-key-data").and_then(|data| STANDARD.decode(data).ok());
        let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
        [key, text("token").map(str::to_owned), text("password").map(str::to_owned)]
    });
    texts.flatten().map(Secret::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_cannot_be_read_is_not_quoted() {
        let user = |rest: &str| format!("apiVersion: v1\nusers:\n- name: a\n  user:\n    token: opaque-token\n{rest}");
        // The table has three mistakes: a wrong indentation, a list where a text is expected, and a text where a list
        // is expected.
        for (text, place) in [
            (user("   client-key-data: S0VZ\n"), "line "),
            (user("    username: [opaque-token]\n"), "line 6"),
            ("users: opaque-token\n".to_owned(), "line 1"),
        ] {
            let said = unread(&Kubeconfig::from_yaml(&text).expect_err(&text));
            assert!(said.contains(place), "{said}");
            assert!(!said.contains("opaque") && !said.contains("S0VZ"), "{said}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let both = r#"{"users":[{"user":{"token":"t"}},{"user":{"client-certificate-data":"Y3J0","client-key-data":"a2V5"}}]}"#;
        let found = identity(both).expect("a certificate");
        assert_eq!((found.chain.as_str(), found.key.expose()), ("crt", "key"));
        let half = r#"{"users":[{"user":{"client-certificate-data":"Y3J0"}}]}"#;
        assert!(identity(half).expect_err("no key").contains("no user"));
    }

    #[test]
    fn the_credentials_of_a_kubeconfig_user_are_secrets() {
        let text = "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: { client-key-data: cGVtCg== }\n- name: b\n  user: { token: t }\n";
        let found = secrets(&Kubeconfig::from_yaml(text).expect("a kubeconfig"));
        assert_eq!(found.iter().map(Secret::expose).collect::<Vec<_>>(), ["pem\n", "t"]);
    }

    #[test]
    fn nothing_of_another_context_is_kept() {
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: production\n\
            contexts:\n- { name: production, context: { cluster: p, user: p } }\n- { name: staging, context: { cluster: s, user: s } }\n\
            clusters:\n- { name: p, cluster: { server: 'https://p', certificate-authority-data: cA== } }\n\
            - { name: s, cluster: { server: 'https://s', certificate-authority-data: cw== } }\n\
            users:\n- { name: p, user: { token: of-production } }\n- { name: s, user: { token: of-staging } }\n";
        let mut kubeconfig = Kubeconfig::from_yaml(text).expect("a kubeconfig");
        keep_only(&mut kubeconfig, "staging");
        let copy = serde_json::to_string(&kubeconfig).expect("JSON");
        assert!(!copy.contains("production") && !copy.contains("https://p"), "{copy}");
        assert_eq!(authority(&copy).as_deref(), Ok("s"));
        assert_eq!(secrets(&kubeconfig).iter().map(Secret::expose).collect::<Vec<_>>(), ["of-staging"]);
        keep_only(&mut kubeconfig, "unknown");
        assert!(kubeconfig.clusters.is_empty() && kubeconfig.auth_infos.is_empty());
    }

    #[test]
    fn the_authority_is_the_embedded_one() {
        let text =
            |cluster: &str| format!("apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster: {cluster}\n");
        let good = text("{ server: 'https://127.0.0.1:6443', certificate-authority-data: cGVtCg== }");
        assert_eq!(authority(&good).as_deref(), Ok("pem\n"));
        for (cluster, named) in [
            ("{ server: 'https://127.0.0.1:6443' }", "no cluster of it has"),
            ("{ certificate-authority-data: '%' }", "certificate-authority-data"),
        ] {
            let error = authority(&text(cluster)).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }
}
