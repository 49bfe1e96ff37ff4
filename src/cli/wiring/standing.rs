//! Finds variants that `up` keeps running, and sends requests to their processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_vocab::{Event, RunId};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cli::CliError;
use crate::run::standing::{self, Answer, Reload, Request};
use crate::standing::{Feed, Handle, Handles, Host, Line, Question, StandingError};
use parallax_engine::{Kept, Liveness, StateDir};
use parallax_record::{Live, Mark, Present as _};

impl From<StandingError> for CliError {
    fn from(error: StandingError) -> Self {
        match error {
            StandingError::TooLong { .. } => Self::Usage(error.to_string()),
            _ => Self::Harness(error.to_string()),
        }
    }
}

/// Checks that a run can be kept with `up`. Fails if the path of the run's socket would be too long, because other
/// processes could then not send requests to the run.
pub fn can_stand(run: &RunId) -> Result<(), CliError> {
    Ok(handles()?.check(run)?)
}

fn handles() -> Result<Handles, CliError> {
    let state = StateDir::of_user().map_err(|error| CliError::Harness(error.to_string()))?;
    Ok(Handles::below(state.path()))
}

/// Returns the handles of all variants that `up` keeps running.
pub fn all_standing() -> Result<Vec<Handle>, CliError> {
    Ok(handles()?.all()?)
}

/// Says which kept run a command uses: the run that the user named, or the only run of a project.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The root folder of the project in which the user called the command. If the user named no run, only the runs
    /// of this project count. `None` outside of a project; then the runs of all projects count.
    pub project: Option<&'a Path>,
    /// The id or the folder of the run that the user named. `None` if the user named none.
    pub run: Option<&'a str>,
}

/// Returns the handle of the variant that the run `wanted.run` keeps. If `wanted.run` is `None`, returns the handle of
/// the only kept variant of the project.
pub fn standing(wanted: Wanted<'_>) -> Result<Handle, CliError> {
    let words = Words {
        none: "no variant is kept; `parallax up SCENARIO` starts one and keeps it",
        several: "several variants are kept; name the run, as RUN or with --run (see --help)",
        name: "name the run, as RUN or with --run (see --help)",
    };
    let held = all_standing()?.into_iter().map(Standing::Held).collect();
    let found = one_of(held, wanted, unix_seconds(), &words).or_else(|none| {
        // The user may mean a run that `e2e --keep` left. For such a run, the error says what the user can do with
        // it.
        one_of(all_to_take_down()?, wanted, unix_seconds(), &DOWN).map_err(|_| none)
    });
    match found? {
        Standing::Held(handle) => Ok(handle),
        left @ Standing::Left { .. } => Err(CliError::Usage(left.no_process())),
    }
}

/// A run whose environments are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A variant of `up`. Its process is alive and keeps the variant running.
    Held(Handle),
    /// A run whose process has ended and left its environments (`e2e --keep`).
    Left {
        /// The id of the run that left its environments.
        run: RunId,
        /// The project and the folder of the run. `None` if they are unknown.
        kept: Option<Kept>,
        /// The time at which the run began, in seconds since the Unix epoch.
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

    /// Returns the kubectl commands that show the pods of the run, one for each cluster of the run.
    fn kubectl(&self) -> Vec<String> {
        let folder = self.directory().and_then(|it| std::fs::read_dir(it).present("look for kubeconfigs"));
        let files = folder.into_iter().flatten().flatten().map(|it| it.path());
        let files = files.filter(|it| it.extension().is_some_and(|it| it == "kubeconfig"));
        let mut kubectl: Vec<String> =
            files.map(|it| format!("kubectl --kubeconfig {} get pods -A", it.display())).collect();
        kubectl.sort();
        kubectl
    }

    /// Returns the lines of `status` about a run that `e2e --keep` left.
    pub fn status(&self) -> String {
        let run = self.run();
        let age = in_short(self.age(unix_seconds()));
        let mut lines = vec![format!("e2e --keep  run {run}  left {age} ago; no process keeps it")];
        if let Self::Left { kept: Some(kept), .. } = self {
            lines.push(format!("  project   {}", kept.project.display()));
            lines.push(format!("  record    {}", kept.directory.display()));
        }
        lines.extend(self.kubectl().iter().map(|it| format!("  cluster   {it}")));
        lines.push(format!("  remove    parallax down {run}\n"));
        lines.join("\n")
    }

    /// Returns the message for a command that needs the process of a run. A run that `e2e --keep` left has no
    /// process. The message says how the user can examine the environments instead.
    fn no_process(&self) -> String {
        let kubectl: Vec<String> = self.kubectl().iter().map(|it| format!("`{it}`")).collect();
        let run = self.run();
        let shows = if kubectl.is_empty() { String::new() } else { format!(" {} shows its pods.", kubectl.join(", ")) };
        format!(
            "run {run} was left by `e2e --keep`, and no process answers for it.{shows} `parallax up SCENARIO` keeps a variant that `rerun`, `exec`, `shell` and `logs` enter; `parallax down {run}` removes what was left"
        )
    }

    /// Whether the run belongs to `project`. A run of a project in a folder below `project` counts, too, because
    /// `repro` unpacks a bundle into such a folder.
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

    /// Describes the run for a message: its id, its variant or `e2e --keep`, its age, and its folder. `now` is in
    /// seconds since the Unix epoch.
    fn named(&self, now: i64) -> String {
        let what = match self {
            Self::Held(handle) => handle.variant.as_str(),
            Self::Left { .. } => "e2e --keep",
        };
        let folder = self.directory().map(|it| format!(", {}", it.display())).unwrap_or_default();
        format!("{} ({what}, {} old{folder})", self.run(), in_short(self.age(now)))
    }
}

