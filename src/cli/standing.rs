//! The commands for a variant that is kept. `up` starts the variant in a separate process, which keeps it running. The
//! other commands send requests to that process.

mod first;

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use parallax_explain::of_step;
use parallax_vocab::event::{Exit, Problem, Verdict};
use parallax_vocab::{Event, EventKind, StepId, inert};

use self::first::FirstFlow;
use super::args::{AtOnce, Breaks, Down, E2e, Enter, Exec, Hold, Kept, Logs, Rerun, Selection, Theirs, Up, Which};
use super::dispatch::find_project;
use super::session::{self, Holding, Role};
use super::wiring::{self, Project, Standing, Wanted};
use super::{CliError, choose, printer, signal};
use crate::run::standing::{Answer, Request, Until};
use crate::standing::Handle;
use parallax_images::Recipes;
use parallax_record::Log;
use parallax_report::explanation::{explained_step, step_in_a_line};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The interval between two checks of whether the process that keeps the environment has ended.
const POLL: Duration = Duration::from_millis(50);
/// The largest length of a script that `parallax shell` reads from standard input, in bytes. The script is sent
/// inside a request, and the size of a request is limited. The limit for the script is lower than the limit for the
/// request, because JSON needs more bytes for some characters.
const SCRIPT_LIMIT_BYTES: u64 = 24 * 1024;
/// The time for which `status` waits until the process of a kept variant says how its environment can be reached.
const REACH_WITHIN: Duration = Duration::from_secs(2);

/// Starts a variant in a separate process, which keeps it running, and prints how to reach the variant.
pub(super) async fn up(project: &Path, verbose: u8, args: &Up) -> Result<Exit, CliError> {
    // Mistakes in the scenario or the options are reported before a process is started.
    let loaded = Project::load(project)?;
    let (chosen, _) = chosen(&loaded, args).await?;
    let run = wiring::fresh_run_id();
    wiring::can_stand(&run)?;
    let interrupted = signal::watch(|| printer::word(signal::CLEANING_UP), || {})
        .map_err(|error| CliError::Harness(format!("failed to listen for signals: {error}")))?;
    let programs = loaded.vantages_with_programs(&chosen.selected[0]);
    let mut holder = Holder::start(project, verbose, run.as_str(), args)?;
    let mut flow = FirstFlow::default();
    let listening = holder.listening();
    let holding = async {
        if !listening.await {
            return None;
        }
        let handle = wiring::standing(Wanted { project: None, run: Some(run.as_str()) }).ok()?;
        // The error is dropped. If the process ends before it answers, its exit code and its messages say why.
        let answer = wiring::ask(&handle, Request::Reach, |event| flow.see(event)).await.ok()?;
        Some((handle, answer))
    };
    let holding = tokio::select! {
        holding = holding => holding,
        () = interrupted.cancelled() => None,
    };
    let Some((handle, answer)) = holding else { return holder.wait(&interrupted).await };
    printer::data(&inert(&format!("{}  run {}\n", handle.variant, handle.run)));
    reached(answer)?;
    printer::data(&inert(&flow.text()));
    let here = find_project(None).ok();
    let of = if wiring::is_found(here.as_deref(), &handle) { String::new() } else { format!(" --run {}", handle.run) };
    printer::data(&inert(&flow.next(&handle, &of, args.before.as_deref(), &programs)));
    Ok(Exit::AsExpected)
}

/// Returns the single variant that the arguments of `up` name, and the recipes of its images.
async fn chosen(project: &Project, args: &Up) -> Result<(choose::Chosen, Recipes), CliError> {
    let breaks = if args.variant.contains('+') { Breaks::All } else { Breaks::None };
    let selection = Selection { filters: vec![args.variant.clone()], breaks, ..Selection::default() };
    let versions = args.common.versions.single("up")?;
    let recipes = wiring::at(wiring::recipes(&project.root, args.common.lock)?, &versions)?;
    let (k3s, out) = (args.common.k3s, session::default_out(&project.root));
    let chosen = choose::choose(project, &selection, (k3s, &recipes), &out).await?;
    let [variant] = chosen.selected.as_slice() else {
        let all: Vec<&str> = chosen.selected.iter().map(parallax_vocab::VariantId::as_str).collect();
        return Err(CliError::Usage(format!("`up` keeps one variant at a time; name one of {}", all.join(", "))));
    };
    if let Some(until) = args.until.as_ref().or(args.before.as_ref()) {
        let steps = project.steps(variant);
        if !steps.contains(until) {
            let steps = steps.join(", ");
            return Err(CliError::Usage(format!("{variant} has no step `{until}` of its own; it has {steps}")));
        }
    }
    wiring::check_host_programs(project, &chosen.selected, args.common.allow_host_programs)?;
    Ok((chosen, recipes))
}

