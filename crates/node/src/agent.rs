//! Starts an agent node: `k3s agent`, a node that joins an existing cluster.
//!
//! ```text
//! containerd ─► images ─► kubelet ─► its certificates ─┐
//! kube-proxy's certificate ─► the node's range of pods ─┴─► network ─► routes, kube-proxy
//! ```
//!
//! Every connection to the cluster goes to the URL in `--server`, and is verified with the cluster's CA. The file of
//! this CA, `server-ca.crt` in [`paths::AGENT`], must exist before the start. Like k3s, the agent node tries again
//! until the cluster accepts it. Until then, the agent node prints the kubelet's errors.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::net::UnixStream;

use crate::boot::{
    CONTAINERD, KUBELET, PROXY, api_client, reach, refuse_unsupported_files, write_files, write_network,
};
use crate::error::NodeError;
use crate::say::{Clock, print_error, say};
use crate::settings::{Join, Settings};
use crate::supervise::{Supervisor, log_path};
use crate::until::until;
use crate::{approve, components, files, images, kubeconfig, machine, paths, pki, probe, routes};

/// The pause between two attempts to join the cluster, and between two readings of the kubelet's log.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The time limit of one attempt to get kube-proxy's certificate.
const TRY_LIMIT: Duration = Duration::from_secs(10);
/// The largest part of the kubelet's log that is read at once, in bytes.
const RELAY_BYTES: u64 = 64 * 1024;

/// Starts all components of an agent node, and maintains the routes until the node stops. This function returns only
/// after an error.
pub(crate) async fn start(
    settings: &Settings,
    join: &Join,
    supervisor: &Supervisor,
    clock: Clock,
) -> Result<(), NodeError> {
    refuse_unsupported_files()?;
    let authority = paths::agent("server-ca.crt");
    for path in [&authority, &paths::agent("client-ca.crt")] {
        if !Path::new(path).exists() {
            return Err(NodeError::NoAuthority(path.clone()));
        }
    }
    let node = machine::node(settings)?;
    machine::prepare()?;
    write_files(settings, &node)?;
    let bootstrap = paths::agent(components::BOOTSTRAP);
    kubeconfig::write(&bootstrap, &kubeconfig::by_token(&join.server, &authority, &join.token), 0o600)?;
    supervisor.start(CONTAINERD, &["--config".to_owned(), paths::own("containerd.toml")])?;
    machine::masquerade(settings.cluster_range)?;
    machine::reject_unknown_service_addresses(settings.service_range)?;

    let kubelet = async {
        reach(CONTAINERD.name, || async { UnixStream::connect(paths::CONTAINERD_SOCKET).await.is_ok() }).await?;
        let count = images::import_all(settings.snapshotter).await?;
        clock.reached(format_args!("{count} image archives imported"));
        supervisor.start(KUBELET, &components::kubelet(settings, &node))?;
        say(format!("the kubelet joins {}", join.server));
        Ok::<(), NodeError>(())
    };
    let proxy = async {
        proxy_kubeconfig(&api_client(bootstrap.clone()).await?, join, &authority).await?;
        clock.reached("the apiserver has signed kube-proxy's certificate");
        api_client(paths::agent("kubeproxy.kubeconfig")).await
    };
    let joined = async {
        let ((), client) = tokio::try_join!(kubelet, proxy)?;
        let pods = range_of(&client, &node.name).await;
        clock.reached(format_args!("node {} registered with {pods}", node.name));
        write_network(&pods)?;
        supervisor.start(PROXY, &components::proxy(settings, &node))?;
        reach(PROXY.name, probe::service_rules_written).await?;
        clock.reached("kube-proxy ready");
        Ok::<_, NodeError>(client)
    };
    let client = tokio::select! {
        client = joined => client?,
        never = relay_errors() => match never {},
    };
    // k3s prints the same line when an agent node is ready, so a program that waits for this line works with k3s and
    // with this node.
    say("k3s agent is up and running");
    routes::keep(client, node.name).await;
    Ok(())
}

