//! One cluster's life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::error::RunError;
use super::images::Supplied;
use super::{Context, environment};
use crate::apply::Applier;
use crate::cluster::{Cluster, nodes_ready};
use crate::plan::ClusterPlan;
use crate::world;

/// How long a node may take to be ready once its apiserver answers.
const NODE_WITHIN: Duration = Duration::from_secs(90);
/// Lines of the world's log that are looked through for evidence.
const WORLD_LINES: usize = 5_000;

/// Starts a cluster and runs its environments side by side, as many as there are jobs.
pub(super) async fn run(context: &Arc<Context>, plan: &ClusterPlan, supplied: &Supplied) -> Result<(), RunError> {
    let setup = context.sink.setup(
        format!("cluster/{}", plan.name),
        format!("cluster {} ({})", plan.name, if supplied.published { "published k3s" } else { "source-built node" }),
    );
    let say = |text: &str| setup.progress(text);
    let started = Cluster::start(&context.site, plan, &supplied.cluster, &say).await;
    let cluster = match started {
        Ok(cluster) => cluster,
        Err(error) => {
            setup.failed(error.failure());
            return Err(error.into());
        }
    };
    let mut exited = Box::pin(cluster.exited(&context.site));
    let ready = async {
        setup.progress("the node's readiness");
        let ready = nodes_ready(cluster.client.clone());
        let ready = cluster.within(&context.site, "a ready node", NODE_WITHIN, ready).await?;
        ready.map_err(|source| crate::cluster::ClusterError::Kubeconfig {
            cluster: plan.name.clone(),
            reason: source.to_string(),
        })
    };
    let ready = tokio::select! {
        error = &mut exited => Err(error),
        ready = ready => ready,
    };
    if let Err(error) = ready {
        setup.failed(error.failure());
        return Err(error.into());
    }
    let applier = match Applier::new(cluster.client.clone(), supplied.references.clone()).await {
        Ok(applier) => applier,
        Err(error) => {
            setup.failed(error.failure());
            return Err(error.into());
        }
    };
    setup.done("ready");
    let environments = plan.environments.iter().map(|it| environment::run(context, &applier, &cluster, it));
    let result = tokio::select! {
        error = &mut exited => Err(error.into()),
        results = join_all(environments) => results.into_iter().collect(),
    };
    keep_evidence(context, &cluster).await;
    result
}

/// Writes down what the outside world was asked and what the node said, before both are taken away.
async fn keep_evidence(context: &Context, cluster: &Cluster) {
    let engine = context.site.engine();
    let logs = BTreeMap::from([("world", cluster.world.container()), ("node", cluster.node.name.as_str())]);
    for (what, container) in logs {
        let lines = engine.logs(container, WORLD_LINES).await.unwrap_or_default();
        let lines = if what == "world" { world::questions(&lines) } else { lines };
        let path = context.options.directory.join(format!("{}-{what}.log", cluster.name));
        let text = context.redactor.text(&lines.join("\n"));
        if let Err(error) = tokio::fs::write(&path, text).await {
            context.sink.warn(format!("cannot keep the {what}'s log in {}: {error}", path.display()));
        }
    }
}
