//! The owner's side of a run: what stands beside a cluster, the start of its node, its end, and what is kept of it.
//!
//! A cluster of somebody else's has nothing of this: it is an [`Access`] that was not started here.

mod neighbours;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parallax_vocab::event::Failure;

use super::Context;
use super::error::RunError;
use super::images::Supplied;
use crate::apply::Belongings;
use crate::certs::write_private;
use crate::cluster::{self, Access, ClusterError, Own, UP_WITHIN};
use crate::world::World;
use parallax_plan::ClusterPlan;

/// Lines of the world's log that are looked through for evidence.
const WORLD_LINES: usize = 5_000;

/// A cluster that was started.
pub(super) struct Started {
    pub(super) cluster: Access,
    /// Certificates and credentials that were made beforehand, by namespace, or why the environment cannot be had.
    pub(super) belongings: BTreeMap<String, Result<Belongings, Failure>>,
}

/// Starts what stands beside a cluster, then the cluster. Its secrets are registered.
pub(super) async fn start(
    context: &Context,
    plan: &ClusterPlan,
    supplied: &Supplied,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Started, RunError> {
    let network = context.site.network(&plan.name).await?;
    let authority = neighbours::authority(context, plan)?;
    let beside = neighbours::start(context, plan, supplied, &network.name, authority.as_ref(), say).await;
    let before = cluster::Beside { network, neighbours: beside.standing, authority };
    let cluster = cluster::start(&context.site, plan, &supplied.cluster, before, say).await?;
    let own = cluster.own("register its secrets")?;
    own.secrets().iter().for_each(|secret| context.redactor.register(secret));
    if context.options.keep {
        keep_kubeconfig(context, &plan.name, own);
    }
    Ok(Started { cluster, belongings: beside.belongings })
}

/// A node that ended by itself before its cluster was up.
pub(super) struct NodeEnded {
    /// How: its exit code in words.
    pub(super) how: String,
    /// What it said last.
    pub(super) lines: Vec<String>,
    /// How long it had.
    pub(super) within: Duration,
}

/// Whether that is why the cluster did not start.
pub(super) fn node_ended(context: &Context, plan: &ClusterPlan, error: &RunError) -> Option<NodeEnded> {
    let RunError::Cluster(ClusterError::Engine(engine)) = error else { return None };
    let (how, lines) = engine.ended(&context.site.name_of(&Own::node_of(plan)))?;
    Some(NodeEnded { how: how.to_string(), lines: lines.to_vec(), within: UP_WITHIN })
}

/// Takes a finished cluster away, so that the next has the machine and its disk: an unpacked image is there once for each
/// cluster. The sweep at the end takes what is left.
pub(super) async fn stop(context: &Context, cluster: &Access) {
    let Ok(own) = cluster.own("take it away") else { return };
    for container in own.containers() {
        match context.site.engine().take_away(container).await {
            Ok(()) => drop(context.taken_away.fetch_add(1, Ordering::Relaxed)),
            Err(error) => context.sink.warn(format!("cluster {}: {container} was not removed: {error}", cluster.name)),
        }
    }
}

/// What a person needs to walk into a cluster that is left standing.
fn keep_kubeconfig(context: &Context, name: &str, own: &Own) {
    let path = context.options.directory.join(format!("{name}.kubeconfig"));
    match write_private(&path, own.kubeconfig().expose().as_bytes()) {
        Ok(()) => context.sink.note(format!("`kubectl --kubeconfig {}` walks into the cluster", path.display())),
        Err(error) => context.sink.warn(error.to_string()),
    }
}

/// Writes down what the outside world was asked and what the node said, before both are taken away; also of a cluster that did
/// not start, of which either may be missing.
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
        // What is there under this name, a link for example, is not written into.
        drop(std::fs::remove_file(&path));
        let text = context.redactor.text(&lines.join("\n"));
        if let Err(error) = write_private(&path, text.as_bytes()) {
            context.sink.warn(format!("cannot keep the {what}'s log in {}: {error}", path.display()));
        }
    }
}
