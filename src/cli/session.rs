//! One recorded run, with its folder, its record, its displays and its reports.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use parallax_vocab::event::{Demands, Exit, Failure, Outcome, RECORD_FORMAT, RunStarted, ShardOf};
use parallax_vocab::{Event, EventKind, RunId, VariantId, Versions, millis};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::args::{Breaks, E2e, K3s, ProofBy};
use super::choose::Chosen;
use super::printer::{self, colour_wanted, is_ci};
use super::watcher::Watcher;
use super::wiring::{self, Complete, Past, Project};
use crate::bundle::Failed;
use crate::run::Standing;
use crate::run::standing::{Reload, Until};
use crate::standing::{Handle, Host};
use parallax_images::Recipes;
use parallax_plan::{Namespaces, Plan};
use parallax_record::{Live, Log, Mark, Recorder, Redactor, Sink};
use parallax_report::terminal::{Style, render};
use parallax_report::{Summary, github, junit, live, page};

/// The input of [`wiring::e2e`], the function that executes a run.
#[derive(Debug)]
pub struct Run {
    /// The id of the run.
    pub id: RunId,
    /// The project's root folder.
    pub project: PathBuf,
    /// The folder of the run. It already exists.
    pub directory: PathBuf,
    /// The options of the run. For `parallax e2e`, the user gives them. For `parallax up`, the harness fills in the
    /// same structure.
    pub options: E2e,
    /// The sink to which the run sends its events. The session itself sends `RunStarted` and `RunEnded`.
    pub sink: Sink,
    /// The redactor. Every secret must be registered here before it is used.
    pub redactor: Redactor,
    /// The token that the first Ctrl-C cancels. The run then stops and cleans up.
    pub cancel: CancellationToken,
    /// The settings of a run whose environment `parallax up` keeps. `None` for any other run.
    pub standing: Option<Standing>,
}

/// The settings of a run whose only variant is kept until `parallax down` removes it.
#[derive(Debug)]
pub(super) struct Holding {
    /// The id of the run. The parent process (`parallax up`) has chosen it.
    pub(super) run: RunId,
    /// The step at which the flow stops when it runs for the first time. `None` if the whole flow runs.
    pub(super) until: Option<Until>,
}

/// What a run is for.
#[derive(Debug)]
pub(super) enum Role {
    /// It is the whole run that the user asked for.
    Whole,
    /// It keeps its only variant until `parallax down` removes it.
    Stands(Holding),
    /// It is one of several runs, each at other versions. Their joint report is printed at their end, so this run prints
    /// no report. The watcher is the one of all these runs.
    AtVersions(Watcher),
}

impl Role {
    /// What the run keeps, and the watcher that it shares with other runs.
    fn parts(self) -> (Option<Holding>, Option<Watcher>) {
        match self {
            Self::Whole => (None, None),
            Self::Stands(holding) => (Some(holding), None),
            Self::AtVersions(watcher) => (None, Some(watcher)),
        }
    }
}

/// The result of a run that has a record.
#[derive(Debug)]
pub(super) struct Ran {
    /// The exit code of the run.
    pub(super) exit: Exit,
    /// The folder of the run.
    pub(super) directory: PathBuf,
    /// The events of the run.
    pub(super) events: Vec<Event>,
}

/// The first line that the process of `parallax hold` prints on standard output. The line says that other processes can
/// now send requests.
pub(super) const LISTENING: &str = "listening";

/// The result of executing a run. It has no verdicts, because the events contain them.
#[derive(Debug, Default)]
pub struct Ended {
    /// The reason why the run itself failed, for example because the engine failed. `None` if the run did not fail;
    /// variants may have failed nevertheless.
    pub failure: Option<Failure>,
}