/// The child process of `up` that keeps the environment.
struct Holder {
    child: Child,
    /// The threads that copy the output of the child process to the output of this process.
    printing: Vec<JoinHandle<()>>,
}

impl Holder {
    fn start(project: &Path, verbose: u8, run: &str, args: &Up) -> Result<Self, CliError> {
        let failed =
            |error| CliError::Harness(format!("failed to start a process that holds the environment: {error}"));
        let mut command = Process::new(std::env::current_exe().map_err(failed)?);
        command.arg("--project").arg(std::path::absolute(project).map_err(failed)?);
        command.args((0..verbose).map(|_| "-v")).args(["hold", "--id", run, &args.variant]);
        for (name, value) in [("--k3s", wiring::flag(&args.common.k3s)), ("--lock", wiring::flag(&args.common.lock))] {
            command.args([name, &value]);
        }
        for (name, step) in [("--until", &args.until), ("--before", &args.before)] {
            if let Some(step) = step {
                command.args([name, step]);
            }
        }
        if let Some(seed) = args.seed {
            command.args(["--seed", &seed.to_string()]);
        }
        if let Some(out) = &args.common.out {
            command.arg("--out").arg(std::path::absolute(out).map_err(failed)?);
        }
        command.args(args.common.versions.again()).args(args.common.provision.then_some("--provision"));
        let allowed = args.common.allow_host_programs;
        command.args(allowed.map(|it| format!("--allow-host-programs={}", wiring::flag(&it))));
        // The child process gets a process group of its own. Otherwise, after `up` has ended, a Ctrl-C in this
        // terminal would also reach the child process, which would then remove the environment.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stderr = child.stderr.take();
        let printing = std::thread::spawn(move || lines(stderr).for_each(|line| printer::word(&line)));
        Ok(Self { child, printing: vec![printing] })
    }

    /// Waits until the child process can receive requests. The first line that the child process prints reports this.
    /// Returns `false` if the process ends before it can receive requests.
    fn listening(&mut self) -> impl Future<Output = bool> + use<> {
        let stdout = self.child.stdout.take();
        let (send, receive) = oneshot::channel();
        // The thread continues to read after the first line, and prints the following lines. They are the summary of
        // the run, which the child process prints if the run fails early.
        self.printing.push(std::thread::spawn(move || {
            let mut lines = lines(stdout);
            // Sending fails if `up` no longer waits, for example after Ctrl-C. This error is ignored.
            let _ = send.send(lines.next().is_some_and(|line| line == session::LISTENING));
            lines.for_each(|line| printer::data(&format!("{line}\n")));
        }));
        async { receive.await.unwrap_or(false) }
    }

    fn interrupt(&self) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // The child process may already have ended, so an error is ignored.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        }
    }

    /// Waits for the end of the child process. If the user presses Ctrl-C, this process passes the interrupt on to
    /// the child process, which then cleans up.
    async fn wait(mut self, interrupted: &CancellationToken) -> Result<Exit, CliError> {
        let failed =
            |error: &dyn std::fmt::Display| CliError::Harness(format!("failed to wait for a process: {error}"));
        let mut is_said = false;
        let ended = loop {
            if let Some(ended) = self.child.try_wait().map_err(|error| failed(&error))? {
                break ended;
            }
            tokio::select! {
                // The standard library has no asynchronous wait for a child process, so this code polls.
                () = tokio::time::sleep(POLL) => {}
                () = interrupted.cancelled(), if !is_said => {
                    is_said = true;
                    self.interrupt();
                }
            }
        };
        let printing = self.printing;
        drop(tokio::task::spawn_blocking(move || printing.into_iter().for_each(|it| drop(it.join()))).await);
        if let Some(signal) = ended.signal() {
            if interrupted.is_cancelled() {
                return Ok(Exit::Interrupted);
            }
            printer::word(&format!("the process that holds the environment was ended by signal {signal}"));
        }
        Ok(ended.code().and_then(|code| u8::try_from(code).ok()).and_then(Exit::of_code).unwrap_or(Exit::Harness))
    }
}

