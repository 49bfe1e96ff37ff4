//! One cluster's life.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{join_all, try_join};

use super::error::RunError;
use super::images::Supplied;
use super::{Context, environment, neighbours, readiness};
use crate::apply::{self, Applier};
use crate::certs::write_private;
use crate::cluster::{self, Cluster, nodes_ready};
use crate::world;
use parallax_language::fixture::{DnsPlace, DnsRule};
use parallax_plan::ClusterPlan;

/// How long a node may take to be ready once its apiserver answers.
const NODE_WITHIN: Duration = Duration::from_secs(90);
/// How long a cluster may take to say what holds its namespaces.
const HELD_WITHIN: Duration = Duration::from_secs(10);
/// Lines of the world's log that are looked through for evidence.
const WORLD_LINES: usize = 5_000;

/// Runs a cluster's variants. Where the cluster fails, those of them that are without a verdict are told its own reason.
pub(super) async fn run(context: &Arc<Context>, plan: &ClusterPlan, supplied: &Supplied) -> Result<(), RunError> {
    let result = live(context, plan, supplied).await;
    if let Err(error) = &result {
        context.verdicts.give_up(plan.environments.iter().flat_map(|it| &it.variants), error);
    }
    result
}

/// Starts a cluster and runs its environments side by side, as many as there are places for.
async fn live(context: &Arc<Context>, plan: &ClusterPlan, supplied: &Supplied) -> Result<(), RunError> {
    let _standing = context.clusters.take(plan.urgency).await;
    // A node that starts takes as much of the machine as an environment does.
    let starting = context.jobs.take(plan.urgency).await;
    let setup = context.sink.setup(
        format!("cluster/{}", plan.name),
        format!("cluster {} ({})", plan.name, if supplied.published { "published k3s" } else { "source-built node" }),
    );
    let say = |text: &str| setup.progress(text);
    let began = Instant::now();
    let started = async {
        let network = context.site.network(&plan.name).await?;
        let authority = neighbours::authority(context, plan)?;
        let beside = neighbours::start(context, plan, supplied, &network.name, authority.as_ref(), &say).await;
        let (site, images, neighbours) = (&context.site, &supplied.cluster, beside.standing.clone());
        let before = cluster::Beside { network, neighbours, authority };
        Ok::<_, RunError>((Cluster::start(site, plan, images, before, &say).await?, beside))
    };
    let (cluster, mut beside) = match started.await {
        Ok(started) => started,
        Err(error) => {
            keep_evidence(context, plan).await;
            let Some(unready) = readiness::of_cluster(context, plan, &error, began.elapsed()) else {
                setup.failed(error.failure());
                return Err(error);
            };
            setup.done(readiness::not_ready(std::slice::from_ref(&unready)));
            readiness::judge_cluster(context, plan, &unready);
            return Ok(());
        }
    };
    drop(starting);
    cluster.secrets.iter().for_each(|secret| context.redactor.register(secret));
    let mut exited = Box::pin(cluster.exited(&context.site));
    let applier = match Applier::new(cluster.client.clone(), supplied.references.clone()).await {
        Ok(applier) => applier,
        Err(error) => {
            setup.failed(error.failure());
            keep_evidence(context, plan).await;
            return Err(error.into());
        }
    };
    if context.options.keep {
        keep_kubeconfig(context, &cluster);
    }
    setup.progress("the node's readiness");
    // Environments begin while the node is still becoming ready: their objects are stored, their pods follow.
    let ready = async {
        let ready = node_ready(context, &cluster).await;
        match &ready {
            Ok(()) => setup.done("ready"),
            Err(error) => setup.failed(error.failure()),
        }
        ready
    };
    let rules: Vec<&DnsRule> = plan.dns_rules().filter(|rule| rule.place == DnsPlace::Corefile).collect();
    let wide = tokio::sync::Mutex::new(());
    let environments = async {
        if !rules.is_empty() {
            Box::pin(apply::write_into_corefile(&cluster.client, &rules)).await?;
        }
        let all = plan.environments.iter().map(|it| match beside.belongings.remove(&it.namespace).transpose() {
            Ok(belongings) => environment::run(context, &applier, &cluster, it, belongings, &wide).left_future(),
            Err(failure) => {
                environment::given_up(context, it, &failure);
                std::future::ready(()).right_future()
            }
        });
        join_all(all).await;
        Ok(())
    };
    let result = tokio::select! {
        error = &mut exited => Err(error.into()),
        result = try_join(ready, environments) => result.map(drop),
    };
    if result.is_ok() && !context.options.keep {
        tell_what_is_held(context, &cluster, plan).await;
    }
    keep_evidence(context, plan).await;
    if !context.options.keep {
        stop(context, &cluster).await;
    }
    result
}

