//! Starts one cluster, runs its environments, and removes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{join_all, try_join};

use super::error::RunError;
use super::images::Supplied;
use super::own::{self, Started};
use super::{Context, environment, readiness};
use crate::apply::{self, Applier};
use crate::cluster::{self, Access, nodes_ready};
use parallax_language::fixture::{DnsPlace, DnsRule};
use parallax_plan::ClusterPlan;

/// The time limit for the node to become ready, measured from the first answer of the apiserver.
const NODE_WITHIN: Duration = Duration::from_mins(3);
/// The time limit for the cluster's answer about what blocks the deletion of its namespaces.
const HELD_WITHIN: Duration = Duration::from_secs(10);

/// Runs the variants of a cluster. If the cluster fails, each of its variants that has no verdict yet ends with the
/// same error.
pub(super) async fn run(context: &Arc<Context>, plan: &ClusterPlan, supplied: &Supplied) -> Result<(), RunError> {
    let result = live(context, plan, supplied).await;
    if let Err(error) = &result {
        context.verdicts.give_up(plan.environments.iter().flat_map(|it| &it.variants), error);
    }
    result
}

/// Starts a cluster, then runs its environments concurrently. An environment waits until a slot is free.
async fn live(context: &Arc<Context>, plan: &ClusterPlan, supplied: &Supplied) -> Result<(), RunError> {
    let _slot = context.clusters.take(plan.priority).await;
    if context.verdicts.enough() {
        for environment in &plan.environments {
            context.verdicts.none_begins(&environment.variants);
        }
        return Ok(());
    }
    // The start of a node needs as much processor time as the set-up of an environment. Therefore the start takes one
    // of the slots that also limit set-ups (`--jobs`).
    let starting = context.jobs.take(plan.priority).await;
    let setup =
        context.sink.setup(format!("cluster/{}", plan.name), format!("cluster {} ({})", plan.name, supplied.node()));
    let say = |text: &str| setup.progress(text);
    let began = Instant::now();
    let Started { cluster, mut provisioned } = match own::start(context, plan, supplied, &say).await {
        Ok(started) => started,
        Err(error) => {
            own::keep_evidence(context, plan).await;
            let ended = own::node_ended(context, plan, &error);
            let unready = ended.and_then(|ended| readiness::of_cluster(plan, &ended, began.elapsed()));
            let result = match unready {
                None => {
                    setup.failed(error.failure());
                    Err(error)
                }
                Some(unready) => {
                    setup.done(readiness::not_ready(std::slice::from_ref(&unready)));
                    readiness::judge_cluster(context, plan, &unready);
                    Ok(())
                }
            };
            own::stop(context, &plan.name).await;
            return result;
        }
    };
    drop(starting);
    let mut lost = Box::pin(cluster.lost());
    let applier = match Applier::new(cluster.client.clone(), supplied.references.clone()).await {
        Ok(applier) => applier,
        Err(error) => {
            setup.failed(error.failure());
            own::keep_evidence(context, plan).await;
            own::stop(context, &plan.name).await;
            return Err(error.into());
        }
    };
    setup.progress("the node's readiness");
    // Environments are set up while the node is still becoming ready. The apiserver already stores their objects, and
    // the pods start when the node is ready.
    let ready = async {
        let ready = node_ready(&cluster).await;
        match &ready {
            Ok(()) => setup.done("ready"),
            Err(error) => setup.failed(error.failure()),
        }
        ready
    };
    let rules: Vec<&DnsRule> = plan.dns_rules().filter(|rule| rule.place == DnsPlace::Corefile).collect();
    let shared = environment::Shared::of(plan);
    let environments = async {
        if !rules.is_empty() {
            Box::pin(apply::write_into_corefile(&cluster.client, &rules)).await?;
        }
        let all = plan.environments.iter().map(|it| match provisioned.remove(&it.namespace).transpose() {
            Ok(provisioned) => environment::run(context, &applier, &cluster, it, provisioned, &shared).left_future(),
            Err(failure) => {
                for variant in &it.variants {
                    context.verdicts.fail_by_machine(&variant.id, failure.clone(), 0);
                }
                shared.ended();
                std::future::ready(()).right_future()
            }
        });
        join_all(all).await;
        Ok(())
    };
    let result = tokio::select! {
        error = &mut lost => Err(error.into()),
        result = try_join(ready, environments) => result.map(drop),
    };
    if result.is_ok() && !context.options.keep {
        warn_of_blocked_deletions(context, &cluster, plan).await;
    }
    own::keep_evidence(context, plan).await;
    own::stop(context, &plan.name).await;
    result
}

/// Warns about namespaces whose deletion is blocked, with the reason. The run does not wait for the deletion of
/// namespaces, because this cluster is removed as a whole. In a cluster that stays, such a namespace would remain.
/// Namespaces that the namespace controller has not processed yet are ignored.
async fn warn_of_blocked_deletions(context: &Context, cluster: &Access, plan: &ClusterPlan) {
    if let Err(reason) = cluster::answers(&cluster.client).await {
        context
            .sink
            .warn(format!("cluster {} did not answer whether its namespaces can be deleted: {reason}", cluster.name));
        return;
    }
    let asked = plan.environments.iter().map(|it| apply::held_by(&cluster.client, &it.namespace));
    let Ok(all) = tokio::time::timeout(HELD_WITHIN, join_all(asked)).await else {
        context
            .sink
            .warn(format!("cluster {} did not answer in time whether its namespaces can be deleted", cluster.name));
        return;
    };
    for (environment, held) in plan.environments.iter().zip(all) {
        match held {
            Ok(held) if held.is_empty() => {}
            Ok(held) => context.sink.warn(format!(
                "namespace {} cannot be deleted, because {}; in a cluster that stays, the program that sets a finalizer must remove it",
                environment.namespace,
                held.join("; ")
            )),
            Err(error) => context.sink.warn(error.to_string()),
        }
    }
}

async fn node_ready(cluster: &Access) -> Result<(), RunError> {
    let ready = nodes_ready(cluster.client.clone());
    Ok(cluster.within("a ready node", NODE_WITHIN, ready).await?)
}
