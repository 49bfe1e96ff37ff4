//! The Kubernetes client.

use std::net::SocketAddr;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

/// A client for the kubeconfig that a node wrote, reaching the apiserver where its port is published. No proxy of the
/// caller's environment is used.
pub async fn client(kubeconfig: &str, published: SocketAddr) -> Result<Client, String> {
    let mut kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| error.to_string())?;
    for cluster in &mut kubeconfig.clusters {
        if let Some(cluster) = &mut cluster.cluster {
            cluster.server = Some(format!("https://{published}"));
        }
    }
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| error.to_string())?;
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| error.to_string())
}
