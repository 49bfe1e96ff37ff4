//! The lease of a run in somebody else's cluster. Before the run creates the first object, it writes two things into
//! its folder in the state folder: a copy of the kubeconfig, and the places in the cluster where its objects may be.
//! With this information, the reaper and `parallax gc` can remove the objects of a run that was killed. The copy is
//! removed as soon as no object is left.

use std::path::PathBuf;

use parallax_vocab::{RunId, Secret};

use crate::apply::{ApplyError, Cleared, Reach, clear};
use crate::certs::write_private;
use crate::cluster;
use crate::run::error::RunError;
use crate::run::existing::clear_stores;
use parallax_engine::{EngineError, Ledger, Liveness, Owner, StateDir};
use parallax_record::{Noted as _, Present as _};

/// The word that takes the place of the engine's address if a run has no container engine. It occurs in `run.json` and
/// in the arguments of the reaper.
pub const ELSEWHERE: &str = "kubernetes";

const KUBECONFIG: &str = "kubeconfig";
const REACH: &str = "cluster.json";
/// The file that lists what the reaper could not remove from existing stores. An existing store is one that the user
/// had before the run. Each line contains a bucket and a prefix. The file contains no credentials.
const LEFT: &str = "left-in-stores";

fn kubeconfig_of(state: &StateDir, run: &RunId) -> PathBuf {
    state.run(run).join(KUBECONFIG)
}

/// Writes the lease of a run that begins: the run's ledger, the copy of the kubeconfig, and the places where the run
/// may create objects.
pub(super) fn open(state: &StateDir, run: &RunId, kubeconfig: &Secret, reach: &Reach) -> Result<(), RunError> {
    Ledger::open(state.clone(), run, Owner::this_process()?, ELSEWHERE)?;
    let reach = serde_json::to_vec(reach).expect("a reach is plain data");
    let written = write_private(&state.run(run).join(REACH), &reach)
        .and_then(|()| write_private(&kubeconfig_of(state, run), kubeconfig.expose().as_bytes()));
    written.map_err(|error| ApplyError::from(error).into())
}

/// Removes what a killed run left. First removes the objects of the run in the cluster, and then the objects that the
/// run wrote into the stores in `notes`. This order ensures that no pod of the run writes into a store after the store
/// is cleared. Returns what was removed from the cluster. For the stores, returns the number of removed objects, and a
/// line for each prefix below which objects could not be removed.
///
/// `gc` cannot remove objects from a store later, because it has no credentials for the store. So these lines are
/// written to a file, from which `gc` reports them, before the run is marked as swept.
pub async fn reap(state: &StateDir, run: &RunId, notes: &[String]) -> (Result<Cleared, String>, (usize, Vec<String>)) {
    let swept = cleared(state, run).await;
    let (objects, left) = clear_stores(notes).await;
    if !left.is_empty() {
        let lines = left.join("\n");
        write_private(&state.run(run).join(LEFT), lines.as_bytes()).noted("keep what is left in stores");
    }
    let swept = swept.and_then(|it| conclude(state, run, &it).map(|()| it));
    (swept, (objects, left))
}

/// Removes the objects of a killed run from its cluster. If the result is an error, it is not known which of the
/// objects still exist.
async fn sweep(state: &StateDir, run: &RunId) -> Result<Cleared, String> {
    let cleared = cleared(state, run).await?;
    conclude(state, run, &cleared)?;
    Ok(cleared)
}

/// Marks a run as swept, if nothing remains in its cluster.
fn conclude(state: &StateDir, run: &RunId, cleared: &Cleared) -> Result<(), String> {
    if cleared.remaining.is_empty() {
        std::fs::remove_file(kubeconfig_of(state, run)).present("remove the copy of a kubeconfig");
        state.mark_swept(run).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the reaper could not remove from existing stores: a line for each bucket and prefix.
fn left_in_stores(state: &StateDir, run: &RunId) -> Vec<String> {
    let text = std::fs::read_to_string(state.run(run).join(LEFT)).present("read what is left in stores");
    let says = |line: &str| format!("run {run}: objects stay in a store, remove them by this prefix: {line}");
    text.unwrap_or_default().lines().map(says).collect()
}

async fn cleared(state: &StateDir, run: &RunId) -> Result<Cleared, String> {
    let reach = std::fs::read(state.run(run).join(REACH)).map_err(|error| format!("{REACH}: {error}"))?;
    let reach: Reach = serde_json::from_slice(&reach).map_err(|error| format!("{REACH}: {error}"))?;
    let client = cluster::client_of_file(&kubeconfig_of(state, run)).await?;
    Ok(clear(&client, run, &reach).await)
}

/// Removes the objects of every run in somebody else's cluster whose process is dead. Returns for each run what was
/// removed. What the reaper could not remove from existing stores is reported only once. After that, the folder of the
/// run is removed, because `gc` has no credentials for the stores, and so can never remove these objects.
pub async fn collect(state: &StateDir) -> Result<Vec<(RunId, Result<Cleared, String>)>, EngineError> {
    let mut collected = Vec::new();
    for run in state.runs()? {
        let Some(file) = state.run_file(&run).filter(|it| it.endpoint == ELSEWHERE) else { continue };
        // All runs in the state folder ran on this machine, so a process that ran before the machine's last boot is
        // dead.
        if file.owner.liveness(true) != Liveness::Dead {
            continue;
        }
        let is_swept = state.is_swept(&run);
        let swept = if is_swept { Ok(Cleared::default()) } else { sweep(state, &run).await };
        let is_clean = swept.as_ref().is_ok_and(|it| it.remaining.is_empty());
        let left = if is_clean { left_in_stores(state, &run) } else { Vec::new() };
        let is_told = !is_swept || !left.is_empty();
        let swept = swept.map(|mut it| {
            it.remaining.extend(left);
            it
        });
        if is_told {
            collected.push((run.clone(), swept));
        }
        if is_clean {
            state.forget(&run)?;
        }
    }
    Ok(collected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_reaper_left_in_a_store_is_told_before_the_run_is_forgotten() {
        let scratch = tempfile::tempdir().expect("a folder");
        let (state, run) = (StateDir::at(scratch.path()), RunId::new("r00000001"));
        Ledger::open(state.clone(), &run, Owner::this_process().expect("a process"), ELSEWHERE).expect("a ledger");
        let (swept, (objects, left)) = reap(&state, &run, &["{\"secret_key\": \"AbCdEf123456\"".to_owned()]).await;
        // The lease is missing, so nothing is known about the cluster, and the run does not count as swept.
        assert!(swept.is_err() && !state.is_swept(&run), "{swept:?}");
        assert!(objects == 0 && left.len() == 1 && !left[0].contains("AbCdEf"), "{left:?}");
        let told = left_in_stores(&state, &run);
        assert!(told.len() == 1 && told[0].contains(&left[0]) && told[0].contains("r00000001"), "{told:?}");
        conclude(&state, &run, &Cleared::default()).expect("swept");
        assert!(state.is_swept(&run) && left_in_stores(&state, &run) == told);
    }
}