/// Runs the selected variants, and writes the record and the reports.
pub(super) async fn run(
    project: &Project,
    chosen: Chosen,
    recipes: Recipes,
    options: E2e,
    log: &Log,
    role: Role,
) -> Result<Ran, CliError> {
    let (holding, watcher) = role.parts();
    let is_printed = watcher.is_none();
    let whole = whole(project, &chosen.selected);
    if options.require_proof.is_some() && whole.is_empty() && options.selection.breaks != Breaks::Changed {
        return Err(CliError::Usage(
            "--require-proof, but of no scenario chosen the run holds the baseline and every break".to_owned(),
        ));
    }
    let id = holding.as_ref().map_or_else(wiring::fresh_run_id, |it| it.run.clone());
    let seed = options.shuffle.map(|given| given.unwrap_or_else(|| seed_of(&id)));
    let (plan, complete) = planned(project, &chosen.selected, (&id, seed), (&options, &recipes)).await?;
    let shard = shard_of(project, &chosen, &recipes, &options).await?;
    let directory = out_folder(&project.root, &options).join(id.as_str());
    let own = own_folder(shard.as_deref(), &id);
    let (sink, recorder) = Recorder::start(&directory)?;
    log.write_to(&directory, recorder.redactor())?;
    let display = live::choose(std::io::stderr().is_terminal() && !log.is_shown(), is_ci());
    let began = Instant::now();
    // The signal handlers are installed before the first output. A user who sees that the run has started may stop it
    // at once, and the run must then clean up.
    let watcher = watcher.map_or_else(Watcher::start, Ok)?;
    let _following = watcher.follow(&sink, Some(id.clone()));
    let cancel = watcher.token();
    let is_evidence = holding.is_none() && options.theirs.kubeconfig.is_none();
    let redactor = recorder.redactor();
    let (display, standing, host) = match holding {
        Some(holding) => {
            let may = (options.common.allow_host_programs, &recipes);
            let reload = wiring::reload(&absolute(&project.root), &chosen.selected[0], (&plan, &complete), may);
            let of = (holding, reload, directory.as_path());
            of_one_that_stands(project, &chosen.selected[0], of, cancel.clone(), (display, recorder.mark()))?
        }
        None => (display, None, None),
    };
    recorder.attach(display);
    let started = started(&id, (&chosen.selected, shard), &options, recipes.versions());
    sink.say(EventKind::RunStarted(RunStarted {
        directory: shown(&directory),
        seed,
        standing: standing.is_some(),
        ..started
    }));
    if let Some(seed) = seed {
        sink.note(format!("the order is drawn from seed {seed}; `--shuffle={seed}` gives it again"));
    }
    if let Some(left_out) = &chosen.left_out {
        sink.note(left_out);
    }
    let upload = wiring::Upload::begin(options.upload.as_ref().map(|it| it.join(&own)), &directory, &recorder).await?;
    let (k3s, proof_by) = (options.common.k3s, options.require_proof);
    let run = Run {
        id,
        project: absolute(&project.root),
        directory: absolute(&directory),
        options,
        sink,
        redactor: recorder.redactor(),
        cancel: cancel.clone(),
        standing,
    };
    let prints = async {
        match chosen.prints {
            Some(prints) => prints,
            // If the digests cannot be computed, none are stored. The next run with `--breaks changed` then treats the
            // variants of this run as changed.
            None => wiring::prints(project, &recipes, k3s).await.unwrap_or_default(),
        }
    };
    let (outcome, prints) = tokio::join!(wiring::e2e(run, recipes.clone(), &complete.plan), prints);
    let interrupted = cancel.is_cancelled();
    let all = recorder.finish(move |events| {
        let took_ms = millis(began.elapsed());
        let mut proof = parallax_judge::proof(events, &begun(whole, events));
        if proof_by == Some(ProofBy::Faults) {
            proof.none.append(&mut proof.by_altered);
            proof.none.sort();
        }
        EventKind::RunEnded(Summary::from_events(events).ending(proof, outcome.failure, interrupted, took_ms))
    });
    let summary = Summary::from_events(&all.events);
    // The verdict of a kept variant is no evidence for later runs, because the user may have changed the environment. A
    // verdict from a cluster that the harness does not own is no evidence either, because the harness does not know
    // what else is in that cluster.
    // A run at other versions than the defaults says nothing about the next run at the defaults.
    if is_evidence && recipes.versions().are_defaults() {
        let mut past = Past::of(&project.root);
        past.learn(&plan, &all.events, &prints);
        if let Err(error) = past.keep(&project.root) {
            printer::word(&format!("warning: what this run took is not kept for the next: {error}"));
        }
    }
    if let Some(error) = &all.error {
        printer::error(&error.to_string());
    }
    let unwritten = all.error.map(|error| error.to_string());
    let failed = if is_evidence { wiring::failed(project, &summary) } else { Vec::new() };
    let (exit, written) = published(summary, unwritten, &directory, is_printed);
    if !interrupted {
        pack(project, failed, (&recipes, k3s), &redactor, &directory).await;
    }
    if let Some(host) = host {
        // The host (the server for requests) answers `parallax down` when it is closed. It is closed only after the
        // reports are written, because the user may read the reports as soon as `down` ends.
        host.close().await;
    }
    let exit = worse(exit, written.and(wiring::Upload::end(upload, &directory).await))?;
    Ok(Ran { exit, directory, events: all.events })
}

/// Returns the event that begins a run, without what only its caller knows: the folder, the seed and the standing.
pub(super) fn started(
    id: &RunId,
    (variants, shard): (&[VariantId], Option<Box<ShardOf>>),
    options: &E2e,
    versions: &Versions,
) -> RunStarted {
    RunStarted {
        format: RECORD_FORMAT,
        run: id.clone(),
        parallax: env!("CARGO_PKG_VERSION").to_owned(),
        started: OffsetDateTime::now_utc().format(&Rfc3339).expect("the present has four digits in its year"),
        filters: options.selection.filters.clone(),
        variants: variants.to_vec(),
        directory: String::new(),
        demands: Demands { proof: options.require_proof.is_some(), allow_skips: options.allow_skips },
        seed: None,
        again: options.again(),
        shard,
        standing: false,
        versions: if versions.are_defaults() { Vec::new() } else { vec![versions.clone()] },
    }
}