fn lines(from: Option<impl Read>) -> impl Iterator<Item = String> {
    from.into_iter().flat_map(|from| BufReader::new(from).lines()).map_while(Result::ok)
}

/// Runs a variant and keeps it running until `parallax down` removes it. This is the command `hold`, which `up` starts
/// as a child process.
pub(super) async fn hold(project: &Path, args: Hold, log: &Log) -> Result<Exit, CliError> {
    let project = Project::load(project)?;
    let (chosen, recipes) = chosen(&project, &args.up).await?;
    let Up { variant, until, before, seed, common } = args.up;
    let until = until.map(|step| Until::After(StepId::new(step)));
    let until = until.or(before.map(|step| Until::Before(StepId::new(step))));
    let options = E2e {
        selection: Selection { filters: vec![variant], ..Selection::default() },
        common,
        kept: Kept::default(),
        theirs: Theirs::default(),
        at_once: AtOnce::default(),
        shuffle: None,
        unshared: false,
        require_proof: None,
        allow_skips: false,
        deny_skips: true,
        allow_skip: Vec::new(),
        seed,
        max_fail: None,
        retry_machine: 0,
        upload: None,
        timeout: None,
    };
    let holding = Holding { run: parallax_vocab::RunId::new(args.id), until };
    Ok(session::run(&project, chosen, recipes, options, log, Role::Stands(holding)).await?.exit)
}

/// Prints the variants that are kept, with their state and how to reach them, and the runs that `e2e --keep` left.
pub(super) async fn status() -> Result<Exit, CliError> {
    let (all, left) = (wiring::all_standing()?, wiring::all_left()?);
    if all.is_empty() && left.is_empty() {
        printer::data("no variant is kept; `parallax up SCENARIO` starts one and keeps it\n");
    }
    for standing in left {
        printer::data(&inert(&standing.status()));
    }
    for handle in all {
        let now = match wiring::now(&handle).await {
            Ok(now) => now,
            // The process of this variant may be ending, or may be another version of Parallax. The error is printed,
            // and the processes of the other variants are asked as well.
            Err(error) => {
                printer::error(&error.to_string());
                continue;
            }
        };
        printer::data(&inert(&format!("{}  run {}  {now}\n", handle.variant, handle.run)));
        printer::data(&inert(&format!(
            "  project   {}\n  record    {}\n",
            handle.project.display(),
            handle.directory.display()
        )));
        // While the process carries out another request, it does not answer this one. Therefore the wait has a time
        // limit.
        let reach = tokio::time::timeout(REACH_WITHIN, wiring::ask(&handle, Request::Reach, |_| {})).await;
        if let Ok(Ok(answer @ Answer::Reach(_))) = reach {
            reached(answer)?;
        }
    }
    Ok(Exit::AsExpected)
}

/// Runs a step, or the whole flow, again in the environment of a kept variant.
pub(super) async fn rerun(project: Option<&Path>, args: &Rerun) -> Result<Exit, CliError> {
    let handle = wiring::standing(Wanted { project, run: args.of.run.as_deref() })?;
    let request = args.step.as_ref().map_or(Request::Flow, |step| Request::Step(StepId::new(step.clone())));
    again(&handle, request).await
}

/// Each time a file of the scenario or of its charts is saved, runs the steps again from the first step that changed.
pub(super) async fn watch(project: Option<&Path>, args: &Which) -> Result<Exit, CliError> {
    let handle = wiring::standing(Wanted { project, run: args.run.as_deref() })?;
    let mut saves = wiring::saves(&handle)?;
    printer::word(&format!("{}: runs again what changes in {}; Ctrl-C ends", handle.variant, saves.paths()));
    loop {
        saves.next().await?;
        if let Err(error) = again(&handle, Request::Reload).await {
            // The next save may correct the mistake, so the watch continues as long as the environment stands.
            wiring::now(&handle).await.map_err(|_| CliError::Harness(error.to_string()))?;
            printer::error(&error.to_string());
        }
    }
}

