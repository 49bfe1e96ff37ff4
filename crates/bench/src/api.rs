//! Measures the apiserver calls that any test harness needs: they create a namespace and a pod, and watch until the pod
//! runs. The harness is compared with these calls.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_pod_running;
use kube::{Api, Client, Config};
use serde_json::json;

/// The time limit within which a pod must run. A machine that needs longer is too slow for a measurement.
const WITHIN: Duration = Duration::from_mins(2);

/// Returns a client for a cluster that a run kept (`--keep`).
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig).with_context(|| format!("failed to read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Creates `count` pods, `at_once` at a time, each in a namespace of its own. Returns the time until all pods run.
pub(crate) async fn pods(client: &Client, image: &str, count: u32, at_once: usize) -> Result<Duration> {
    let began = Instant::now();
    let all = futures::stream::iter(0..count).map(|number| pod(client, image, format!("bare-{number}")));
    all.buffer_unordered(at_once).try_collect::<()>().await?;
    Ok(began.elapsed())
}

async fn pod(client: &Client, image: &str, namespace: String) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = serde_json::from_value(json!({ "metadata": { "name": namespace } }))?;
    namespaces.create(&PostParams::default(), &made).await?;
    // The apiserver admits a pod only after a controller has created the namespace's default ServiceAccount.
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let exists = await_condition(accounts, "default", |it: Option<&_>| it.is_some());
    tokio::time::timeout(WITHIN, exists).await.context("the namespace got no ServiceAccount")??;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let made = serde_json::from_value(json!({
        "metadata": { "name": "pause" },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "pause", "image": image, "imagePullPolicy": "IfNotPresent" }],
        },
    }))?;
    pods.create(&PostParams::default(), &made).await?;
    let running = await_condition(pods, "pause", is_pod_running());
    tokio::time::timeout(WITHIN, running).await.context("a pod did not start")??;
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    Ok(())
}

/// Returns the image reference of the pod `name`. An earlier run left this pod on the cluster, so the node already has
/// its image. Therefore a new pod with the same image starts without a pull.
pub(crate) async fn image_of(client: &Client, name: &str) -> Result<String> {
    let pods: Api<Pod> = Api::all(client.clone());
    let all = pods.list(&kube::api::ListParams::default()).await?;
    let of = all.items.iter().find(|it| it.metadata.name.as_deref() == Some(name));
    let spec = of.and_then(|it| it.spec.as_ref()).with_context(|| format!("there is no pod `{name}`"))?;
    spec.containers.first().and_then(|it| it.image.clone()).context("a pod without an image")
}

/// Returns the median time of 21 requests for the apiserver's version, which the apiserver answers from memory.
pub(crate) async fn request(client: &Client) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..21 {
        let began = Instant::now();
        client.apiserver_version().await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}
