//! The functions behind the commands that need an engine.

use std::fmt::Write as _;
use std::path::Path;

use kube::config::Kubeconfig;
use parallax_vocab::event::{Exit, Failure};
use parallax_vocab::{RunId, inert};
use tokio_util::sync::CancellationToken;

use super::Project;
use crate::apply::Reach;
use crate::check;
use crate::cli::args::{Cli, Command, HostPrograms, ImagesCommand, K3s, Theirs};
use crate::cli::printer::is_ci;
use crate::cli::{CliError, Ended, Run, printer};
use crate::run::{self, Machine, OnRequest, RunError};
use parallax_engine::{Collected, Endpoint, Engine, Kept, RealSurroundings, StateDir, Surroundings as _};
use parallax_images::{Binaries, Cache, ImageStore, Lock, Place, Present, Recipes};
use parallax_language::scenario::Span;
use parallax_plan::Plan;
use parallax_record::Sink;

/// The address of the engine that `--provision` starts.
const DEFAULT_ENGINE: &str = "unix:///var/run/docker.sock";

/// Finds the engine. The library testcontainers reads the engine's address from environment variables. If their values
/// are wrong, this function replaces this process by the same program with the right values (`exec`). Threads and open
/// files do not survive this. So the program must call this function before it starts threads or opens files. A missing
/// engine is not an error here: it is reported later, when the run has a record.
pub fn before_anything(cli: &Cli) -> Result<(), CliError> {
    let needs_engine = match &cli.command {
        Command::E2e(options) => options.theirs.kubeconfig.is_none(),
        Command::Hold(_) => true,
        Command::Images(args) => !matches!(args.command, ImagesCommand::List),
        _ => false,
    };
    if !needs_engine {
        return Ok(());
    }
    // If no engine answers, the run uses the address that the user has set in `DOCKER_HOST`, or else the address of the
    // default engine. The run must not use another engine than the user chose.
    let named = || RealSurroundings.env("DOCKER_HOST").unwrap_or_else(|| DEFAULT_ENGINE.to_owned());
    let endpoint = parallax_engine::find(&RealSurroundings).unwrap_or_else(|_| Endpoint::given(named()));
    parallax_engine::ensure_environment(&endpoint).map_err(|error| failed(&RunError::from(error).failure()))
}

/// Returns the id of a new run.
pub fn fresh_run_id() -> RunId {
    parallax_engine::fresh_run_id()
}

/// Executes the plan, and sends all events to `run.sink`.
pub async fn e2e(run: Run, recipes: Recipes, plan: &Plan) -> Ended {
    run::conceal_made(&run.redactor, plan);
    let options = run::Options {
        id: run.id,
        project: run.project,
        directory: run.directory,
        recipes,
        k3s: policy(run.options.common.k3s),
        theirs: theirs(run.options.theirs),
        // Without `--allow-host-programs`, no scenario may run a program on this machine. The field `programs` then
        // applies only to the programs that the user runs with `parallax exec`.
        programs: match run.options.common.allow_host_programs {
            Some(HostPrograms::Apart) => run::Programs::Apart,
            Some(HostPrograms::Unconfined) | None => run::Programs::Unconfined,
        },
        provision: run.options.common.provision,
        keep: run.options.kept.keep || run.options.kept.keep_on_failure,
        keep_only_failed: run.options.kept.keep_on_failure,
        standing: run.standing,
        at_once: super::at_once(run.options.at_once),
        most: super::at_once_when_idle(run.options.at_once),
        skips: run::Skips {
            denied: run.options.deny_skips || is_ci() && !run.options.allow_skips,
            expected: run.options.allow_skip,
        },
        on_request: if run.options.selection.is_named() { OnRequest::Build } else { OnRequest::OnlyBuilt },
        seed: run.options.seed,
        max_fail: run.options.max_fail,
        retry_machine: run.options.retry_machine,
        timeout: run.options.timeout.map(Span::to_duration),
    };
    let result = run::e2e(options, plan, run.sink, run.redactor, run.cancel).await;
    Ended { failure: result.err() }
}

/// Checks, before anything starts, that the kubeconfig can be read and has the context that the user named.
pub fn check_kubeconfig(path: Option<&Path>, context: Option<&str>) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let wrong = |why: &dyn std::fmt::Display| CliError::Usage(format!("--kubeconfig {}: {why}", path.display()));
    let read = Kubeconfig::read_from(path).map_err(|error| wrong(&crate::cluster::unread(&error)))?;
    let names: Vec<&str> = read.contexts.iter().map(|it| it.name.as_str()).collect();
    match context.or(read.current_context.as_deref()) {
        Some(context) if names.contains(&context) => Ok(()),
        Some(context) => Err(wrong(&format!("it has no context `{context}`; it has {}", names.join(", ")))),
        None => Err(wrong(&format!("it names no current context; give one with --context: {}", names.join(", ")))),
    }
}