/// Runs a program at a vantage. When the program has ended, this process exits with the program's exit code. The
/// function returns only if the program could not be run.
pub(super) async fn exec(project: Option<&Path>, args: &Exec) -> Result<Exit, CliError> {
    let handle = wiring::standing(Wanted { project, run: args.of.run.as_deref() })?;
    run(&handle, args.from.clone(), args.command.clone(), None).await
}

async fn run(
    handle: &Handle,
    from: Option<String>,
    argv: Vec<String>,
    stdin: Option<String>,
) -> Result<Exit, CliError> {
    match wiring::ask(handle, Request::Run { from, argv, stdin }, |_| {}).await? {
        Answer::Program(reply) => {
            // The text is escaped if it goes to a terminal or to the log of a CI service. A terminal acts on control
            // characters, and a CI service acts on commands in its log. A file or a pipe gets the text unchanged.
            let to = |text: &str, terminal: bool| {
                if terminal || printer::acts_on_commands() { inert(text).into_owned() } else { text.to_owned() }
            };
            printer::data(&to(&reply.stdout, std::io::stdout().is_terminal()));
            if !reply.stderr.is_empty() {
                printer::word(&to(reply.stderr.trim_end(), std::io::stderr().is_terminal()));
            }
            std::process::exit(reply.exit);
        }
        other => unexpected(other),
    }
}

/// Opens a shell at a vantage. When the shell has ended, this process exits with the shell's exit code. The function
/// returns only if the shell could not be opened.
pub(super) async fn shell(project: Option<&Path>, args: Enter) -> Result<Exit, CliError> {
    let Enter { from, of, command } = args;
    let handle = wiring::standing(Wanted { project, run: of.run.as_deref() })?;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return match wiring::ask(&handle, Request::Enter { from }, |_| {}).await? {
            Answer::Inside(inside) => {
                let exit = wiring::enter(&inside, &command).await?;
                std::process::exit(exit);
            }
            other => unexpected(other),
        };
    }
    if !command.is_empty() {
        return run(&handle, from, command, None).await;
    }
    let mut script = String::new();
    let read = std::io::stdin().take(SCRIPT_LIMIT_BYTES + 1).read_to_string(&mut script);
    read.map_err(|error| CliError::Usage(format!("standard input cannot be read: {error}")))?;
    if script.len() as u64 > SCRIPT_LIMIT_BYTES {
        let limit = SCRIPT_LIMIT_BYTES / 1024;
        return Err(CliError::Usage(format!("standard input is longer than the {limit} KiB that a shell is given")));
    }
    run(&handle, from, vec!["sh".to_owned()], Some(script)).await
}

/// Prints the last log lines of pods, nodes or containers of a kept variant.
pub(super) async fn logs(project: Option<&Path>, args: Logs) -> Result<Exit, CliError> {
    let run = args.named.as_deref().or(args.of_run.run.as_deref());
    let handle = wiring::standing(Wanted { project, run })?;
    match wiring::ask(&handle, Request::Logs { of: args.of, tail: args.tail }, |_| {}).await? {
        Answer::Logs(logs) => {
            if logs.is_empty() {
                printer::word("no pod wrote anything");
            }
            for (name, lines) in logs {
                let lines = lines.iter().fold(String::new(), |text, line| text + "  " + line + "\n");
                printer::data(&inert(&format!("{name}\n{lines}")));
            }
            Ok(Exit::AsExpected)
        }
        other => unexpected(other),
    }
}

/// Removes kept runs: the run that the user names, the only run of the project, or all runs that are older than the
/// given age.
pub(super) async fn down(project: Option<&Path>, args: &Down) -> Result<Exit, CliError> {
    let run = args.named.as_deref().or(args.run.as_deref());
    let all = match args.older_than {
        Some(age) => wiring::older_than(project, age.to_duration())?,
        None => vec![wiring::to_take_down(Wanted { project, run })?],
    };
    if all.is_empty() {
        printer::data("no run that old is kept\n");
    }
    let mut clean = true;
    for standing in all {
        let exit = match standing {
            Standing::Held(handle) => end(&handle).await?,
            Standing::Left { run, kept, .. } => {
                session::watched(|sink, cancel| wiring::down(run, kept, sink, cancel)).await?
            }
        };
        clean &= exit == Exit::AsExpected;
    }
    Ok(if clean { Exit::AsExpected } else { Exit::Harness })
}

