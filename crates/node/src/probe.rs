//! Checks whether the apiserver, kube-proxy or the node is ready.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::components::PROXY_METRICS;

/// The time limit of one request to a component.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// The largest part of a metrics page that is read, in bytes.
const PAGE_LIMIT_BYTES: u64 = 1024 * 1024;
/// The name of a metric of kube-proxy. Its value is the time, in Unix seconds, at which kube-proxy last wrote all
/// rules. The value is 0 before the first time.
const RULES_WRITTEN: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";

/// The path at which the apiserver reports that it is ready.
pub(crate) const READY: &str = "/readyz";
/// The path at which the apiserver reports that the default RBAC roles exist. Without these roles, the
/// controller-manager and the scheduler end at once.
pub(crate) const ROLES: &str = "/readyz/poststarthook/rbac/bootstrap-roles";

/// Whether the apiserver answers a GET request for `path` with success.
pub(crate) async fn answers(client: &Client, path: &str) -> bool {
    let Ok(request) = http::Request::get(path).body(Vec::new()) else { return false };
    matches!(tokio::time::timeout(REQUEST_LIMIT, client.request_text(request)).await, Ok(Ok(_)))
}

/// Whether kube-proxy has written its rules, as its metrics page says. Its health page cannot be used: it reports
/// success earlier, when connections to Services do not reach their pods yet.
pub(crate) async fn service_rules_written() -> bool {
    let page = tokio::time::timeout(REQUEST_LIMIT, page(PROXY_METRICS, "/metrics")).await;
    matches!(page, Ok(Ok(text)) if rules_written(&text))
}

fn rules_written(metrics: &str) -> bool {
    let values =
        metrics.lines().filter(|line| line.starts_with(RULES_WRITTEN)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).any(|instant| instant > 0.0)
}

async fn page(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    stream.take(PAGE_LIMIT_BYTES).read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A condition to wait for: the object exists. `object` is what the apiserver returned last.
pub(crate) fn exists<K>(object: Option<&K>) -> bool {
    object.is_some()
}

/// Whether the node exists and has the condition Ready.
pub(crate) fn is_ready(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_once_the_gauge_has_a_time() {
        for (metrics, written) in [
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} 1.7952984e+09\n", true),
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds 1.7e+09\n", true),
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds 0\n", false),
            ("# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds of 5\nother 7\n", false),
            ("", false),
        ] {
            assert_eq!(rules_written(metrics), written, "{metrics:?}");
        }
    }
}