/// Writes the reports into the run's folder. Also prints the summary if `is_printed` is true.
fn published(
    summary: Summary,
    unwritten: Option<String>,
    directory: &Path,
    is_printed: bool,
) -> (Exit, Result<(), CliError>) {
    let files = [directory.join("junit.xml"), directory.join("report.html")];
    if is_printed {
        return publish(summary, unwritten, &files[0], &files[1]);
    }
    let (_, summary, written) = reports(summary, unwritten, &files[0], &files[1]);
    (summary.exit(), written)
}

/// Returns the plan of the run: as it is compared with later plans of a variant that stands, and with the objects that
/// `helm` and `kustomize` make. In a cluster that the harness does not own, the names of new namespaces contain the
/// run's id, so that no other namespace has the same name.
async fn planned(
    project: &Project,
    selected: &[VariantId],
    (id, seed): (&RunId, Option<u64>),
    (options, recipes): (&E2e, &Recipes),
) -> Result<(Plan, Complete), CliError> {
    let prefix = format!("parallax-{id}-");
    let namespaces = match (&options.theirs.kubeconfig, &options.theirs.namespace) {
        (None, _) if options.unshared => Namespaces::Unshared,
        (None, _) => Namespaces::Each,
        (Some(_), None) => Namespaces::Prefixed(&prefix),
        (Some(_), Some(name)) => Namespaces::One(name),
    };
    let plan = wiring::arranged(project, selected, seed, wiring::at_once(options.at_once), namespaces)?;
    let complete = wiring::with_objects(project, &plan, recipes, options.common.allow_host_programs).await?;
    Ok((plan, complete))
}

/// Joins the exit code of the verdicts with the result of writing the reports. If all verdicts are good, an error of
/// writing is returned. Otherwise, the exit code is returned, and the error is only printed.
pub(super) fn worse(exit: Exit, written: Result<(), CliError>) -> Result<Exit, CliError> {
    match written {
        Err(error) if exit == Exit::AsExpected => Err(error),
        Err(error) => {
            printer::error(&error.to_string());
            Ok(exit)
        }
        Ok(()) => Ok(exit),
    }
}

/// Returns the name of the run's folder in a bucket. A shard has the same name each time it runs, so that its record
/// replaces the record of an earlier attempt.
fn own_folder(shard: Option<&ShardOf>, run: &RunId) -> String {
    shard.map_or_else(|| run.to_string(), |it| format!("shard-{}-of-{}", it.number, it.of))
}

/// Returns what the record says about the shard that this run executes. `None` if the run is not a shard.
async fn shard_of(
    project: &Project,
    chosen: &Chosen,
    recipes: &Recipes,
    options: &E2e,
) -> Result<Option<Box<ShardOf>>, CliError> {
    let Some((shard, whole)) = &chosen.part_of else { return Ok(None) };
    let digests = wiring::contents(project, whole, recipes, options.common.k3s).await?;
    Ok(Some(Box::new(ShardOf { number: shard.number, of: shard.of, whole: whole.clone(), digests })))
}

/// Writes the bundle of the failed variants, and prints how to use it. A failure to write the bundle does not change
/// the verdict of the run.
async fn pack(
    project: &Project,
    failed: Vec<Failed>,
    (recipes, k3s): (&Recipes, K3s),
    redactor: &Redactor,
    directory: &Path,
) {
    if failed.is_empty() {
        return;
    }
    match wiring::pack(project, failed, (recipes, k3s), redactor, directory).await {
        Ok(path) => {
            printer::word(&format!("`parallax repro {}` brings what failed up on another machine", shown(&path)));
        }
        Err(error) => printer::word(&format!("warning: the run has no bundle for `parallax repro`: {error}")),
    }
}

/// Three values that a run needs only if its variant is kept: the display, which also sends the events to other
/// processes; the settings of the run; and the server that answers requests of other processes.
type OfOneThatStands = (Box<dyn Live>, Option<Standing>, Option<Host>);

fn of_one_that_stands(
    project: &Project,
    variant: &VariantId,
    (holding, reload, directory): (Holding, Reload, &Path),
    cancel: CancellationToken,
    display: (Box<dyn Live>, Mark),
) -> Result<OfOneThatStands, CliError> {
    let file = project.list().into_iter().find(|it| it.variant == *variant).map(|it| it.file).unwrap_or_default();
    let handle = Handle {
        run: holding.run,
        variant: variant.clone(),
        file: file.into(),
        project: absolute(&project.root),
        directory: absolute(directory),
        process: std::process::id(),
        since: OffsetDateTime::now_utc().unix_timestamp(),
    };
    let (standing, host, feed) = wiring::open(&handle, (holding.until, reload), cancel, display)?;
    printer::data(&format!("{LISTENING}\n"));
    Ok((Box::new(feed), Some(standing), Some(host)))
}

