//! Finds variants that are kept, and sends requests to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parallax_vocab::{Event, RunId, VariantId};
use rustix::fs::inotify;
use rustix::fs::inotify::{CreateFlags, WatchFlags};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cli::CliError;
use crate::cli::args::HostPrograms;
use crate::run::standing::{self, Answer, Reload, Request};
use crate::standing::{Feed, Handle, Handles, Host, Line, Question, StandingError};
use parallax_engine::{Kept, Liveness, StateDir};
use parallax_language::scenario::diagnostic;
use parallax_plan::{Plan, VariantPlan};
use parallax_record::{Live, Mark};

impl From<StandingError> for CliError {
    fn from(error: StandingError) -> Self {
        match error {
            StandingError::TooLong { .. } => Self::Usage(error.to_string()),
            _ => Self::Harness(error.to_string()),
        }
    }
}

/// Fails if a run could not be kept because other processes could not send requests to it.
pub fn can_stand(run: &RunId) -> Result<(), CliError> {
    Ok(handles()?.check(run)?)
}

fn handles() -> Result<Handles, CliError> {
    let state = StateDir::of_user().map_err(|error| CliError::Harness(error.to_string()))?;
    Ok(Handles::below(state.path()))
}

/// Returns every variant that is kept.
pub fn all_standing() -> Result<Vec<Handle>, CliError> {
    Ok(handles()?.all()?)
}

/// Which runs a command is for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The project's root folder: without a name, only its runs count. `None` outside of a project: then all count.
    pub project: Option<&'a Path>,
    /// The run by its id or its folder.
    pub run: Option<&'a str>,
}

/// The variant that stands in this run, or the only one of the project.
pub fn standing(wanted: Wanted<'_>) -> Result<Handle, CliError> {
    let words = Words {
        none: "nothing stands; `parallax up SCENARIO` brings a variant up",
        several: "several variants stand; name the run with --run",
        name: "name the run with --run",
    };
    let all = all_standing()?.into_iter().map(Standing::Held).collect();
    match one_of(all, wanted, unix_seconds(), &words)? {
        Standing::Held(handle) => Ok(handle),
        Standing::Left { run, .. } => Err(CliError::Harness(format!("no process holds run {run}"))),
    }
}

/// A run that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A variant that a process holds (`up`).
    Held(Handle),
    /// A run whose process has ended (`e2e --keep`).
    Left {
        /// The run.
        run: RunId,
        /// What it belongs to, if that is known.
        kept: Option<Kept>,
        /// When it began, in seconds since 1970.
        since: i64,
    },
}

impl Standing {
    fn run(&self) -> &RunId {
        match self {
            Self::Held(handle) => &handle.run,
            Self::Left { run, .. } => run,
        }
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Held(handle) => Some(&handle.directory),
            Self::Left { kept, .. } => kept.as_ref().map(|it| it.directory.as_path()),
        }
    }

    /// Whether it is of this project. `repro` unpacks a project below the present one.
    fn is_of(&self, project: &Path) -> bool {
        let its = match self {
            Self::Held(handle) => Some(&handle.project),
            Self::Left { kept, .. } => kept.as_ref().map(|it| &it.project),
        };
        its.is_some_and(|its| real(its).starts_with(real(project)))
    }

    fn age(&self, now: i64) -> i64 {
        let (Self::Held(Handle { since, .. }) | Self::Left { since, .. }) = self;
        now.saturating_sub(*since).max(0)
    }

    /// The run, what stands in it, how old it is, and its folder.
    fn named(&self, now: i64) -> String {
        let what = match self {
            Self::Held(handle) => handle.variant.as_str(),
            Self::Left { .. } => "e2e --keep",
        };
        let folder = self.directory().map(|it| format!(", {}", it.display())).unwrap_or_default();
        format!("{} ({what}, {} old{folder})", self.run(), in_short(self.age(now)))
    }
}

