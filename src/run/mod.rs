//! Drives a run: engine, images, clusters, environments, flows, and the clean-up.
//!
//! Everything that happens in a run, including verdicts, is sent as events to the record, through the `Sink`. The
//! return value of [`e2e`] only says whether the run itself failed.

mod apart;
mod baselines;
mod chain;
mod cluster;
mod concealed;
mod environment;
mod error;
mod existing;
mod flow;
mod follow;
mod guests;
mod idle;
mod images;
mod inbound;
mod inputs;
mod limit;
mod lives;
pub mod look;
mod machine;
mod name_service;
mod own;
mod pods;
mod probers;
mod question;
mod reach;
mod reached;
mod readiness;
mod reset;
mod results;
mod rounds;
mod scene;
mod settle;
mod side_effects;
mod signature;
mod skipped;
mod slots;
pub mod standing;
mod step;
mod store;
mod theirs;
mod token;
mod verdicts;
mod witness;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parallax_vocab::event::{AGAIN, Failure};
use parallax_vocab::{EventKind, RunId, VariantId, millis};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::baselines::Baselines;
pub use self::concealed::conceal_made;
pub use self::error::RunError;
use self::existing::Place;
pub use self::images::{build_images, fetch, supply_of, wants};
use self::limit::Limit;
pub use self::machine::{Machine, ensure_engine, findings};
pub use self::skipped::{OnRequest, Skips};
use self::slots::Slots;
pub use self::standing::Standing;
pub use self::theirs::{ELSEWHERE, Present, Theirs, collect as collect_elsewhere, reap as reap_elsewhere};
use self::verdicts::Verdicts;
use parallax_engine::reaper::Notes;
use parallax_engine::{Kept, Site, StateDir, reaper};
use parallax_images::{K3s, Recipes};
use parallax_plan::{AtOnce, Plan};
use parallax_record::{Redactor, Sink};

/// The options of a run.
#[derive(Debug)]
pub struct Options {
    /// The id of the run.
    pub id: RunId,
    /// The root folder of the project.
    pub project: PathBuf,
    /// The folder for the files of this run.
    pub directory: PathBuf,
    /// The files from which images are built: `images.lock` and the recipes.
    pub recipes: Recipes,
    /// Which node image to use: the published k3s, or the image built from source.
    pub k3s: K3s,
    /// The existing cluster in which the run takes place. `None` if the run starts clusters of its own.
    pub theirs: Option<Theirs>,
    /// How a program runs if the scenario starts it on this machine and not in a container.
    pub programs: Programs,
    /// Whether missing tools may be installed (`--provision`).
    pub provision: bool,
    /// Whether to keep clusters and containers after the run (`--keep`).
    pub keep: bool,
    /// Whether `keep` applies only if a variant failed (`--keep-on-failure`).
    pub keep_only_failed: bool,
    /// The settings of `parallax up`, which keeps the environment of the run's only variant after the flow and serves
    /// the user's requests there. `None` in every other run.
    pub standing: Option<Standing>,
    /// The numbers of jobs, environments and clusters that may exist at the same time.
    pub at_once: AtOnce,
    /// The numbers of jobs and environments to which the limits in `at_once` may grow while the processors are idle.
    pub most: AtOnce,
    /// Which scenarios the user allows the run to skip.
    pub skips: Skips,
    /// Whether the run builds the images that are built only on request (`on-request` in images.lock).
    pub on_request: OnRequest,
    /// The seed of the random delays before the steps of a `repeat`. It replaces the seeds that scenarios declare.
    /// `None` keeps the seeds of the scenarios.
    pub seed: Option<u64>,
    /// The number of failed variants after which no further variant begins. `None` means no limit.
    pub max_fail: Option<u32>,
    /// The number of times that variants run again if they have no verdict because of the harness, the engine or the
    /// machine.
    pub retry_machine: u32,
    /// The time limit of the whole run. When it is reached, the run ends in the same way as after an interruption.
    /// `None` means no limit.
    pub timeout: Option<Duration>,
}

/// How a program runs if the scenario starts it on this machine and not in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// Programs run isolated from the other processes of the machine.
    Apart,
    /// Programs run without isolation, like any program that the user starts.
    Unconfined,
}

/// The state that all parts of a run share.
pub(crate) struct Context {
    pub(crate) options: Options,
    /// The run's objects in the container engine. `None` in a run in a cluster that the harness does not own.
    pub(crate) site: Option<Site>,
    pub(crate) sink: Sink,
    pub(crate) redactor: Redactor,
    pub(crate) cancel: CancellationToken,
    pub(crate) verdicts: Arc<Verdicts>,
    /// How long each step of a baseline took until its expectation held.
    pub(crate) baselines: Baselines,
    pub(crate) start: OffsetDateTime,
    /// Slots for work that needs processor time: the set-up of an environment, or the start of a node. A flow needs no
    /// slot, because it waits most of the time.
    pub(crate) jobs: Slots,
    /// Slots for the environments that exist at the same time. They are limited because each environment needs memory.
    pub(crate) environments: Slots,
    /// The slots for clusters that exist at the same time.
    pub(crate) clusters: Slots,
    /// The buckets and prefixes of existing stores below which the run may have written objects.
    pub(crate) written: Mutex<Vec<Place>>,
    /// The pipe through which a run in somebody else's cluster tells its reaper the buckets and prefixes of existing
    /// stores below which the run may write. In a run with clusters of its own, no pipe is open, and notes are dropped.
    pub(crate) notes: Notes,
    /// The agents (guests) that the run has placed in containers of applications.
    pub(crate) guests: guests::AllPlaced,
    /// The number of objects (containers, networks) that were removed together with their finished clusters, before the
    /// clean-up at the end of the run.
    pub(crate) taken_away: AtomicUsize,
}