/// Asks the process of a kept variant to end. Before it ends, the process removes all objects of the variant.
async fn end(handle: &Handle) -> Result<Exit, CliError> {
    let mut ended = None;
    let answer = wiring::ask(handle, Request::End, |event| {
        if let EventKind::CleanedUp { removed, remaining, .. } = &event.event {
            ended = Some((*removed, remaining.clone()));
        }
    });
    let answer = answer.await?;
    let Answer::Ends = answer else { return unexpected(answer) };
    let Some((removed, remaining)) = ended else {
        // No event about the clean-up has arrived, because the process was already ending or was busy with another
        // request. In these cases the process sends only the answer.
        printer::data(&format!("run {}: ended\n", handle.run));
        return Ok(Exit::AsExpected);
    };
    for command in &remaining {
        printer::word(&inert(&format!("warning: something could not be removed; {command}")));
    }
    printer::data(&format!("run {}: {removed} objects removed\n", handle.run));
    Ok(if remaining.is_empty() { Exit::AsExpected } else { Exit::Harness })
}

async fn again(handle: &Handle, request: Request) -> Result<Exit, CliError> {
    let (mut ran, mut told) = (false, Vec::new());
    let answer = wiring::ask(handle, request, |event| {
        if let EventKind::StepEnded(step) = &event.event {
            ran = true;
            told.extend((step.verdict != Verdict::Passed).then(|| of_step(step)));
        }
        printer::data(&happened(event));
    });
    match answer.await? {
        Answer::Ran(problems) if problems.is_empty() => {
            printer::data(if ran { "as declared\n" } else { "no step changed\n" });
            Ok(Exit::AsExpected)
        }
        Answer::Ran(problems) => {
            printer::data(&inert(&untold(&problems, &told)));
            printer::data("NOT as declared\n");
            Ok(Exit::NotAsExpected)
        }
        other => unexpected(other),
    }
}

/// Returns the text about the problems of a flow. `told` contains the sentences that were already printed when steps
/// ended. A problem whose sentence is in `told` is left out, so that it is not printed twice.
fn untold(problems: &[Problem], told: &[String]) -> String {
    let problems = problems.iter().filter(|it| !told.contains(&it.sentence));
    problems.fold(String::new(), |text, it| text + &format!("{}\n  place     {}\n", it.sentence, it.place))
}

/// Returns the text that is printed when a step ends or when there is a warning. The text is empty for all other
/// events.
fn happened(event: &Event) -> String {
    let text = match &event.event {
        EventKind::StepEnded(step) => {
            let why = if step.verdict == Verdict::Passed { String::new() } else { explained_step(step) };
            format!("  {}\n{why}", step_in_a_line(step))
        }
        EventKind::SetupEnded { id, detail, error: None, .. } if id.starts_with("objects/") => {
            format!("  objects  {detail}\n")
        }
        EventKind::Warning { text } => format!("warning: {text}\n"),
        _ => String::new(),
    };
    inert(&text).into_owned()
}

fn reached(answer: Answer) -> Result<(), CliError> {
    match answer {
        Answer::Reach(lines) => {
            let width = lines.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
            for (what, line) in lines {
                printer::data(&inert(&format!("  {what:<width$}  {line}\n")));
            }
            Ok(())
        }
        other => unexpected(other).map(drop),
    }
}

fn unexpected(answer: Answer) -> Result<Exit, CliError> {
    Err(match answer {
        Answer::No(why) => CliError::Usage(why),
        Answer::Failed(why) => CliError::Harness(why),
        Answer::Ran(_) | Answer::Reach(_) | Answer::Program(_) | Answer::Inside(_) | Answer::Logs(_) | Answer::Ends => {
            CliError::Harness("the process that holds the environment answered another question".to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_a_step_has_told_is_not_told_again() {
        let problem = |step: &str, sentence: &str| Problem {
            step: StepId::new(step),
            place: "scenario.yaml:7".to_owned(),
            sentence: sentence.to_owned(),
            expected: String::new(),
            seen: String::new(),
        };
        let told = ["`got` from app: the answer is 404".to_owned()];
        let passed = problem("put", "`put` was declared to fail, but it passed");
        let problems = [problem("got", &told[0]), passed];
        assert_eq!(
            untold(&problems, &told),
            "`put` was declared to fail, but it passed\n  place     scenario.yaml:7\n"
        );
        assert_eq!(untold(&problems[..1], &told), "");
    }
}