/// Formats an age in its largest unit, for example `2h`.
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

/// Returns all runs that `down` can remove. A run with `--keep` is not included while its process is alive.
fn all_to_take_down() -> Result<Vec<Standing>, CliError> {
    let state = StateDir::of_user().map_err(|error| CliError::Harness(error.to_string()))?;
    let runs = state.runs().map_err(|error| CliError::Harness(error.to_string()))?;
    let left = runs.into_iter().filter(|run| state.is_standing(run)).filter_map(|run| {
        let file = state.run_file(&run);
        let runs = file.as_ref().is_some_and(|it| it.owner.liveness(true) == Liveness::Living);
        // If it is unknown when the run began, the run counts as new, so that `--older-than` does not remove it.
        let since = file.and_then(|it| i64::try_from(it.created).ok()).unwrap_or_else(unix_seconds);
        (!runs).then(|| Standing::Left { kept: state.kept(&run), run, since })
    });
    Ok(all_standing()?.into_iter().map(Standing::Held).chain(left).collect())
}

/// Returns the runs that `e2e --keep` left.
pub fn all_left() -> Result<Vec<Standing>, CliError> {
    let mut all = all_to_take_down()?;
    all.retain(|it| matches!(it, Standing::Left { .. }));
    Ok(all)
}

/// Whether every command in this project finds the variant although the user does not name its run.
pub fn is_found(project: Option<&Path>, handle: &Handle) -> bool {
    let wanted = Wanted { project, run: None };
    standing(wanted).is_ok_and(|it| it.run == handle.run)
        && to_take_down(wanted).is_ok_and(|it| *it.run() == handle.run)
}

/// Returns the run that `down` removes: the named run, or the only kept run of the project.
pub fn to_take_down(wanted: Wanted<'_>) -> Result<Standing, CliError> {
    one_of(all_to_take_down()?, wanted, unix_seconds(), &DOWN)
}

/// Returns the kept runs of a project that began longer ago than `age`. If `project` is `None`, returns such runs of
/// all projects.
pub fn older_than(project: Option<&Path>, age: Duration) -> Result<Vec<Standing>, CliError> {
    let (mut all, now) = (all_to_take_down()?, unix_seconds());
    let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    all.retain(|it| project.is_none_or(|project| it.is_of(project)) && it.age(now) >= age);
    Ok(all)
}

/// The texts of the errors for the cases in which no single run can be chosen.
struct Words {
    /// The message if no run is kept.
    none: &'static str,
    /// The message if several runs are kept and the user named none.
    several: &'static str,
    /// The advice how to name a run. It is part of the message that lists runs of other projects.
    name: &'static str,
}

const DOWN: Words =
    Words { none: "no run is kept", several: "several runs are kept; name one of them", name: "name one of them" };

