//! Writes kubeconfigs. The administrator's kubeconfig contains the certificates and the key. The kubeconfigs of
//! components contain only the paths of the files with certificates and keys.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::components::API_PORT;
use crate::error::NodeError;

/// The apiserver's URL on the node itself. Clients outside the container replace the port by the port that the
/// container publishes.
fn server() -> String {
    format!("https://127.0.0.1:{API_PORT}")
}

fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "default", "cluster": cluster }],
        "contexts": [{ "name": "default", "context": { "cluster": "default", "user": "default" } }],
        "current-context": "default",
        "users": [{ "name": "default", "user": user }],
    })
}

/// A kubeconfig that contains the CA certificate, client certificate and key (all PEM), with the layout and names of
/// k3s.
pub(crate) fn embedded(ca: &str, certificate: &str, key: &str) -> Value {
    kubeconfig(
        &json!({ "certificate-authority-data": STANDARD.encode(ca), "server": server() }),
        &json!({ "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key) }),
    )
}

/// A kubeconfig that contains the paths of the files with CA certificate, client certificate and key. If `url` is
/// `None`, the kubeconfig uses this node's apiserver.
pub(crate) fn by_path(url: Option<&str>, ca: &str, certificate: &str, key: &str) -> Value {
    let url = url.map_or_else(server, str::to_owned);
    kubeconfig(
        &json!({ "certificate-authority": ca, "server": url }),
        &json!({ "client-certificate": certificate, "client-key": key }),
    )
}

/// A kubeconfig that contains the path of the CA certificate's file, and a token.
pub(crate) fn by_token(url: &str, ca: &str, token: &str) -> Value {
    kubeconfig(&json!({ "certificate-authority": ca, "server": url }), &json!({ "token": token }))
}

/// Writes a kubeconfig as JSON with the given file mode. kubectl and kube accept JSON, because JSON is valid YAML.
pub(crate) fn write(path: &str, config: &Value, mode: u32) -> Result<(), NodeError> {
    let written = Path::new(path).parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        // The file contains a key. Until its content is complete, only root may read it; then it gets the requested
        // mode.
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        writeln!(file, "{config:#}")?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    });
    written.map_err(NodeError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_data_can_be_decoded() {
        let config = embedded("the ca", "the certificate", "the key");
        let data = config["users"][0]["user"]["client-key-data"].as_str().expect("text");
        assert_eq!(STANDARD.decode(data).expect("base64"), b"the key");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(config["current-context"], config["contexts"][0]["name"]);
    }
}