/// Gets a certificate for kube-proxy and writes kube-proxy's kubeconfig. The request is repeated until the apiserver
/// has signed the certificate.
async fn proxy_kubeconfig(client: &Client, join: &Join, authority: &str) -> Result<(), NodeError> {
    let key = KeyPair::generate().map_err(pki::failed("client-kube-proxy"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, approve::PROXY_USER);
    let request = params.serialize_request(&key).and_then(|it| it.pem()).map_err(pki::failed("client-kube-proxy"))?;
    let mut reported = String::new();
    let certificate = loop {
        let tried = tokio::time::timeout(TRY_LIMIT, signed(client, &request)).await;
        let reason = match tried {
            Ok(Ok(Some(certificate))) => break certificate,
            Ok(Ok(None)) => "the request was not signed".to_owned(),
            Ok(Err(error)) => in_full(error.as_ref()),
            Err(_) => "no answer in time".to_owned(),
        };
        if reason != reported {
            say(format!("the certificate of kube-proxy cannot be had yet: {reason}"));
            reported = reason;
        }
        // No event reports that the server can be reached, so the agent node tries again after a pause.
        tokio::time::sleep(AGAIN_AFTER).await;
    };
    let [crt, key_path] = ["crt", "key"].map(|ending| paths::agent(&format!("client-kube-proxy.{ending}")));
    files::write_private(&crt, &String::from_utf8_lossy(&certificate))?;
    files::write_private(&key_path, &key.serialize_pem())?;
    let config = kubeconfig::by_path(Some(&join.server), authority, &crt, &key_path);
    kubeconfig::write(&paths::agent("kubeproxy.kubeconfig"), &config, 0o600)
}

async fn signed(client: &Client, request: &str) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let wanted = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("kube-proxy-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.as_bytes().to_vec()),
            signer_name: approve::CLIENT_SIGNER.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let made = requests.create(&PostParams::default(), &wanted).await?;
    let name = made.metadata.name.unwrap_or_default();
    let is_signed = |it: Option<&CertificateSigningRequest>| certificate(it).is_some();
    Ok(certificate(until(requests, &name, is_signed).await.as_ref()))
}

fn certificate(request: Option<&CertificateSigningRequest>) -> Option<Vec<u8>> {
    request?.status.as_ref()?.certificate.clone().map(|it| it.0)
}

fn in_full(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Waits for the address range of this node's pods, and returns it. The cluster assigns this range after the kubelet
/// has registered the node.
async fn range_of(client: &Client, name: &str) -> String {
    let nodes: Api<KubeNode> = Api::all(client.clone());
    loop {
        let has_range = |node: Option<&KubeNode>| node.and_then(routes::route).is_some();
        if let Some((pods, _)) = until(nodes.clone(), name, has_range).await.as_ref().and_then(routes::route) {
            return pods;
        }
    }
}

/// Prints the kubelet's errors, as k3s does, because they explain why a node does not join.
async fn relay_errors() -> std::convert::Infallible {
    let path = log_path(KUBELET.name);
    // After a restart of this container, the kubelet's log still contains older lines. The reading starts after these
    // lines.
    let mut read_to = tokio::fs::metadata(&path).await.map_or(0, |it| it.len());
    loop {
        // The kubelet writes its log to a file, and no event reports a new line. So this loop reads the file again and
        // again.
        tokio::time::sleep(AGAIN_AFTER).await;
        // The kubelet's log does not exist before the kubelet is started.
        let Ok(mut file) = tokio::fs::File::open(&path).await else { continue };
        let mut bytes = Vec::new();
        if file.seek(std::io::SeekFrom::Start(read_to)).await.is_err()
            || file.take(RELAY_BYTES).read_to_end(&mut bytes).await.is_err()
        {
            continue;
        }
        let (errors, length) = whole_errors(&bytes);
        read_to += length;
        for line in errors {
            print_error(format!("kubelet: {line}"));
        }
    }
}

/// Finds the errors in the complete lines of a part of the kubelet's log. Returns the errors, and the total length of
/// the complete lines in bytes. klog begins a line with the first letter of its severity, the month and the day.
fn whole_errors(bytes: &[u8]) -> (Vec<String>, u64) {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    // If the part of the log has the largest size and contains no line end, its line is too long. The whole part is
    // then skipped. Otherwise the same part would be read again and again.
    let whole = if whole == 0 && bytes.len() as u64 == RELAY_BYTES { bytes.len() } else { whole };
    let text = String::from_utf8_lossy(&bytes[..whole]);
    let is_error = |line: &&str| {
        line.starts_with(['E', 'F']) && line.get(1..5).is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let errors = text.lines().filter(is_error).map(str::to_owned).collect();
    (errors, whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_errors_are_shown() {
        let text = b"I1127 fine\nFlag --x\nE1127 bad\nF1127 worse\nE1127 not yet wh";
        assert_eq!(whole_errors(text), (vec!["E1127 bad".to_owned(), "F1127 worse".to_owned()], 42));
        assert_eq!(whole_errors(b"E no end"), (Vec::new(), 0));
        assert_eq!(whole_errors(b""), (Vec::new(), 0));
    }
}