/// Derives the seed of a random order from the run's id, which is random. 32 bits are enough for an order.
pub(super) fn seed_of(run: &RunId) -> u64 {
    u64::from_str_radix(run.as_str().trim_start_matches(|c: char| !c.is_ascii_hexdigit()), 16).unwrap_or_default()
}

/// Returns the scenarios whose variants were all chosen.
fn whole(project: &Project, selected: &[VariantId]) -> BTreeSet<String> {
    let selected: BTreeSet<&VariantId> = selected.iter().collect();
    let whole = project.scenarios.iter().filter(|it| it.variants.iter().all(|variant| selected.contains(&variant.id)));
    whole.map(|it| it.path.clone()).collect()
}

/// Removes from `whole` each scenario with a variant that was not started. The matchers of such a scenario must not be
/// reported as unproven, because a break that did not run proves nothing.
fn begun(mut whole: BTreeSet<String>, events: &[Event]) -> BTreeSet<String> {
    for event in events {
        if let EventKind::VariantEnded(ended) = &event.event
            && matches!(ended.outcome, Outcome::NotBegun { .. })
        {
            whole.remove(ended.variant.scenario());
        }
    }
    whole
}

/// Returns the folder in which each run creates its own folder, if the user names none.
pub(super) fn default_out(project: &Path) -> PathBuf {
    project.join("target").join("e2e")
}

/// Returns the folder in which each run creates its own folder: the value of `--out`, or else the default.
pub(super) fn out_folder(project: &Path, options: &E2e) -> PathBuf {
    options.common.out.clone().unwrap_or_else(|| default_out(project))
}

/// Runs `work` with a live display and signal handlers, but without a record. This is for commands that start something
/// but run no scenario, such as `gc`.
pub(super) async fn watched<F>(work: impl FnOnce(Sink, CancellationToken) -> F) -> Result<Exit, CliError>
where
    F: Future<Output = Result<Exit, CliError>>,
{
    let (sink, recorder) = Recorder::unrecorded()?;
    recorder.attach(live::choose(std::io::stderr().is_terminal(), is_ci()));
    let watcher = Watcher::start()?;
    let _following = watcher.follow(&sink, None);
    let cancel = watcher.token();
    let result = work(sink, cancel.clone()).await;
    drop(recorder);
    if cancel.is_cancelled() { Ok(Exit::Interrupted) } else { result }
}

/// Writes the JUnit report and the HTML page, and prints the summary. Returns the exit code of the summary, and an
/// error if a report could not be written. `unwritten` is the reason why the record could not be written. A run is
/// not a success if its record or a report is missing.
pub(super) fn publish(
    summary: Summary,
    unwritten: Option<String>,
    junit_path: &Path,
    page_path: &Path,
) -> (Exit, Result<(), CliError>) {
    let (style, summary, written) = reports(summary, unwritten, junit_path, page_path);
    if std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true") {
        for line in github::annotations(&summary) {
            printer::word(&line);
        }
    }
    let github = match std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        Some(path) => append(Path::new(&path), &github::markdown(&summary, &style.command)),
        None => Ok(()),
    };
    printer::data(&render(&summary, &style));
    (summary.exit(), written.and(github))
}

/// Writes the JUnit report and the HTML page. Returns the style for the summary on the terminal, the summary with the
/// failures of writing, and an error if a report could not be written.
fn reports(
    summary: Summary,
    unwritten: Option<String>,
    junit_path: &Path,
    page_path: &Path,
) -> (Style, Summary, Result<(), CliError>) {
    let command = std::env::var("PARALLAX_COMMAND").unwrap_or_else(|_| Style::default().command);
    let style = Style { colour: colour_wanted(), command };
    // The reports contain a failure to write the record. A failure to write the reports is added afterwards, so only
    // the printed summary contains it.
    let summary = summary.unwritten(unwritten);
    let written = junit::write(&summary, junit_path).and(page::write(&summary, &style.command, page_path));
    let summary = summary.unwritten(written.as_ref().err().map(ToString::to_string));
    (style, summary, written.map_err(CliError::from))
}

fn append(path: &Path, text: &str) -> Result<(), CliError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| {
        CliError::Report(parallax_report::ReportError::Write { path: path.display().to_string(), source })
    })
}

/// Returns the absolute form of a path. Other processes read the path, and their current folder may be another one.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns a path in the form for messages: relative to the current folder if the path is inside this folder.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
