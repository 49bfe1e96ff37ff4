//! Finds variants that stand, and asks them.

use std::path::Path;
use std::sync::Arc;

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
use parallax_engine::StateDir;
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

/// Whether a run can stand: other processes must be able to ask it.
pub fn can_stand(run: &RunId) -> Result<(), CliError> {
    Ok(handles()?.check(run)?)
}

fn handles() -> Result<Handles, CliError> {
    let state = StateDir::of_user().map_err(|error| CliError::Harness(error.to_string()))?;
    Ok(Handles::below(state.path()))
}

/// Every variant that stands.
pub fn all_standing() -> Result<Vec<Handle>, CliError> {
    Ok(handles()?.all()?)
}

/// The variant that stands in this run, or the only one.
pub fn standing(run: Option<&str>) -> Result<Handle, CliError> {
    let words = Words {
        none: "nothing stands; `parallax up SCENARIO` brings a variant up",
        several: "several variants stand; name the run with --run",
    };
    one_of(all_standing()?, |it| &it.run, run, &words)
}

/// What `down` can take down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A variant that a process holds (`up`).
    Held(Handle),
    /// A run whose process has ended (`e2e --keep`).
    Left(RunId),
}

impl Standing {
    fn run(&self) -> &RunId {
        match self {
            Self::Held(handle) => &handle.run,
            Self::Left(run) => run,
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held(handle) => handle.fmt(f),
            Self::Left(run) => write!(f, "{run} (e2e --keep)"),
        }
    }
}

/// The run to take down: the given one, or the only one.
pub fn to_take_down(run: Option<&str>) -> Result<Standing, CliError> {
    let state = StateDir::of_user().map_err(|error| CliError::Harness(error.to_string()))?;
    let left = state.runs().map_err(|error| CliError::Harness(error.to_string()))?;
    let left = left.into_iter().filter(|run| state.is_standing(run)).map(Standing::Left);
    let all = all_standing()?.into_iter().map(Standing::Held).chain(left).collect();
    one_of(all, Standing::run, run, &DOWN)
}

/// How messages call what can be chosen.
struct Words {
    /// There is nothing.
    none: &'static str,
    /// There are several, and none is named.
    several: &'static str,
}

const DOWN: Words = Words { none: "nothing stands", several: "several runs stand; name one of them" };

/// The one of the given run, or the only one.
fn one_of<T: std::fmt::Display>(
    mut all: Vec<T>,
    of: impl Fn(&T) -> &RunId,
    run: Option<&str>,
    words: &Words,
) -> Result<T, CliError> {
    let names = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (run, all.len()) {
        (None, 0) => Err(CliError::Usage(words.none.to_owned())),
        (None, 1) => Ok(all.swap_remove(0)),
        (None, _) => Err(CliError::Usage(format!("{}: {names}", words.several))),
        (Some(run), 0) => Err(CliError::Usage(format!("run {run} does not stand; nothing does"))),
        (Some(run), _) => match all.iter().position(|it| of(it).as_str() == run) {
            Some(at) => Ok(all.swap_remove(at)),
            None => Err(CliError::Usage(format!("run {run} does not stand; these do: {names}"))),
        },
    }
}

/// Has a request carried out; passes what happens meanwhile to `see`.
pub async fn ask(handle: &Handle, request: Request, see: impl FnMut(&Event)) -> Result<Answer, CliError> {
    match crate::standing::ask(&handles()?, handle, &Question::Do(request), see).await? {
        Line::Answer(answer) => Ok(answer),
        Line::Now(_) | Line::Event(_) => Err(CliError::Harness(format!("run {} answers no request", handle.run))),
    }
}

/// What the process that holds a variant does at this moment.
pub async fn now(handle: &Handle) -> Result<String, CliError> {
    match crate::standing::ask(&handles()?, handle, &Question::Status, |_| {}).await? {
        Line::Now(now) => Ok(now),
        Line::Answer(_) | Line::Event(_) => {
            Err(CliError::Harness(format!("run {} does not say what it does", handle.run)))
        }
    }
}

/// Opens the way by which other processes ask for a variant, and says how the run is to stand.
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

/// Reads a project again, for the variant of a plan. What stands cannot change: then the error says so.
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

/// A plan without its variants: what is brought up.
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

/// Tells when a file in a folder was written or replaced.
#[derive(Debug)]
pub struct Changes(std::os::fd::OwnedFd);

/// Watches a folder, and not a file: many editors replace the file that they save.
pub fn changes(folder: &Path) -> Result<Changes, CliError> {
    let failed = |error| CliError::Harness(format!("failed to watch {}: {error}", folder.display()));
    let watch = inotify::init(CreateFlags::CLOEXEC).map_err(failed)?;
    inotify::add_watch(&watch, folder, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO).map_err(failed)?;
    Ok(Changes(watch))
}

impl Changes {
    /// Waits for the next change.
    pub async fn next(self) -> Result<Self, CliError> {
        // Reading blocks.
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

/// The word by which the command line knows a value.
pub fn flag(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_takes_the_named_run_or_the_only_one() {
        let [a, b] = ["r1", "r2"].map(|it| Standing::Left(RunId::new(it)));
        let of = |all: &[&Standing], run: Option<&str>| {
            let all = all.iter().map(|it| (*it).clone()).collect();
            one_of(all, Standing::run, run, &DOWN).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[&a], None), Ok(a.clone()));
        assert_eq!(of(&[&a, &b], Some("r2")), Ok(b.clone()));
        assert_eq!(of(&[], None), Err("nothing stands".to_owned()));
        assert_eq!(of(&[], Some("r1")), Err("run r1 does not stand; nothing does".to_owned()));
        let several = "several runs stand; name one of them: r1 (e2e --keep), r2 (e2e --keep)";
        assert_eq!(of(&[&a, &b], None), Err(several.to_owned()));
        let other = "run r3 does not stand; these do: r1 (e2e --keep), r2 (e2e --keep)";
        assert_eq!(of(&[&a, &b], Some("r3")), Err(other.to_owned()));
    }
}
