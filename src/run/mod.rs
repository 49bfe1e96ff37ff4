//! Driving a run: engine, images, clusters, environments, flows, and the end of it all.
//!
//! Whatever happens here is said into the sink; verdicts are events, and what this room returns is only how the run
//! itself ended.

mod apart;
mod baselines;
mod chain;
mod cluster;
mod concealed;
mod deeds;
mod environment;
mod error;
mod flow;
mod images;
mod kept;
mod limit;
mod lives;
mod machine;
mod own;
mod probers;
mod question;
mod reached;
mod readiness;
mod reset;
mod rounds;
mod scene;
mod settle;
mod signature;
mod skipped;
mod slots;
mod step;
mod store;
mod token;
mod verdicts;
mod witness;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parallax_vocab::event::Failure;
use parallax_vocab::{EventKind, RunId, millis};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::baselines::Baselines;
pub use self::error::RunError;
pub use self::images::{build_images, fetch, supply_of, wants};
use self::limit::Limit;
pub use self::machine::{Machine, ensure_engine};
pub use self::skipped::Skips;
use self::slots::Slots;
use self::verdicts::Verdicts;
use parallax_engine::{Site, StateDir, reaper};
use parallax_images::{K3s, Recipes};
use parallax_plan::{AtOnce, Plan};
use parallax_record::{Redactor, Sink};

/// What a run is asked to do.
#[derive(Debug)]
pub struct Options {
    /// The run's id.
    pub id: RunId,
    /// The run's own folder.
    pub directory: PathBuf,
    /// Whose images.lock and recipes it goes by.
    pub recipes: Recipes,
    /// Which node image to use.
    pub k3s: K3s,
    /// Whether missing tools may be installed.
    pub provision: bool,
    /// Leave everything standing.
    pub keep: bool,
    /// How much is under way at once.
    pub at_once: AtOnce,
    /// Which skips are no mistake.
    pub skips: Skips,
    /// What random moments are drawn from, instead of what scenarios say.
    pub seed: Option<u64>,
    /// How long the whole run may take; then it ends as when it is interrupted.
    pub timeout: Option<Duration>,
}

/// Everything that every part of a run needs.
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) site: Site,
    pub(crate) sink: Sink,
    pub(crate) redactor: Redactor,
    pub(crate) cancel: CancellationToken,
    pub(crate) verdicts: Arc<Verdicts>,
    /// When baselines came to hold.
    pub(crate) baselines: Baselines,
    pub(crate) start: OffsetDateTime,
    /// For what takes processors: an environment that comes up, a node that starts. A flow, which waits most of its time,
    /// takes none.
    pub(crate) jobs: Slots,
    /// For environments that stand, which take memory.
    pub(crate) environments: Slots,
    /// For clusters that stand.
    pub(crate) clusters: Slots,
    /// How many containers were taken away before the end, with their clusters.
    pub(crate) taken_away: AtomicUsize,
}

/// Runs a plan to its end, clean-up included. The error is why the run itself failed.
pub async fn e2e(
    options: Options,
    plan: &Plan,
    sink: Sink,
    redactor: Redactor,
    cancel: CancellationToken,
) -> Result<(), Failure> {
    let verdicts = Arc::new(Verdicts::new(sink.clone()));
    let limit = Limit::new(options.timeout, &sink, &cancel);
    match with_plan(options, plan, &sink, redactor, &limit.cancel, &verdicts).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let error = limit.reason(error);
            let without = verdicts.give_up(plan.variants().map(|(_, _, variant)| variant), &error);
            if cancel.is_cancelled() { Ok(()) } else { Err(error.naming(&without).failure()) }
        }
    }
}

async fn with_plan(
    options: Options,
    plan: &Plan,
    sink: &Sink,
    redactor: Redactor,
    cancel: &CancellationToken,
    verdicts: &Arc<Verdicts>,
) -> Result<(), RunError> {
    let machine = tokio::select! {
        () = cancel.cancelled() => return Err(RunError::Interrupted),
        machine = Machine::find(sink, options.provision) => machine?,
    };
    let site = Site::open(machine.engine.clone(), StateDir::of_user()?, options.id.clone(), options.keep)?;
    let reaper = if options.keep { None } else { Some(reaper::Reaper::spawn(&site)?) };
    let context = Arc::new(Context {
        jobs: Slots::new(options.at_once.jobs),
        environments: Slots::new(options.at_once.environments),
        clusters: Slots::new(options.at_once.clusters),
        taken_away: AtomicUsize::new(0),
        options,
        site: site.clone(),
        sink: sink.clone(),
        redactor,
        cancel: cancel.clone(),
        verdicts: Arc::clone(verdicts),
        baselines: Baselines::default(),
        start: OffsetDateTime::now_utc(),
    });
    let result = everything(&context, &machine, plan).await;
    if context.options.keep {
        sink.note(format!("left standing as asked; `parallax down {}` takes it down", context.options.id));
        return result;
    }
    clean_up(&site, sink, context.taken_away.load(Ordering::Relaxed)).await;
    if let Some(reaper) = reaper {
        reaper.closed();
    }
    result
}

async fn everything(context: &Arc<Context>, machine: &Machine, plan: &Plan) -> Result<(), RunError> {
    // Builds hear of an interruption themselves: they have tools to stop and files to take away.
    let possible = skipped::possible(context, machine, plan).await?.into_owned();
    if possible.clusters.is_empty() {
        return Ok(());
    }
    let supplied = images::obtain(context, machine, &possible).await;
    if context.cancel.is_cancelled() {
        return Err(RunError::Interrupted);
    }
    let supplied = Arc::new(supplied?);
    // A thread for each, so that what one computes stretches no other's times.
    let mut clusters = JoinSet::new();
    for cluster in possible.clusters {
        let (context, supplied) = (Arc::clone(context), Arc::clone(&supplied));
        clusters.spawn_blocking(move || {
            Handle::current().block_on(async {
                tokio::select! {
                    () = context.cancel.cancelled() => Err(RunError::Interrupted),
                    result = cluster::run(&context, &cluster, &supplied) => result,
                }
            })
        });
    }
    // Every cluster is run to its end, so that one that cannot start hides no verdict of another.
    let mut result = Ok(());
    while let Some(ended) = clusters.join_next().await {
        match ended {
            Ok(of_cluster) => result = result.and(of_cluster),
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
    result
}

async fn clean_up(site: &Site, sink: &Sink, taken_away: usize) {
    let began = std::time::Instant::now();
    let swept = site.close().await;
    sink.say(EventKind::CleanedUp {
        removed: swept.removed.len() + taken_away,
        remaining: swept.remaining.iter().map(parallax_engine::Remaining::command).collect(),
        took_ms: millis(began.elapsed()),
    });
}
