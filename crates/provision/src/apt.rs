//! Runs apt with a time limit. The output of apt is shown only if apt fails.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::Instant;

use super::choice::{Choice, Release, choose, read_candidate, read_madison};
use super::error::ProvisionError;
use super::sources;
use super::system::System;
use parallax_record::Sink;

/// The newer Debian release. A package comes from the newer release if this machine's own release has only older
/// versions of the package. The newer release's Docker package runs privileged containers on every machine that was
/// tried (docs/facts.md#container-engines).
const NEWER_SUITE: &str = "trixie";
const ETC_APT: &str = "/etc/apt";
/// The number of last lines of a command's output that an error shows.
const OUTPUT_LINES: usize = 20;
/// The time limit for apt to read the package lists. `INSTALL_WITHIN` is the time limit for apt to install packages.
/// apt's own waits, such as the wait for dpkg's lock, are shorter. So a command of apt that reaches its limit probably
/// hangs.
const UPDATE_WITHIN: Duration = Duration::from_mins(5);
const INSTALL_WITHIN: Duration = Duration::from_mins(20);
/// The longest time for which `Apt` waits until another apt process releases the lock of the package lists. apt itself
/// does not wait for this lock, but fails at once. It waits only for dpkg's lock.
const LOCK_WITHIN: Duration = Duration::from_mins(2);
/// The interval between two tries to get the lock of apt's lists. No event reports the release of the lock.
const LOCK_LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The package manager apt on this machine. `updated` says whether this `Apt` has read the package lists of all sources
/// since it last added a source.
pub struct Apt<'a> {
    system: System,
    sink: &'a Sink,
    updated: bool,
}

/// A package to install, with the conditions of its installation.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The name of the package.
    pub package: &'static str,
    /// The minimum version of the package.
    pub least: Release,
    /// Packages that must come from the same suite as the package. apt itself would take them from its default suite.
    pub same_suite: &'static [&'static str],
    /// Packages to install together with the package. The archive must have them.
    pub along: &'static [&'static str],
    /// Packages to install together with the package if the archive has them.
    pub along_if_known: &'static [&'static str],
}

impl<'a> Apt<'a> {
    /// Returns an `Apt` that installs packages on `system`. It reports each step to `sink` before it does the step.
    pub fn new(system: System, sink: &'a Sink) -> Self {
        Self { system, sink, updated: false }
    }

    /// Installs a package. If this machine's own suite has no version that is new enough, the package comes from a
    /// newer suite.
    pub async fn install(&mut self, wanted: Wanted) -> Result<(), ProvisionError> {
        let Wanted { package, least, .. } = wanted;
        let mut choice = self.look_up(package, least).await?;
        if choice == Choice::Nowhere && self.candidate(package).await?.is_none() {
            // The candidate is the version that apt would install. A missing candidate may mean that the package lists
            // were never read, or were deleted. So they are read now.
            self.update().await?;
            choice = self.look_up(package, least).await?;
        }
        if choice == Choice::Nowhere && self.system.is_debian && self.add_newer_suite()? {
            self.updated = false;
            self.update().await?;
            choice = self.look_up(package, least).await?;
        }
        let (version, suite) = match choice {
            Choice::Plain { version } => (version, None),
            Choice::FromSuite { version, suite } => (version, Some(suite)),
            Choice::Nowhere => return Err(self.too_old(package, least).await?),
        };
        let mut along = wanted.along.to_vec();
        for other in wanted.along_if_known {
            if self.candidate(other).await?.is_some() {
                along.push(other);
            }
        }
        let from = suite.as_ref().map(|suite| format!(" from {suite}")).unwrap_or_default();
        let what = [&[format!("{package} {version}{from}").as_str()], along.as_slice()].concat().join(", ");
        self.sink.note(format!("installing {what}"));
        let suffix = suite.map(|suite| format!("/{suite}")).unwrap_or_default();
        let same = [package].into_iter().chain(wanted.same_suite.iter().copied());
        let mut names: Vec<String> = same.map(|name| format!("{name}{suffix}")).collect();
        names.extend(along.into_iter().map(str::to_owned));
        match self.install_now(&names).await {
            // The package lists may be old, and name versions that the mirror no longer has. The installation then
            // fails. So the harness updates the package lists, and tries the installation a second time.
            Err(_) if !self.updated => {
                self.update().await?;
                self.install_now(&names).await
            }
            result => result,
        }
    }