/// Returns the settings for a cluster that the harness does not own. `None` if the run starts its clusters itself.
fn theirs(options: Theirs) -> Option<run::Theirs> {
    let present = match options.images_present {
        None => run::Present::Unknown,
        Some(names) if names.iter().all(String::is_empty) => run::Present::All,
        Some(names) => run::Present::These(names.into_iter().collect()),
    };
    Some(run::Theirs {
        kubeconfig: options.kubeconfig?,
        context: options.context,
        reach: Reach { namespace: options.namespace, wide: options.allow_cluster_changes },
        present,
        name_servers: options.name_server,
        trusted: check::system(std::env::var_os("SSL_CERT_FILE").as_deref().map(Path::new)),
    })
}

pub(super) fn policy(k3s: K3s) -> parallax_images::K3s {
    match k3s {
        K3s::Auto => parallax_images::K3s::Auto,
        K3s::Published => parallax_images::K3s::Published,
        K3s::Built => parallax_images::K3s::Built,
    }
}

/// Returns the objects that the run's ledger lists, each with its kind and its name. These objects remain if the
/// process ends without a clean-up.
pub fn remaining(run: &RunId) -> Vec<String> {
    let Ok(state) = StateDir::of_user() else { return Vec::new() };
    if state.run_file(run).is_some_and(|it| it.endpoint == run::ELSEWHERE) {
        return vec![format!("every object with the label {}={run} in the cluster", crate::apply::RUN_LABEL)];
    }
    state.entries(run).iter().map(|entry| format!("{} {}", entry.kind, entry.name)).collect()
}

/// Returns the statically linked programs of Parallax itself, such as `parallax-agent`. Recipes put them into images.
pub(super) fn own_programs() -> Result<Binaries, CliError> {
    Binaries::of_this_program().map_err(|error| CliError::Harness(error.to_string()))
}

/// Returns the table of all images as text.
pub async fn images_list(project: &Path, sink: Sink, _cancel: CancellationToken) -> Result<String, CliError> {
    let cache = Cache::open()?;
    // Listing images changes nothing and runs nothing, so the project's own images.lock can be used even if its
    // author is not trusted.
    let lock = Lock::of(&Recipes::of(project.to_owned()), &cache)?;
    let binaries = own_programs()?;
    let engine = match parallax_engine::find(&RealSurroundings) {
        Ok(endpoint) => Engine::connect(&endpoint).await.ok(),
        Err(_) => None,
    };
    if engine.is_none() {
        sink.note("no engine answers; only the cache is looked at");
    }
    let store = engine.as_ref().map(|engine| engine as &dyn ImageStore);
    let mut rows = parallax_images::list(&lock, &binaries, &cache, store).await?;
    // The other versions of an image follow the image.
    let others = Lock { images: lock.others, others: Vec::new() };
    for other in parallax_images::list(&others, &binaries, &cache, store).await? {
        // The default of an image can be a version, too. It is one image, so it is shown once.
        let is_same = |row: &&mut parallax_images::Row| row.name == other.name && row.built == other.built;
        if let Some(same) = rows.iter_mut().find(is_same).filter(|_| other.built.is_some()) {
            same.version = other.version.map(|version| format!("{version}, as it is built here"));
            continue;
        }
        let after = rows.iter().rposition(|row| row.name == other.name).map_or(rows.len(), |at| at + 1);
        rows.insert(after, other);
    }
    Ok(rows.iter().map(image_words).collect())
}

fn image_words(row: &parallax_images::Row) -> String {
    let at: Vec<&str> = row.at.iter().map(|place| place_words(*place)).collect();
    let at = if at.is_empty() { "not here".to_owned() } else { at.join(", ") };
    let version = row.version.as_ref().map_or_else(String::new, |version| format!("  version    {version}\n"));
    format!(
        "{}  {}\n{version}  published  {}\n  built      {}\n  now        {at}\n",
        row.name,
        row.purpose,
        published_words(row),
        row.built.as_ref().or(row.unknown.as_ref()).map_or("no recipe", String::as_str),
    )
}

