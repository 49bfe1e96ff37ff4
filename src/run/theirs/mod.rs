//! A run in a cluster that the harness does not own, such as the user's own cluster. The counterpart is `run::own`.
//!
//! The cluster continues to exist after the run. The run creates objects only in its namespaces, unless the user allows
//! more. It changes no object that it has not created. At its end, it waits until its objects are gone. A variant is
//! skipped with a reason if the cluster, the user's rights or the images on the nodes do not allow it to run.

mod fits;
mod images;
mod lease;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use parallax_vocab::{EventKind, millis};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::fits::Place;
use self::images::Images;
pub use self::images::Present;
pub use self::lease::{ELSEWHERE, collect, reap};
use super::error::RunError;
use super::images::AGENT;
use super::skipped::skip;
use super::verdicts::Verdicts;
use super::{Context, Options, environment, existing, guests, inputs};
use crate::apply::{self, Applier, ApplyError, Reach, Rights, Visit, clear};
use crate::cluster::{self, Access, Foreign};
use parallax_engine::{StateDir, reaper};
use parallax_plan::{ClusterPlan, EnvironmentPlan, Plan};
use parallax_record::{Noted as _, Redactor, Sink};

/// What the user says about the cluster of the run. The harness does not own this cluster.
#[derive(Clone, Debug)]
pub struct Theirs {
    /// The path of the kubeconfig.
    pub kubeconfig: PathBuf,
    /// The context of the kubeconfig; `None` for the current context.
    pub context: Option<String>,
    /// Where the run may create objects.
    pub reach: Reach,
    /// The images that the nodes have, according to the user.
    pub present: Present,
    /// The name servers for vantages outside the cluster. If the list is empty, these vantages use the name servers of
    /// this machine.
    pub name_servers: Vec<SocketAddr>,
    /// The certificates that this machine trusts, as PEM. `None` if they are not known.
    pub trusted: Option<String>,
}

/// Runs a plan in somebody else's cluster, and removes the run's objects.
pub(super) async fn with_plan(
    options: Options,
    plan: &Plan,
    theirs: &Theirs,
    (sink, redactor): (&Sink, Redactor),
    cancel: &CancellationToken,
    verdicts: &Arc<Verdicts>,
) -> Result<(), RunError> {
    let setup = sink.setup("cluster".to_owned(), format!("cluster of {}", theirs.kubeconfig.display()));
    let opened = async {
        let opened = cluster::foreign(Some(&theirs.kubeconfig), theirs.context.as_deref()).await?;
        opened.secrets.iter().for_each(|it| redactor.register(it));
        cluster::answers(&opened.access.client).await.map_err(|reason| RunError::Machine {
            what: format!("cluster {}: {reason}", opened.access.name),
            fix: "look whether `kubectl version` answers with this kubeconfig and context".to_owned(),
        })?;
        Ok::<_, RunError>(opened)
    };
    let opened = tokio::select! {
        () = cancel.cancelled() => return Err(RunError::Interrupted),
        opened = opened => opened,
    };
    let Foreign { mut access, kubeconfig, .. } = match opened {
        Ok(opened) => opened,
        Err(error) => {
            setup.failed(error.failure());
            return Err(error);
        }
    };
    access.outside.name_servers.clone_from(&theirs.name_servers);
    setup.done(format!("context {}", access.name));
    let (state, run) = (StateDir::of_user()?, options.id.clone());
    lease::open(&state, &run, &kubeconfig, &theirs.reach)?;
    // If the reaper cannot be started, the copy of the kubeconfig is removed at once. Nothing exists in the cluster
    // yet, so the copy is not needed for a clean-up.
    let reaper = reaper::Reaper::spawn_for(&run, ELSEWHERE, &state);
    let reaper = reaper.inspect_err(|_| {
        state.forget(&run).noted("remove the folder of a run");
    })?;
    let mut context = Context::new(options, None, (sink, redactor), cancel, verdicts);
    context.notes = reaper.notes();
    let result = tokio::select! {
        () = cancel.cancelled() => Err(RunError::Interrupted),
        result = everything(&context, plan, theirs, &access) => result,
    };
    let began = Instant::now();
    let left_in_pods = guests::remove(&context, None).await;
    let cleared = clear(&access.client, &run, &theirs.reach).await;
    let is_clean = cleared.remaining.is_empty();
    // What the run wrote into existing stores is removed only now. All pods of the run are gone, so they can no longer
    // write to the stores.
    let (objects, left) = existing::clear(&context, None).await;
    let removed = cleared.removed.len() + objects + context.taken_away.load(Ordering::Relaxed);
    let remaining = cleared.remaining.into_iter().chain(left).chain(left_in_pods).collect();
    sink.say(EventKind::CleanedUp { removed, elsewhere: true, remaining, took_ms: millis(began.elapsed()) });
    reaper.closed();
    if is_clean {
        state.forget(&run)?;
    }
    result
}