/// An age in its largest unit.
fn in_short(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.iter().find(|(of, _)| seconds >= *of);
    unit.map_or_else(|| format!("{seconds}s"), |(of, unit)| format!("{}{unit}", seconds / of))
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn unix_seconds() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// Everything that stands. A run that still runs does not stand yet.
fn all_to_take_down() -> Result<Vec<Standing>, CliError> {
    let state = StateDir::of_user().map_err(|error| CliError::Harness(error.to_string()))?;
    let runs = state.runs().map_err(|error| CliError::Harness(error.to_string()))?;
    let left = runs.into_iter().filter(|run| state.is_standing(run)).filter_map(|run| {
        let file = state.run_file(&run);
        let runs = file.as_ref().is_some_and(|it| it.owner.liveness(true) == Liveness::Living);
        // A run whose age is not known is not old.
        let since = file.and_then(|it| i64::try_from(it.created).ok()).unwrap_or_else(unix_seconds);
        (!runs).then(|| Standing::Left { kept: state.kept(&run), run, since })
    });
    Ok(all_standing()?.into_iter().map(Standing::Held).chain(left).collect())
}

/// The run to take down: the given one, or the only one of the project.
pub fn to_take_down(wanted: Wanted<'_>) -> Result<Standing, CliError> {
    one_of(all_to_take_down()?, wanted, unix_seconds(), &DOWN)
}

/// The runs of a project that began longer ago than this.
pub fn older_than(project: Option<&Path>, age: Duration) -> Result<Vec<Standing>, CliError> {
    let (mut all, now) = (all_to_take_down()?, unix_seconds());
    let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    all.retain(|it| project.is_none_or(|project| it.is_of(project)) && it.age(now) >= age);
    Ok(all)
}

/// The messages for a choice without a result.
struct Words {
    /// The message if there is nothing to choose from.
    none: &'static str,
    /// The message if there are several, and the user named none.
    several: &'static str,
    /// How one is named.
    name: &'static str,
}

const DOWN: Words =
    Words { none: "nothing stands", several: "several runs stand; name one of them", name: "name one of them" };

/// The named run, or the only one of the project.
fn one_of(all: Vec<Standing>, wanted: Wanted<'_>, now: i64, words: &Words) -> Result<Standing, CliError> {
    let names = |of: &[Standing]| of.iter().map(|it| it.named(now)).collect::<Vec<_>>().join(", ");
    if let Some(run) = wanted.run {
        let is = |it: &Standing| {
            it.run().as_str() == run || it.directory().is_some_and(|directory| real(directory) == real(Path::new(run)))
        };
        return match all.iter().position(is) {
            Some(at) => Ok(all.into_iter().nth(at).expect("the position of one of them")),
            None if all.is_empty() => Err(CliError::Usage(format!("run {run} does not stand; nothing does"))),
            None => Err(CliError::Usage(format!("run {run} does not stand; these do: {}", names(&all)))),
        };
    }
    let (mut ours, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|it| wanted.project.is_none_or(|project| it.is_of(project)));
    match (ours.len(), others.as_slice()) {
        (0, []) => Err(CliError::Usage(words.none.to_owned())),
        (0, others) => Err(CliError::Usage(format!(
            "nothing of this project stands; of others these do, {}: {}",
            words.name,
            names(others)
        ))),
        (1, _) => Ok(ours.swap_remove(0)),
        _ => Err(CliError::Usage(format!("{}: {}", words.several, names(&ours)))),
    }
}

/// Sends a request to the process of a kept variant, and returns the answer. Events that arrive before the answer are
/// passed to `see`.
pub async fn ask(handle: &Handle, request: Request, see: impl FnMut(&Event)) -> Result<Answer, CliError> {
    match crate::standing::ask(&handles()?, handle, &Question::Do(request), see).await? {
        Line::Answer(answer) => Ok(answer),
        Line::Now(_) | Line::Event(_) => Err(CliError::Harness(format!("run {} answers no request", handle.run))),
    }
}

/// Returns what the process that holds a variant does at this moment.
pub async fn now(handle: &Handle) -> Result<String, CliError> {
    match crate::standing::ask(&handles()?, handle, &Question::Status, |_| {}).await? {
        Line::Now(now) => Ok(now),
        Line::Answer(_) | Line::Event(_) => {
            Err(CliError::Harness(format!("run {} does not say what it does", handle.run)))
        }
    }
}

/// Opens the socket on which other processes send requests for a variant. Also returns how the run is kept.
pub fn open(
    handle: &Handle,
    (until, reload): (Option<standing::Until>, Reload),
    cancel: CancellationToken,
    display: (Box<dyn Live>, Mark),
) -> Result<(standing::Standing, Host, Feed), CliError> {
    let (send, receive) = mpsc::channel(1);
    let (host, feed) = Host::open(handles()?, handle, (send, cancel), display)?;
    Ok((standing::Standing { until, asked: Mutex::new(receive), reload }, host, feed))
}

/// Returns a function that reads a project again, for the variant of a plan. The kept environment cannot change, so
/// that function fails if the environment would differ.
pub fn reload(root: &Path, variant: &VariantId, plan: &Plan, allow_host_programs: Option<HostPrograms>) -> Reload {
    let (root, variant, stands) = (root.to_owned(), variant.clone(), without_variants(plan));
    Reload(Arc::new(move || {
        let (project, diagnostics) = super::project::read(&root, &[]);
        if !diagnostics.is_empty() {
            return Err(diagnostic::render(&diagnostics, false));
        }
        let only = std::slice::from_ref(&variant);
        super::check_host_programs(&project, only, allow_host_programs).map_err(|error| error.to_string())?;
        let selected = [variant.clone()].into_iter().collect();
        let plan = parallax_plan::build(&project.library, &project.scenarios, &selected);
        let plan = plan.map_err(|error| error.to_string())?;
        if without_variants(&plan) != stands {
            return Err("fixtures, vantages or traits changed, and what stands cannot follow; `parallax down`, then `parallax up` again".to_owned());
        }
        only_variant(plan).ok_or_else(|| format!("{variant} is gone from the project"))
    }))
}

fn only_variant(plan: Plan) -> Option<VariantPlan> {
    plan.clusters.into_iter().next()?.environments.into_iter().next()?.variants.into_iter().next()
}

/// Returns a plan without its variants. The rest is the environment that the run starts.
fn without_variants(plan: &Plan) -> Value {
    let mut clusters = serde_json::to_value(&plan.clusters).unwrap_or_default();
    for cluster in clusters.as_array_mut().into_iter().flatten() {
        for environment in cluster["environments"].as_array_mut().into_iter().flatten() {
            if let Some(environment) = environment.as_object_mut() {
                environment.remove("variants");
            }
        }
    }
    clusters
}

/// Watches a folder, and reports when a file in it was written or replaced.
#[derive(Debug)]
pub struct Changes(std::os::fd::OwnedFd);

/// Starts to watch a folder. A watch of the file itself would not be enough, because many editors replace the file that
/// they save.
pub fn changes(folder: &Path) -> Result<Changes, CliError> {
    let failed = |error| CliError::Harness(format!("failed to watch {}: {error}", folder.display()));
    let watch = inotify::init(CreateFlags::CLOEXEC).map_err(failed)?;
    inotify::add_watch(&watch, folder, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO).map_err(failed)?;
    Ok(Changes(watch))
}

impl Changes {
    /// Waits for the next change.
    pub async fn next(self) -> Result<Self, CliError> {
        // Reading blocks, so it is done on a separate thread.
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let read = rustix::io::read(&self.0, &mut buffer).map(|_| ());
            read.map(|()| self)
        });
        let failed =
            |error: &dyn std::fmt::Display| CliError::Harness(format!("failed to watch the scenario: {error}"));
        read.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

/// Returns the text of a value on the command line.
pub fn flag(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(run: &str, project: &str, since: i64) -> Standing {
        let kept = Kept { project: project.into(), directory: Path::new(project).join("target/e2e").join(run) };
        Standing::Left { run: RunId::new(run), kept: Some(kept), since }
    }

    #[test]
    fn a_run_is_named_by_id_or_folder_or_is_the_only_one_of_its_project() {
        let (a, b, other) = (left("r1", "/p", 900), left("r2", "/p", 1000), left("r3", "/q", 1000));
        let of = |all: &[&Standing], run: Option<&str>| {
            let all = all.iter().map(|it| (*it).clone()).collect();
            let wanted = Wanted { project: Some(Path::new("/p")), run };
            one_of(all, wanted, 1020, &DOWN).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[&a, &other], None), Ok(a.clone()));
        assert_eq!(of(&[&a, &b], Some("r2")), Ok(b.clone()));
        assert_eq!(of(&[&a, &b], Some("/p/target/e2e/r2")), Ok(b.clone()));
        assert_eq!(of(&[&a, &other], Some("r3")), Ok(other.clone()));
        assert_eq!(of(&[], None), Err("nothing stands".to_owned()));
        assert_eq!(of(&[], Some("r1")), Err("run r1 does not stand; nothing does".to_owned()));
        let names = "r1 (e2e --keep, 2m old, /p/target/e2e/r1), r2 (e2e --keep, 20s old, /p/target/e2e/r2)";
        assert_eq!(of(&[&a, &b, &other], None), Err(format!("several runs stand; name one of them: {names}")));
        assert_eq!(of(&[&a, &b], Some("r3")), Err(format!("run r3 does not stand; these do: {names}")));
        let others = "nothing of this project stands; of others these do, name one of them: \
                      r3 (e2e --keep, 20s old, /q/target/e2e/r3)";
        assert_eq!(of(&[&other], None), Err(others.to_owned()));
    }
}