/// Returns the run that the user named, or the only kept run of the project. Fails if the named run is not kept.
/// Without a name, fails if the project has no kept run or several. `now` is in seconds since the Unix epoch.
fn one_of(all: Vec<Standing>, wanted: Wanted<'_>, now: i64, words: &Words) -> Result<Standing, CliError> {
    let names = |of: &[Standing]| of.iter().map(|it| it.named(now)).collect::<Vec<_>>().join(", ");
    if let Some(run) = wanted.run {
        let is = |it: &Standing| {
            it.run().as_str() == run || it.directory().is_some_and(|directory| real(directory) == real(Path::new(run)))
        };
        return match all.iter().position(is) {
            Some(at) => Ok(all.into_iter().nth(at).expect("the position of one of them")),
            None if all.is_empty() => Err(CliError::Usage(format!("run {run} is not kept; no run is"))),
            None => Err(CliError::Usage(format!("run {run} is not kept; these are: {}", names(&all)))),
        };
    }
    let (mut ours, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|it| wanted.project.is_none_or(|project| it.is_of(project)));
    match (ours.len(), others.as_slice()) {
        (0, []) => Err(CliError::Usage(words.none.to_owned())),
        (0, others) => Err(CliError::Usage(format!(
            "no run of this project is kept; of other projects these are, {}: {}",
            words.name,
            names(others)
        ))),
        (1, _) => Ok(ours.swap_remove(0)),
        _ => Err(CliError::Usage(format!("{}: {}", words.several, names(&ours)))),
    }
}

/// Sends a request to the process of a kept variant, and returns the answer. The function calls `see` with each event
/// that arrives before the answer.
pub async fn ask(handle: &Handle, request: Request, see: impl FnMut(&Event)) -> Result<Answer, CliError> {
    match crate::standing::ask(&handles()?, handle, &Question::Do(request), see).await? {
        Line::Answer(answer) => Ok(answer),
        Line::Now(_) | Line::Event(_) => Err(CliError::Harness(format!("run {} answers no request", handle.run))),
    }
}

/// Asks the process of a kept variant what it does at this moment, and returns the answer. An example is `runs step
/// inside`, where `inside` is the id of a step.
pub async fn now(handle: &Handle) -> Result<String, CliError> {
    match crate::standing::ask(&handles()?, handle, &Question::Status, |_| {}).await? {
        Line::Now(now) => Ok(now),
        Line::Answer(_) | Line::Event(_) => {
            Err(CliError::Harness(format!("run {} does not say what it does", handle.run)))
        }
    }
}

/// Opens the socket on which other processes send requests for a variant. Returns the settings of the kept run, the
/// server for the socket, and the display that also sends events to other processes.
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

/// Returns the value of an option in the form in which a user writes it on the command line.
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
    fn a_run_that_no_process_keeps_has_its_lines_in_the_status() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("c1.kubeconfig"), "x").expect("written");
        let kept = Kept { project: "/p".into(), directory: folder.path().to_owned() };
        let run = Standing::Left { run: RunId::new("r1"), kept: Some(kept), since: unix_seconds() - 120 };
        let at = folder.path().display();
        assert_eq!(
            run.status(),
            format!(
                "e2e --keep  run r1  left 2m ago; no process keeps it\n  project   /p\n  record    {at}\n  \
                 cluster   kubectl --kubeconfig {at}/c1.kubeconfig get pods -A\n  remove    parallax down r1\n"
            )
        );
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
        assert_eq!(of(&[], None), Err("no run is kept".to_owned()));
        assert_eq!(of(&[], Some("r1")), Err("run r1 is not kept; no run is".to_owned()));
        let names = "r1 (e2e --keep, 2m old, /p/target/e2e/r1), r2 (e2e --keep, 20s old, /p/target/e2e/r2)";
        assert_eq!(of(&[&a, &b, &other], None), Err(format!("several runs are kept; name one of them: {names}")));
        assert_eq!(of(&[&a, &b], Some("r3")), Err(format!("run r3 is not kept; these are: {names}")));
        let others = "no run of this project is kept; of other projects these are, name one of them: \
                      r3 (e2e --keep, 20s old, /q/target/e2e/r3)";
        assert_eq!(of(&[&other], None), Err(others.to_owned()));
    }
}