/// Skips the variants that cannot run in this cluster, and runs the others. The plan may have several clusters, but all
/// of them stand for this one real cluster. So the planned clusters run one after the other, and the objects of one are
/// removed before the next one begins.
async fn everything(context: &Context, plan: &Plan, theirs: &Theirs, access: &Access) -> Result<(), RunError> {
    let images = Images::of(&context.options.recipes, &access.client, theirs.present.clone()).await?;
    let visit = Visit { run: context.options.id.clone(), namespace: theirs.reach.namespace.clone() };
    let references = plan.images().into_iter().chain([AGENT]);
    let references = references.filter_map(|it| Some((it.to_owned(), images.reference(it).ok()?)));
    let references: BTreeMap<String, String> = references.collect();
    let applier = Applier::visiting(access.client.clone(), references, visit).await?;
    let plan = possible(context, plan, (theirs, access), &applier, &images).await?;
    for cluster in &plan.clusters {
        let shared = environment::Shared::of(cluster);
        let all = cluster.environments.iter().map(|it| async {
            environment::run(context, &applier, access, it, None, &shared).await;
            take_away(context, &applier, it).await
        });
        let results = join_all(all).await;
        told(results, theirs.reach.namespace.is_some(), &context.sink)?;
        if theirs.reach.wide {
            let cleared = clear(&access.client, &context.options.id, &theirs.reach).await;
            context.taken_away.fetch_add(cleared.removed.len(), Ordering::Relaxed);
            if let Some(line) = cleared.remaining.first() {
                let what = "the removal of the run's objects between two environments".to_owned();
                return Err(ApplyError::Remains { what, reason: line.clone() }.into());
            }
        }
    }
    Ok(())
}

/// Removes an environment. The cluster stays, so the environment must be gone before the run ends, and before another
/// environment uses the same namespace. What the environment wrote into existing stores is removed last, because then
/// no pod of the environment can write any more.
async fn take_away(context: &Context, applier: &Applier, plan: &EnvironmentPlan) -> Result<(), ApplyError> {
    let removed = apply::take_away(applier, &context.options.id, &plan.namespace).await;
    context.taken_away.fetch_add(removed?, Ordering::Relaxed);
    let (objects, left) = existing::clear(context, Some(&plan.namespace)).await;
    context.taken_away.fetch_add(objects, Ordering::Relaxed);
    if left.is_empty() {
        return Ok(());
    }
    let what = format!("the removal of what namespace {} wrote into existing stores", plan.namespace);
    Err(ApplyError::Remains { what, reason: left.join("; ") })
}

/// Reports each environment that could not be removed. If the environments share one namespace (`shared`), the next
/// environment would find the remaining objects. Therefore the first error is then returned instead of reported, and it
/// ends the run.
fn told(removed: Vec<Result<(), ApplyError>>, shared: bool, sink: &Sink) -> Result<(), ApplyError> {
    let mut errors = removed.into_iter().filter_map(Result::err);
    let first = if shared { errors.next() } else { None };
    errors.for_each(|error| sink.warn(error.to_string()));
    first.map_or(Ok(()), Err)
}

/// The plan without the variants that cannot run in this cluster. Reports each removed variant with the reason: as
/// skipped, or as an error if the user denies skips.
async fn possible(
    context: &Context,
    plan: &Plan,
    (theirs, access): (&Theirs, &Access),
    applier: &Applier,
    images: &Images,
) -> Result<Plan, RunError> {
    let place = Place {
        wide: theirs.reach.wide,
        is_named: theirs.reach.namespace.is_some(),
        has_authority: !access.authority.is_empty(),
    };
    let rights = Rights::of(access.client.clone(), theirs.reach.namespace.clone());
    let mut possible = plan.clone();
    for cluster in &mut possible.clusters {
        let mut environments = Vec::new();
        for mut environment in std::mem::take(&mut cluster.environments) {
            let mut of_all = fits::reasons(place, cluster, &environment);
            of_all.extend(inputs::missing(&environment));
            // The user's rights and the nodes' images are examined only if nothing else prevents the environment from
            // running here.
            if of_all.is_empty() {
                of_all.extend(without_image(cluster, &environment, images));
                of_all.extend(rights.lacking(applier, &fits::needs(&environment)).await?);
            }
            let variants = std::mem::take(&mut environment.variants);
            for variant in variants {
                let own = fits::reasons_of_variant(place, &environment, &variant);
                let reasons: Vec<String> = of_all.iter().cloned().chain(own).collect();
                if reasons.is_empty() {
                    environment.variants.push(variant);
                } else {
                    skip(context, &variant.id, &reasons);
                }
            }
            if !environment.variants.is_empty() {
                environments.push(environment);
            }
        }
        cluster.environments = environments;
    }
    possible.clusters.retain(|it| !it.environments.is_empty());
    Ok(possible)
}

/// The reasons why the nodes cannot have the images of an environment.
fn without_image(cluster: &ClusterPlan, environment: &EnvironmentPlan, images: &Images) -> Vec<String> {
    let alone = ClusterPlan { environments: vec![environment.clone()], ..cluster.clone() };
    let agent = (!environment.pods.is_empty()).then_some(AGENT);
    let mut names = alone.images();
    names.extend(agent);
    names.into_iter().filter_map(|it| images.reference(it).err()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn an_environment_that_stays_is_told_once() {
        let stays = |what: &str| Err(ApplyError::Remains { what: what.to_owned(), reason: "it stays".to_owned() });
        for (shared, expected) in [(false, (vec!["a", "b"], None)), (true, (vec!["b"], Some("a")))] {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let taker = Arc::clone(&heard);
            let sink = Sink::new(move |event| taker.lock().expect("not poisoned").push(event));
            let error = told(vec![stays("a"), Ok(()), stays("b")], shared, &sink).err();
            let heard = heard.lock().expect("not poisoned");
            let text = |what: &str| stays(what).expect_err("it stays").to_string();
            let warnings: Vec<EventKind> = expected.0.iter().map(|it| EventKind::Warning { text: text(it) }).collect();
            assert_eq!(*heard, warnings, "shared: {shared}");
            assert_eq!(error.map(|it| it.to_string()), expected.1.map(text), "shared: {shared}");
        }
    }
}
