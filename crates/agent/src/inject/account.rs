//! Reads the annotations of a ServiceAccount from the apiserver. The webhook authenticates with the token of its own
//! pod.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use parallax_vocab::Question;
use parallax_vocab::answer::Reply;
use parallax_vocab::question::{HttpQuestion, Probe, View};
use serde_json::Value;

/// The folder in which a pod finds the token of its own ServiceAccount and the cluster's CA certificate.
const OWN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The URL of the apiserver, which is the same in every pod.
const APISERVER: &str = "https://kubernetes.default.svc.cluster.local";
/// The time limit for a request to the apiserver, in milliseconds. It is less than the 10 s for which the apiserver
/// waits for a webhook by default.
const WITHIN_MS: u64 = 5_000;

/// The annotations of a ServiceAccount. The result is empty if there is no such ServiceAccount.
pub(super) async fn annotations(namespace: &str, name: &str) -> Result<BTreeMap<String, String>> {
    for part in [namespace, name] {
        let sound = part.chars().all(|it| it.is_ascii_alphanumeric() || it == '-' || it == '.');
        ensure!(sound && !part.is_empty(), "`{part}` is not a Kubernetes name");
    }
    let read = |file: &str| {
        let path = Path::new(OWN).join(file);
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    };
    let authorization = format!("Bearer {}", read("token")?.trim());
    let url = format!("{APISERVER}/api/v1/namespaces/{namespace}/serviceaccounts/{name}");
    let headers = BTreeMap::from([("authorization".to_owned(), authorization)]);
    let probe = Probe::Http(HttpQuestion { headers, ..HttpQuestion::new("GET", url) });
    let view = View { trust: vec![read("ca.crt")?], ..View::default() };
    let answer = parallax_probe::ask(&Question { view, deadline_ms: WITHIN_MS, probe }).await;
    let reply = match answer.outcome {
        Ok(Reply::Http(reply)) => reply,
        Ok(_) => bail!("failed to get ServiceAccount {namespace}/{name}: the probe answered another question"),
        Err(cause) => bail!("failed to get ServiceAccount {namespace}/{name}: {cause}"),
    };
    match reply.status {
        200 => {
            let account: Value = serde_json::from_str(&reply.body).context("the apiserver's answer is not JSON")?;
            let annotations = account["metadata"]["annotations"].as_object().into_iter().flatten();
            Ok(annotations.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
        }
        404 => Ok(BTreeMap::new()),
        status => {
            bail!("failed to get ServiceAccount {namespace}/{name}: the apiserver answers {status}: {}", reply.body)
        }
    }
}