/// Takes a finished cluster away, so that the next has the machine and its disk: an unpacked image is there once for each
/// cluster. The sweep at the end takes what is left.
async fn stop(context: &Context, cluster: &Cluster) {
    let beside = cluster.world.neighbours().iter().map(|it| it.container.name.as_str());
    for container in [cluster.node.name.as_str(), cluster.world.container()].into_iter().chain(beside) {
        match context.site.engine().take_away(container).await {
            Ok(()) => drop(context.taken_away.fetch_add(1, Ordering::Relaxed)),
            Err(error) => context.sink.warn(format!("cluster {}: {container} was not removed: {error}", cluster.name)),
        }
    }
}

/// Says which namespaces could not go, and why: a cluster of a person's own would keep them. This one goes with all that
/// is in it, so nobody waits.
async fn tell_what_is_held(context: &Context, cluster: &Cluster, plan: &ClusterPlan) {
    if let Err(reason) = cluster::answers(&cluster.client).await {
        context.sink.warn(format!("cluster {} cannot be asked whether its namespaces go: {reason}", cluster.name));
        return;
    }
    let asked = plan.environments.iter().map(|it| apply::held_by(&cluster.client, &it.namespace));
    let Ok(all) = tokio::time::timeout(HELD_WITHIN, join_all(asked)).await else {
        context.sink.warn(format!("cluster {} does not say in time whether its namespaces go", cluster.name));
        return;
    };
    for (environment, held) in plan.environments.iter().zip(all) {
        match held {
            Ok(held) if held.is_empty() => {}
            Ok(held) => context.sink.warn(format!(
                "namespace {} does not go, for {}; in a cluster that stays, what sets the finalizer must take it away",
                environment.namespace,
                held.join("; ")
            )),
            Err(error) => context.sink.warn(error.to_string()),
        }
    }
}

async fn node_ready(context: &Context, cluster: &Cluster) -> Result<(), RunError> {
    let ready = nodes_ready(cluster.client.clone());
    Ok(cluster.within(&context.site, "a ready node", NODE_WITHIN, ready).await?)
}

/// What a person needs to walk into a cluster that is left standing.
fn keep_kubeconfig(context: &Context, cluster: &Cluster) {
    let path = context.options.directory.join(format!("{}.kubeconfig", cluster.name));
    match write_private(&path, cluster.kubeconfig.expose().as_bytes()) {
        Ok(()) => context.sink.note(format!("`kubectl --kubeconfig {}` walks into the cluster", path.display())),
        Err(error) => context.sink.warn(error.to_string()),
    }
}

/// Writes down what the outside world was asked and what the node said, before both are taken away; also of a cluster that did
/// not start, of which either may be missing.
async fn keep_evidence(context: &Context, plan: &ClusterPlan) {
    let engine = context.site.engine();
    for (what, container) in [("world", world::World::of(plan)), ("node", Cluster::node_of(plan))] {
        let lines = match engine.logs(&context.site.name_of(&container), WORLD_LINES).await {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(%error, "the log of {container} cannot be kept");
                continue;
            }
        };
        let lines = if what == "world" { world::questions(&lines, |_| true) } else { lines };
        let path = context.options.directory.join(format!("{}-{what}.log", plan.name));
        // What is there under this name, a link for example, is not written into.
        drop(std::fs::remove_file(&path));
        let text = context.redactor.text(&lines.join("\n"));
        if let Err(error) = write_private(&path, text.as_bytes()) {
            context.sink.warn(format!("cannot keep the {what}'s log in {}: {error}", path.display()));
        }
    }
}
