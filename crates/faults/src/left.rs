//! Finds objects and processes that a run has left behind. This module uses the engine's own client and `/proc`,
//! because both are independent of the code under test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Runs the engine's client and returns its standard output.
pub(crate) fn docker(args: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(args).output().context("failed to start the client `docker`")?;
    ensure!(output.status.success(), "docker {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the containers, networks and volumes of a run as `KIND NAME`. They are the objects with the run's label, and
/// the objects with the run's id in their name.
pub(crate) fn objects(run: &str) -> Result<BTreeSet<String>> {
    objects_by(run, docker)
}

/// Does the same as [`objects`], but the caller gives the function that runs the engine's client. So the caller can
/// choose another engine.
pub(crate) fn objects_by(run: &str, docker: impl Fn(&[&str]) -> Result<String>) -> Result<BTreeSet<String>> {
    let lists: [(&str, &[&str]); 3] = [
        ("container", &["ps", "--all", "--no-trunc", "--format", "{{.Names}}"]),
        ("network", &["network", "ls", "--format", "{{.Name}}"]),
        ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
    ];
    let mut found = BTreeSet::new();
    for (kind, args) in lists {
        for filter in [format!("label=io.parallax.run={run}"), format!("name={run}")] {
            let names = docker(&[args, &["--filter", &filter]].concat())?;
            found.extend(names.lines().map(|name| format!("{kind} {name}")));
        }
    }
    Ok(found)
}

/// Returns the processes whose command line contains a run's id. They are the run's reaper and the programs that the
/// run started.
pub(crate) fn processes(run: &str) -> BTreeSet<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of = entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        // A zombie has no command line, so it does not count as left behind.
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        words.contains(run).then(|| format!("process {pid} {}", words.trim()))
    });
    of.collect()
}

/// Returns the process id of a run's reaper, or `None` if the run has no reaper.
pub(crate) fn reaper(run: &str) -> Option<i32> {
    processes(run).iter().find(|it| it.contains(&format!(" reaper {run} ")))?.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a run's ledger shows that nothing of the run is left. In that case the ledger has the mark `swept` or no
/// longer exists.
pub(crate) fn is_swept(state: &Path, run: &str) -> bool {
    let folder = ledger(state, run);
    !folder.exists() || folder.join("swept").exists()
}

/// Returns the folder of a run's ledger. `state` is the folder that `XDG_STATE_HOME` names.
pub(crate) fn ledger(state: &Path, run: &str) -> std::path::PathBuf {
    state.join("parallax/runs").join(run)
}
