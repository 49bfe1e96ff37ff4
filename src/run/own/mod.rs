//! The part of a run that owns clusters: it starts a cluster's node and the containers outside the cluster, stops them,
//! and keeps their logs.
//!
//! None of this applies to a cluster that the harness does not own, such as the user's own cluster. The harness has
//! only an [`Access`] to such a cluster, and neither starts nor stops it.

mod neighbours;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parallax_vocab::event::Failure;

use super::Context;
use super::error::RunError;
use super::images::Supplied;
use crate::apply::Provisioned;
use crate::certs::write_private;
use crate::cluster::{self, Access, ClusterError, Own, UP_WITHIN};
use crate::world::World;
use parallax_plan::ClusterPlan;
use parallax_record::Present as _;

/// The largest number of last lines that are kept of each log. The logs are that of the external network (the world)
/// and those of the nodes.
const WORLD_LINES: usize = 5_000;

/// A cluster that was started.
pub(super) struct Started {
    pub(super) cluster: Access,
    /// The certificates and credentials that were generated before the cluster started, by the namespace of the
    /// environment. An error says why this environment cannot be set up.
    pub(super) provisioned: BTreeMap<String, Result<Provisioned, Failure>>,
}

/// Starts the containers outside a cluster, then the cluster, and registers the cluster's secrets with the redactor.
pub(super) async fn start(
    context: &Context,
    plan: &ClusterPlan,
    supplied: &Supplied,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Started, RunError> {
    let network = context.site().network(&plan.name).await?;
    let authority = neighbours::authority(context, plan)?;
    let beside = neighbours::start(context, plan, supplied, &network.name, authority.as_ref(), say).await;
    let roots = beside.roots();
    let before = cluster::Surroundings { network, neighbours: beside.standing, authority, roots };
    let cluster = cluster::start(context.site(), plan, &supplied.cluster, before, say).await?;
    let own = cluster.own("register its secrets")?;
    own.secrets().iter().for_each(|secret| context.redactor.register(secret));
    if context.options.keep || context.options.standing.is_some() {
        keep_kubeconfig(context, &plan.name, own);
    }
    Ok(Started { cluster, provisioned: beside.provisioned })
}

/// A node that ended on its own before its cluster was ready.
pub(super) struct NodeEnded {
    /// How the node ended: its exit code in words.
    pub(super) how: String,
    /// The last log lines of the node.
    pub(super) lines: Vec<String>,
    /// The time limit for the start of the node.
    pub(super) within: Duration,
}

/// Describes how the node ended, if this is the reason why the cluster did not start. `None` if `error` has another
/// reason.
pub(super) fn node_ended(context: &Context, plan: &ClusterPlan, error: &RunError) -> Option<NodeEnded> {
    let RunError::Cluster(ClusterError::Engine(engine)) = error else { return None };
    let (how, lines) = engine.ended(&context.site().name_of(&Own::node_of(plan)))?;
    Some(NodeEnded { how: how.to_string(), lines: lines.to_vec(), within: UP_WITHIN })
}

/// Removes the containers and the network of a finished cluster, so that the next cluster can use their memory, disk
/// space and address range. Each cluster has its own unpacked copy of the images. A run that keeps its clusters
/// (`--keep`) removes nothing here.
pub(super) async fn stop(context: &Context, cluster: &str) {
    if context.options.keep {
        return;
    }
    match context.site().remove_network(cluster).await {
        Ok(swept) => {
            context.taken_away.fetch_add(swept.removed.len(), Ordering::Relaxed);
            swept.remaining.iter().for_each(|it| context.sink.warn(format!("cluster {cluster}: {it}")));
        }
        // The clean-up at the end of the run tries again.
        Err(error) => {
            context.sink.warn(format!("the containers and the network of cluster {cluster} were not removed: {error}"));
        }
    }
}

/// Writes the kubeconfig of a cluster that is kept after the run to a file in the run's folder, and tells the user how
/// to use this file.
fn keep_kubeconfig(context: &Context, name: &str, own: &Own) {
    let path = context.options.directory.join(format!("{name}.kubeconfig"));
    match write_private(&path, own.kubeconfig().expose().as_bytes()) {
        Ok(()) => context.sink.note(format!("`kubectl --kubeconfig {}` accesses the cluster", path.display())),
        Err(error) => context.sink.warn(error.to_string()),
    }
}

/// Writes logs into the run's folder before their containers are removed: the DNS questions that the external network
/// (the world) received, and the log of each node. This function is also called for a cluster that did not start, so a
/// container may be missing.
pub(super) async fn keep_evidence(context: &Context, plan: &ClusterPlan) {
    let engine = context.site().engine();
    let agents = plan.traits.agents.iter().map(|it| (format!("agent-{}", it.name), Own::agent_of(plan, &it.name)));
    let own = [("world".to_owned(), World::of(plan)), ("node".to_owned(), Own::node_of(plan))];
    for (what, container) in own.into_iter().chain(agents) {
        let lines = match engine.logs(&context.site().name_of(&container), WORLD_LINES).await {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(%error, "the log of {container} cannot be kept");
                continue;
            }
        };
        let lines = if what == "world" { cluster::questions(&lines, |_| true) } else { lines };
        let path = context.options.directory.join(format!("{}-{what}.log", plan.name));
        // An existing file of this name is removed first, because it could be a symbolic link, which the write would
        // follow.
        std::fs::remove_file(&path).present("remove an earlier log");
        let text = context.redactor.text(&lines.join("\n"));
        if let Err(error) = write_private(&path, text.as_bytes()) {
            context.sink.warn(format!("cannot keep the {what}'s log in {}: {error}", path.display()));
        }
    }
}