/// Describes the published image: its reference, and whether images.lock fixes it by a digest or only by a tag.
fn published_words(row: &parallax_images::Row) -> String {
    let Some(reference) = &row.reference else { return "never".to_owned() };
    match &row.digest {
        Some(digest) => format!("{reference}, {digest}"),
        None if row.held.is_empty() => format!("{reference}, pinned by its tag only"),
        None => format!("{reference}, pinned by its tag only; in the engine it is {}", row.held.join(", ")),
    }
}

fn place_words(place: Place) -> &'static str {
    match place {
        Place::EnginePublished => "published image in the engine",
        Place::EngineBuilt => "built image in the engine",
        Place::Cache => "built archive in the cache",
    }
}

/// Obtains the images that a run of all scenarios needs, except images that are built only on request.
pub async fn images_fetch(
    project: &Project,
    recipes: &Recipes,
    (k3s, provision): (K3s, bool),
    sink: Sink,
    cancel: CancellationToken,
) -> Result<Exit, CliError> {
    let selected = project.list().into_iter().map(|it| it.variant).collect();
    let plan = super::project::planned(project, &selected)?;
    let machine = Machine::find(&sink, provision).await.map_err(|error| failed(&error.failure()))?;
    let with = (policy(k3s), &machine.engine, provision);
    run::fetch(recipes, with, (&plan, run::wants), OnRequest::OnlyBuilt, &sink, cancel).await?;
    Ok(Exit::AsExpected)
}

/// Removes built images that no existing recipe makes, and the files of the cache that are no longer needed. Returns a
/// text that says how much was removed. With `dry_run`, removes nothing, and returns a text about what would be
/// removed.
pub async fn images_prune(
    recipes: &Recipes,
    dry_run: bool,
    sink: Sink,
    _cancel: CancellationToken,
) -> Result<String, CliError> {
    let cache = Cache::open()?;
    let lock = Lock::of(recipes, &cache)?;
    let binaries = own_programs()?;
    let engine = connected(&sink, false).await?;
    let all = engine.images_of(&Present::pattern()).await.map_err(engine_error)?;
    let present = Present::of(&lock, &binaries, &cache);
    if dry_run {
        let mut text = String::new();
        for reference in present.outdated(&all) {
            let used = engine.is_image_used(&reference).await.map_err(engine_error)?;
            let what = if used { "stays, because a container uses it" } else { "would be removed" };
            writeln!(text, "{reference}  {what}").expect("a String takes every write");
        }
        let spare = present.prunable(&cache, 0)?;
        return Ok(format!(
            "{text}{} MB of the cache would be removed, in {} files\n",
            spare.bytes / 1_000_000,
            spare.files
        ));
    }
    let (mut removed, mut used) = (0, 0);
    for reference in present.outdated(&all) {
        let gone = engine.remove_unused_image(&reference).await.map_err(engine_error)?;
        *(if gone { &mut removed } else { &mut used }) += 1;
    }
    let pruned = present.prune(&cache, 0)?;
    let kept = if used == 0 { String::new() } else { format!("; containers use {used} more") };
    let megabytes = pruned.bytes / 1_000_000;
    Ok(format!("{removed} images of the engine removed{kept}, and {megabytes} MB of the cache\n"))
}

/// Removes the objects that killed runs left behind.
pub async fn gc(sink: Sink, _cancel: CancellationToken) -> Result<Exit, CliError> {
    let state = StateDir::of_user().map_err(engine_error)?;
    let mut left = Vec::new();
    let elsewhere = run::collect_elsewhere(&state).await.map_err(engine_error)?;
    for (run, swept) in &elsewhere {
        match swept {
            Ok(swept) => {
                sink.note(format!("run {run}: {} objects of its cluster removed", swept.removed.len()));
                left.extend(swept.remaining.iter().cloned());
            }
            Err(why) => left.push(format!("run {run}: its cluster cannot be looked at: {why}")),
        }
    }
    for line in &left {
        sink.warn(format!("something could not be removed; {line}"));
    }
    let engine = match connected(&sink, false).await {
        // No engine answers, but this command has found killed runs in clusters that the harness does not own. Such
        // runs need no engine, so a missing engine is not an error.
        Err(_) if !elsewhere.is_empty() => {
            return Ok(if left.is_empty() { Exit::AsExpected } else { Exit::Harness });
        }
        connected => connected?,
    };
    let collection = parallax_engine::gc(&engine, &state).await.map_err(engine_error)?;
    for (run, collected) in &collection.runs {
        match collected {
            Collected::Swept(swept) => sink.note(format!("run {run}: {} objects removed", swept.removed.len())),
            Collected::Spared(why) => sink.note(format!("run {run}: left alone, {why}")),
        }
    }
    let remaining = collection.commands();
    for command in &remaining {
        sink.warn(format!("something could not be removed; {command}"));
    }
    printer::data(&format!("{} objects removed\n", collection.removed()));
    Ok(if remaining.is_empty() && left.is_empty() { Exit::AsExpected } else { Exit::Harness })
}

