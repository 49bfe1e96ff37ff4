//! The owner's side of a run: starts the containers outside a cluster and its node, stops them, and keeps their logs.
//!
//! None of this applies to a cluster that the harness does not own: that is an [`Access`] that was not started here.

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

/// How many of the last lines of the world's and the node's logs are kept as evidence.
const WORLD_LINES: usize = 5_000;

/// A cluster that was started.
pub(super) struct Started {
    pub(super) cluster: Access,
    /// By namespace, the certificates and credentials that were generated before the cluster started, or why the
    /// environment cannot be brought up.
    pub(super) provisioned: BTreeMap<String, Result<Provisioned, Failure>>,
}

/// Starts the containers outside a cluster, then the cluster, and registers the cluster's secrets with the redactor.
pub(super) async fn start(
    context: &Context,
    plan: &ClusterPlan,
    supplied: &Supplied,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Started, RunError> {
    let network = context.site.network(&plan.name).await?;
    let authority = neighbours::authority(context, plan)?;
    let beside = neighbours::start(context, plan, supplied, &network.name, authority.as_ref(), say).await;
    let roots = beside.roots();
    let before = cluster::Surroundings { network, neighbours: beside.standing, authority, roots };
    let cluster = cluster::start(&context.site, plan, &supplied.cluster, before, say).await?;
    let own = cluster.own("register its secrets")?;
    own.secrets().iter().for_each(|secret| context.redactor.register(secret));
    if context.options.keep || context.options.standing.is_some() {
        keep_kubeconfig(context, &plan.name, own);
    }
    Ok(Started { cluster, provisioned: beside.provisioned })
}

/// A node that ended by itself before its cluster was up.
pub(super) struct NodeEnded {
    /// How it ended: its exit code in words.
    pub(super) how: String,
    /// Its last log lines.
    pub(super) lines: Vec<String>,
    /// The time limit for its start.
    pub(super) within: Duration,
}

/// How the node ended, if that is why the cluster did not start.
pub(super) fn node_ended(context: &Context, plan: &ClusterPlan, error: &RunError) -> Option<NodeEnded> {
    let RunError::Cluster(ClusterError::Engine(engine)) = error else { return None };
    let (how, lines) = engine.ended(&context.site.name_of(&Own::node_of(plan)))?;
    Some(NodeEnded { how: how.to_string(), lines: lines.to_vec(), within: UP_WITHIN })
}

/// Removes the containers of a finished cluster, so that the next cluster has their memory and disk space: each cluster
/// has its own unpacked copy of the images. The sweep at the end removes what is left.
pub(super) async fn stop(context: &Context, cluster: &Access) {
    let Ok(own) = cluster.own("remove it") else { return };
    for container in own.containers() {
        match context.site.engine().take_away(container).await {
            Ok(()) => drop(context.taken_away.fetch_add(1, Ordering::Relaxed)),
            Err(error) => context.sink.warn(format!("cluster {}: {container} was not removed: {error}", cluster.name)),
        }
    }
}

/// Writes the kubeconfig of a cluster that is kept into the run's folder, and notes how to use it.
fn keep_kubeconfig(context: &Context, name: &str, own: &Own) {
    let path = context.options.directory.join(format!("{name}.kubeconfig"));
    match write_private(&path, own.kubeconfig().expose().as_bytes()) {
        Ok(()) => context.sink.note(format!("`kubectl --kubeconfig {}` accesses the cluster", path.display())),
        Err(error) => context.sink.warn(error.to_string()),
    }
}

/// Writes two logs into the run's folder before their containers are removed: the DNS questions that the world
/// received, and the node's log. This is also called for a cluster that did not start; then either container may be
/// missing.
pub(super) async fn keep_evidence(context: &Context, plan: &ClusterPlan) {
    let engine = context.site.engine();
    let agents = plan.traits.agents.iter().map(|it| (format!("agent-{}", it.name), Own::agent_of(plan, &it.name)));
    let own = [("world".to_owned(), World::of(plan)), ("node".to_owned(), Own::node_of(plan))];
    for (what, container) in own.into_iter().chain(agents) {
        let lines = match engine.logs(&context.site.name_of(&container), WORLD_LINES).await {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(%error, "the log of {container} cannot be kept");
                continue;
            }
        };
        let lines = if what == "world" { cluster::questions(&lines, |_| true) } else { lines };
        let path = context.options.directory.join(format!("{}-{what}.log", plan.name));
        // Remove an existing file of this name first, so that a symbolic link is not followed.
        std::fs::remove_file(&path).present("remove an earlier log");
        let text = context.redactor.text(&lines.join("\n"));
        if let Err(error) = write_private(&path, text.as_bytes()) {
            context.sink.warn(format!("cannot keep the {what}'s log in {}: {error}", path.display()));
        }
    }
}
