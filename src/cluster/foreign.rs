//! Access, through a kubeconfig, to a cluster that the harness does not own.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use parallax_vocab::Secret;
use parallax_vocab::question::View;

use super::access::Access;
use super::error::ClusterError;
use super::kubeconfig;

/// A cluster that the harness does not own.
#[derive(Debug)]
pub struct Foreign {
    /// The access to the cluster.
    pub access: Access,
    /// The namespace that the kubeconfig's context names.
    pub namespace: String,
    /// A copy of the kubeconfig, as JSON. It contains only the context that is used, with its cluster and user. Its
    /// paths are absolute, so that another process can use it.
    pub kubeconfig: Secret,
    /// The credentials in the kubeconfig. The caller registers them with the redactor.
    pub secrets: Vec<Secret>,
}

/// Opens a cluster that the harness does not own.
///
/// Without `path`, the kubeconfig is the file that kubectl uses: the file in `KUBECONFIG`, or the file in the home
/// folder. Without `context`, the current context is used. Questions from outside use the name servers of this machine
/// and no detours.
pub async fn foreign(path: Option<&Path>, context: Option<&str>) -> Result<Foreign, ClusterError> {
    let failed = |reason: String| ClusterError::Kubeconfig {
        cluster: context.unwrap_or("of the current context").to_owned(),
        reason,
    };
    let read = match path {
        // Paths in the kubeconfig are relative to the folder of this file. They become absolute only if the path of the
        // file itself is absolute.
        Some(path) => std::path::absolute(path)
            .map_err(|error| failed(error.to_string()))
            .and_then(|path| Kubeconfig::read_from(path).map_err(|error| failed(kubeconfig::unread(&error)))),
        None => Kubeconfig::read().map_err(|error| failed(kubeconfig::unread(&error))),
    };
    let mut read = read?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let name = options.context.clone().or_else(|| read.current_context.clone()).unwrap_or_default();
    kubeconfig::keep_only(&mut read, &name);
    let copy = serde_json::to_string(&read).map_err(|error| failed(error.to_string()))?;
    // A kubeconfig may contain only the path of the file with the authority's certificate. Then `authority` is empty,
    // and only the client reads that file.
    let authority = kubeconfig::authority(&copy);
    let secrets = kubeconfig::secrets(&read);
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
    Ok(Foreign { access, namespace, kubeconfig: Secret::new(copy), secrets })
}