/// Removes the objects of a run that was kept with `e2e --keep`, and the files in the run's folder that say how to
/// reach these objects.
pub async fn down(run: RunId, kept: Option<Kept>, sink: Sink, _cancel: CancellationToken) -> Result<Exit, CliError> {
    let state = StateDir::of_user().map_err(engine_error)?;
    let engine = connected(&sink, false).await?;
    let swept = engine.sweep(&run, &state.entries(&run), parallax_engine::Unfinished::None).await;
    let remaining = swept.commands();
    for command in &remaining {
        sink.warn(format!("something could not be removed; {command}"));
    }
    if remaining.is_empty() {
        if let Some(kept) = kept {
            crate::standing::remove_secrets(&kept.directory);
        }
        state.forget(&run).map_err(engine_error)?;
    }
    printer::data(&format!("run {run}: {} objects removed\n", swept.removed.len()));
    Ok(if remaining.is_empty() { Exit::AsExpected } else { Exit::Harness })
}

/// Runs the reaper until the harness ends. If the harness was killed, the reaper removes the run's objects.
pub fn reaper(args: &[String]) -> Result<Exit, CliError> {
    let [run, endpoint, state] = args else {
        return Err(CliError::Usage("the reaper is started by the harness itself".to_owned()));
    };
    if endpoint == run::ELSEWHERE {
        return reap_elsewhere(&StateDir::at(state), &RunId::new(run.clone()));
    }
    let swept =
        parallax_engine::reaper::main(&RunId::new(run.clone()), endpoint, Path::new(state)).map_err(engine_error)?;
    if let Some(swept) = swept {
        printer::word(&format!("{} objects removed, {} remain", swept.removed.len(), swept.remaining.len()));
    }
    Ok(Exit::AsExpected)
}

/// Does the same as [`reaper`] for a run in a cluster that the harness does not own.
fn reap_elsewhere(state: &StateDir, run: &RunId) -> Result<Exit, CliError> {
    let Some(notes) = parallax_engine::reaper::is_killed() else { return Ok(Exit::AsExpected) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Harness(format!("failed to start the sweep: {error}")))?;
    let (swept, (objects, left)) = runtime.block_on(run::reap_elsewhere(state, run, &notes));
    printer::word(&format!("{objects} objects removed from stores"));
    for line in &left {
        printer::word(&format!("something in a store could not be removed; {}", inert(line)));
    }
    let swept = swept.map_err(CliError::Harness)?;
    printer::word(&format!("{} objects removed", swept.removed.len()));
    for line in &swept.remaining {
        printer::word(&format!("something could not be removed; {line}"));
    }
    Ok(if swept.remaining.is_empty() && left.is_empty() { Exit::AsExpected } else { Exit::Harness })
}

pub(super) async fn connected(sink: &Sink, provision: bool) -> Result<Engine, CliError> {
    let endpoint = run::ensure_engine(sink, provision).await.map_err(|error| failed(&error.failure()))?;
    Engine::connect(&endpoint).await.map_err(engine_error)
}

pub(super) fn engine_error(error: parallax_engine::EngineError) -> CliError {
    failed(&RunError::from(error).failure())
}

impl From<parallax_images::ImageError> for CliError {
    fn from(error: parallax_images::ImageError) -> Self {
        let text = words(&error.failure());
        if error.is_usage() { Self::Usage(text) } else { Self::Harness(text) }
    }
}

/// Turns a failure into an error of the command line, with the fix and the evidence.
pub(super) fn failed(failure: &Failure) -> CliError {
    CliError::Harness(words(failure))
}

/// The message of a failure, with the fix and the evidence.
fn words(failure: &Failure) -> String {
    let mut text = failure.what.clone();
    if let Some(fix) = &failure.fix {
        write!(text, "\n  fix: {fix}").expect("a String takes every write");
    }
    for line in &failure.evidence {
        write!(text, "\n  | {line}").expect("a String takes every write");
    }
    text
}