    async fn install_now(&self, names: &[String]) -> Result<(), ProvisionError> {
        let mut args = vec!["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
        args.extend(["-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0"]);
        args.extend(names.iter().map(String::as_str));
        run_as("apt-get", &args, INSTALL_WITHIN, Dropped::GoesOn).await.map(drop)
    }

    /// Returns the version that apt would install by default according to its current package lists. Returns `None` if
    /// the lists have no version of the package.
    async fn candidate(&self, package: &str) -> Result<Option<String>, ProvisionError> {
        Ok(read_candidate(&run("apt-cache", &["policy", package], UPDATE_WITHIN).await?))
    }

    async fn look_up(&self, package: &str, least: Release) -> Result<Choice, ProvisionError> {
        let candidate = self.candidate(package).await?;
        let madison = run("apt-cache", &["madison", package], UPDATE_WITHIN).await?;
        Ok(choose(candidate.as_deref(), &read_madison(&madison), least))
    }

    async fn too_old(&self, package: &str, least: Release) -> Result<ProvisionError, ProvisionError> {
        Ok(ProvisionError::TooOld {
            package: package.to_owned(),
            wanted: least.to_string(),
            has: self.candidate(package).await?.unwrap_or_else(|| "none".to_owned()),
            system: self.system.name.clone(),
        })
    }

    /// Reads the package lists of all sources (`apt-get update`). A later call does nothing, unless a source was added.
    async fn update(&mut self) -> Result<(), ProvisionError> {
        if self.updated {
            return Ok(());
        }
        self.sink.note("reading the package lists (apt-get update)");
        let deadline = Instant::now() + LOCK_WITHIN;
        loop {
            match run("apt-get", &["update", "-o", "Acquire::Retries=2"], UPDATE_WITHIN).await {
                Ok(_) => break,
                Err(error) if is_locked(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(LOCK_LOOK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.updated = true;
        Ok(())
    }

    /// Adds the suite [`NEWER_SUITE`] to apt's sources. If this suite is already the machine's own, adds nothing and
    /// returns `false`.
    fn add_newer_suite(&self) -> Result<bool, ProvisionError> {
        let codename = &self.system.codename;
        if codename == NEWER_SUITE {
            return Ok(false);
        }
        let etc = Path::new(ETC_APT);
        let files = sources::read(etc)?;
        let own = sources::own_archive(&files, codename);
        if own.is_empty() {
            let read = files.into_iter().map(|(path, _)| path).collect();
            return Err(ProvisionError::NoOwnArchive { codename: codename.clone(), read });
        }
        let list = etc.join(format!("sources.list.d/parallax-{NEWER_SUITE}.sources"));
        let pin = etc.join(format!("preferences.d/parallax-{NEWER_SUITE}"));
        self.sink.note(format!(
            "adding {NEWER_SUITE} to this machine's apt sources, pinned low: {} and {}",
            list.display(),
            pin.display()
        ));
        // The pin (the low priority of the newer suite) is written before the suite's sources. If the sources came
        // first, an upgrade by another process in between would install everything from the newer suite.
        std::fs::write(&pin, sources::low_pin(NEWER_SUITE)).map_err(ProvisionError::file("write", &pin))?;
        let text = sources::renamed(&own, codename, NEWER_SUITE);
        std::fs::write(&list, text).map_err(ProvisionError::file("write", &list))?;
        Ok(true)
    }
}

fn is_locked(error: &ProvisionError) -> bool {
    matches!(error, ProvisionError::Command { output, .. } if output.iter().any(|line| line.contains("Could not get lock")))
}

/// Runs a command and returns its standard output. If the future is dropped, for example after Ctrl-C, the command and
/// all processes that it started are killed.
pub async fn run(program: &str, args: &[&str], within: Duration) -> Result<String, ProvisionError> {
    run_as(program, args, within, Dropped::Ends).await
}

/// What happens to a command when the future that runs it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// The command ends when the future is dropped.
    Ends,
    /// The command goes on without the harness. Installations need this. An interrupted installation leaves
    /// half-installed packages, and dpkg then refuses every other installation until a person repairs these packages.
    GoesOn,
}

/// Runs a command in a process group of its own. So Ctrl-C in the terminal does not reach the command, and the harness
/// can end the whole group. The command writes to files instead of pipes. A pipe would break when the harness ends, and
/// the broken pipe would end the command.
async fn run_as(program: &str, args: &[&str], within: Duration, dropped: Dropped) -> Result<String, ProvisionError> {
    let failed = |reason: String, output: Vec<String>| ProvisionError::Command {
        command: format!("{program} {}", args.join(" ")),
        reason,
        output,
    };
    let io = |error: std::io::Error| failed(error.to_string(), Vec::new());
    let [mut stdout, mut stderr] = [tempfile::tempfile().map_err(io)?, tempfile::tempfile().map_err(io)?];
    let mut child = Command::new(program)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(io)?)
        .stderr(stderr.try_clone().map_err(io)?)
        .process_group(0)
        .spawn()
        .map_err(io)?;
    let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut group = Group { leader, program, ends: dropped == Dropped::Ends };
    let Ok(status) = tokio::time::timeout(within, child.wait()).await else {
        // If `ends` is set, the drop of `group` kills the command's process group. This is necessary, because a
        // remaining child process would keep dpkg's lock and block every other installation.
        group.ends = true;
        return Err(failed(format!("no end within {} s", within.as_secs()), Vec::new()));
    };
    group.ends = false;
    let status = status.map_err(io)?;
    let text = |file: &mut File| -> std::io::Result<String> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let stdout = text(&mut stdout).map_err(io)?;
    if status.success() {
        return Ok(stdout);
    }
    let text = format!("{stdout}\n{}", text(&mut stderr).map_err(io)?);
    Err(failed(status.to_string(), last_lines(&text, OUTPUT_LINES)))
}

/// A process group, identified by the process id of its leader. If `ends` is set, dropping this value kills the group.
struct Group<'a> {
    leader: Option<Pid>,
    program: &'a str,
    ends: bool,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Some(leader) = self.leader.filter(|_| self.ends)
            && let Err(error) = kill_process_group(leader, Signal::KILL)
        {
            tracing::warn!(%error, program = self.program, "a command could not be ended");
        }
    }
}

/// Returns the last `count` non-empty lines of a text.
pub fn last_lines(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_shows_its_end() {
        let limit = Duration::from_secs(10);
        assert_eq!(run("sh", &["-c", "echo yes"], limit).await.unwrap(), "yes\n");
        let script = "for i in $(seq 30); do echo line $i; done; echo why >&2; exit 3";
        let error = run("sh", &["-c", script], limit).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        let shown = error.evidence();
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (20, "line 12", "why"));
        // The command starts another process. Both processes must be ended when the time limit is over.
        let begun = Begun::new();
        let error = run("sh", &["-c", &begun.script], Duration::from_secs(1)).await.unwrap_err();
        assert!(error.to_string().contains("no end within"), "{error}");
        begun.ends().await;
        let error = run("parallax-no-such-command", &[], limit).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }

    /// A script that starts another process and waits for it.
    struct Begun {
        script: String,
        written: std::path::PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Begun {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let written = folder.path().join("pid");
            let part = folder.path().join("part");
            let script =
                format!("sleep 60 & echo $! > {0}; mv {0} {1}; echo begun; wait", part.display(), written.display());
            Self { script, written, _folder: folder }
        }

        /// Waits until the script has started its child process. Returns the id of the child process.
        async fn pid(&self) -> i32 {
            let begun = async {
                loop {
                    if let Ok(pid) = std::fs::read_to_string(&self.written) {
                        break pid.trim().parse().unwrap();
                    }
                    // No event reports the new content of a file, so the test polls.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), begun).await.expect("the process was begun")
        }

        fn runs(pid: i32) -> bool {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| !it.contains(") Z "))
        }

        async fn ends(&self) {
            let pid = self.pid().await;
            let ended = async {
                while Self::runs(pid) {
                    // The parent of the script's child process is the script's shell and not the test. Therefore the
                    // kernel does not report the end of the child process to the test, and the test polls.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), ended)
                .await
                .expect("what the command began is ended with it");
        }
    }

    #[tokio::test]
    async fn whoever_is_not_waited_for_any_more_ends_unless_it_installs() {
        for dropped in [Dropped::Ends, Dropped::GoesOn] {
            let begun = Begun::new();
            let arguments = ["-c", &begun.script];
            let command = run_as("sh", &arguments, Duration::from_mins(1), dropped);
            let pid = tokio::select! {
                pid = begun.pid() => pid,
                ended = command => panic!("it ended: {ended:?}"),
            };
            if dropped == Dropped::Ends {
                begun.ends().await;
            } else {
                assert!(Begun::runs(pid));
                // The shell of the script waits for its child process `pid`. When the test kills the child process, the
                // shell ends too.
                rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
                begun.ends().await;
            }
        }
    }

    #[test]
    fn a_held_lock_is_told_from_other_failures() {
        let error = |line: &str| ProvisionError::Command {
            command: String::new(),
            reason: String::new(),
            output: vec![line.to_owned()],
        };
        assert!(is_locked(&error("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)")));
        assert!(!is_locked(&error("E: Unable to locate package x")));
    }
}