impl Context {
    /// The state of a run that begins now.
    fn new(
        options: Options,
        site: Option<Site>,
        (sink, redactor): (&Sink, Redactor),
        cancel: &CancellationToken,
        verdicts: &Arc<Verdicts>,
    ) -> Self {
        Self {
            jobs: Slots::up_to(options.at_once.jobs, options.most.jobs),
            environments: Slots::up_to(options.at_once.environments, options.most.environments),
            clusters: Slots::new(options.at_once.clusters),
            written: Mutex::default(),
            notes: Notes::default(),
            guests: guests::AllPlaced::default(),
            taken_away: AtomicUsize::new(0),
            options,
            site,
            sink: sink.clone(),
            redactor,
            cancel: cancel.clone(),
            verdicts: Arc::clone(verdicts),
            baselines: Baselines::default(),
            start: OffsetDateTime::now_utc(),
        }
    }

    /// The run's objects in the container engine.
    ///
    /// # Panics
    ///
    /// Panics in a run in a cluster that the harness does not own. Such a run uses no container engine.
    pub(crate) fn site(&self) -> &Site {
        self.site.as_ref().expect("a run that starts clusters has a container engine")
    }
}

/// Runs a plan to its end, including the clean-up. The error says why the run itself failed. A variant that does not
/// behave as its scenario declares does not make the result an error.
pub async fn e2e(
    options: Options,
    plan: &Plan,
    sink: Sink,
    redactor: Redactor,
    cancel: CancellationToken,
) -> Result<(), Failure> {
    let verdicts = Arc::new(Verdicts::new(sink.clone(), options.max_fail, options.retry_machine));
    let limit = Limit::new(options.timeout, &sink, &cancel);
    let done = match options.theirs.clone() {
        None => with_plan(options, plan, &sink, redactor, &limit.cancel, &verdicts).await,
        Some(it) => Box::pin(theirs::with_plan(options, plan, &it, (&sink, redactor), &limit.cancel, &verdicts)).await,
    };
    match done {
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
    let engine = machine.engine.clone();
    verdicts.doubt(move || machine::full_disk(&engine));
    let kept = Kept { project: options.project.clone(), directory: options.directory.clone() };
    let kept = options.keep.then_some(&kept);
    let site = Site::open(machine.engine.clone(), StateDir::of_user()?, options.id.clone(), kept)?;
    let stays = options.keep && !options.keep_only_failed;
    let reaper = if stays { None } else { Some(reaper::Reaper::spawn(&site)?) };
    let context = Arc::new(Context::new(options, Some(site.clone()), (sink, redactor), cancel, verdicts));
    let result = tokio::select! {
        result = retried(&context, &machine, plan) => result,
        never = idle::lend([&context.jobs, &context.environments]) => match never {},
    };
    if stays || context.options.keep_only_failed && context.verdicts.any_red() {
        if let Some(reaper) = reaper {
            reaper.closed();
        }
        for line in reach::of_kept(&context.options.directory, plan) {
            sink.note(line);
        }
        sink.note(format!(
            "nothing was removed, because of {}; `parallax down {}` removes everything",
            if stays { "--keep" } else { "--keep-on-failure" },
            context.options.id
        ));
        return result;
    }
    clean_up(&site, sink, context.taken_away.load(Ordering::Relaxed)).await;
    if context.options.keep {
        crate::standing::remove_secrets(&context.options.directory);
    }
    if let Some(reaper) = reaper {
        reaper.closed();
    }
    result
}

/// Runs the plan. Variants that got no verdict because of the harness, the engine or the machine run again in new
/// clusters, at most `retry_machine` times.
async fn retried(context: &Arc<Context>, machine: &Machine, plan: &Plan) -> Result<(), RunError> {
    let mut result = everything(context, machine, plan).await;
    for number in 1..=context.options.retry_machine {
        if let Err(error) = &result {
            if !error.is_of_the_machine() || context.cancel.is_cancelled() {
                break;
            }
            context.verdicts.give_up(plan.variants().map(|(.., variant)| variant), error);
        }
        // As many variants have failed as the user allows (`--max-fail`). So no further variant begins, and no variant
        // runs again.
        if context.verdicts.enough() {
            break;
        }
        let again = context.verdicts.take_back();
        if again.is_empty() {
            break;
        }
        let names = again.iter().map(VariantId::as_str).collect::<Vec<_>>().join(", ");
        context.sink.warn(format!(
            "try {number} of {} (--retry-machine): the harness, the engine or the machine failed, so these variants run again: {names}",
            context.options.retry_machine
        ));
        result = everything(context, machine, &plan.only(&again, &format!("{AGAIN}{number}"))).await;
    }
    result
}

async fn everything(context: &Arc<Context>, machine: &Machine, plan: &Plan) -> Result<(), RunError> {
    // `possible` and `images::obtain` obtain images. An interruption of the run does not drop their futures, because
    // the futures have to stop tools and remove files. They notice the interruption themselves, and end.
    let possible = skipped::possible(context, machine, plan).await?.into_owned();
    let possible = inputs::within_the_network(context, possible);
    if possible.clusters.is_empty() {
        return Ok(());
    }
    let supplied = images::obtain(context, machine, &possible).await;
    if context.cancel.is_cancelled() {
        return Err(RunError::Interrupted);
    }
    let supplied = Arc::new(supplied?);
    // Each cluster has its own thread, so that a computation for one cluster does not lengthen the times that are
    // measured in another.
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
    // Every cluster runs to its end. A cluster that cannot start does not prevent the verdicts of other clusters.
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
        elsewhere: false,
        remaining: swept.commands(),
        took_ms: millis(began.elapsed()),
    });
}
