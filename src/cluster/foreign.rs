//! Access, through a kubeconfig, to a cluster that the harness does not own.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use parallax_vocab::question::View;

use super::access::Access;
use super::error::ClusterError;
use super::kubeconfig;

/// Returns the access to a cluster that the harness does not own, and the namespace that the kubeconfig's context
/// names.
///
/// Without `path`, the kubeconfig is the one that kubectl uses: the file in `KUBECONFIG`, or the one in the home
/// folder. Without `context`, the current context is used. Questions from outside use the name servers of this machine
/// and no redirections.
pub async fn foreign(path: Option<&Path>, context: Option<&str>) -> Result<(Access, String), ClusterError> {
    let failed = |reason: String| ClusterError::Kubeconfig {
        cluster: context.unwrap_or("of the current context").to_owned(),
        reason,
    };
    let read = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let read = read.map_err(|error| failed(error.to_string()))?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let name = options.context.clone().or_else(|| read.current_context.clone()).unwrap_or_default();
    // The kubeconfig may contain only the path of a file with the authority, which only the client reads. The field is
    // empty then.
    let authority = serde_json::to_string(&read).map_err(|it| it.to_string()).and_then(|it| kubeconfig::authority(&it));
    let (client, namespace) = kubeconfig::of_context(read, &options).await.map_err(failed)?;
    let access = Access {
        name,
        client,
        authority: authority.unwrap_or_default(),
        issuer: String::new(),
        outside: View::default(),
        beside: View::default(),
        edge: None,
        egress: None,
        own: None,
    };
    Ok((access, namespace))
}
