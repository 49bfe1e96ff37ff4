//! What a run in somebody else's cluster writes into its folder of the state folder, before it creates the first
//! object: a copy of the kubeconfig, and where the run's objects may be. With it, the reaper and `parallax gc` remove
//! the objects of a run that was killed. The copy is removed as soon as no object is left.

use std::path::PathBuf;

use parallax_vocab::{RunId, Secret};

use crate::apply::{ApplyError, Cleared, Reach, clear};
use crate::certs::write_private;
use crate::cluster;
use crate::run::error::RunError;
use parallax_engine::{EngineError, Ledger, Liveness, Owner, StateDir};
use parallax_record::Present as _;

/// The word that stands in place of an engine's address: in `run.json`, and in the arguments of the reaper.
pub const ELSEWHERE: &str = "kubernetes";

const KUBECONFIG: &str = "kubeconfig";
const REACH: &str = "cluster.json";

fn kubeconfig_of(state: &StateDir, run: &RunId) -> PathBuf {
    state.run(run).join(KUBECONFIG)
}

/// Writes the lease of a run that begins.
pub(super) fn open(state: &StateDir, run: &RunId, kubeconfig: &Secret, reach: &Reach) -> Result<(), RunError> {
    Ledger::open(state.clone(), run, Owner::this_process()?, ELSEWHERE)?;
    let reach = serde_json::to_vec(reach).expect("a reach is plain data");
    let written = write_private(&state.run(run).join(REACH), &reach)
        .and_then(|()| write_private(&kubeconfig_of(state, run), kubeconfig.expose().as_bytes()));
    written.map_err(|error| ApplyError::from(error).into())
}

/// Removes the objects of a run that was killed. The error says why nothing is known about them.
pub async fn sweep(state: &StateDir, run: &RunId) -> Result<Cleared, String> {
    let reach = std::fs::read(state.run(run).join(REACH)).map_err(|error| format!("{REACH}: {error}"))?;
    let reach: Reach = serde_json::from_slice(&reach).map_err(|error| format!("{REACH}: {error}"))?;
    let client = cluster::client_of_file(&kubeconfig_of(state, run)).await?;
    let cleared = clear(&client, run, &reach).await;
    if cleared.remaining.is_empty() {
        std::fs::remove_file(kubeconfig_of(state, run)).present("remove the copy of a kubeconfig");
        state.mark_swept(run).map_err(|error| error.to_string())?;
    }
    Ok(cleared)
}

/// Removes the objects of every run in somebody else's cluster whose process is dead. Returns what was done for each.
pub async fn collect(state: &StateDir) -> Result<Vec<(RunId, Result<Cleared, String>)>, EngineError> {
    let mut collected = Vec::new();
    for run in state.runs()? {
        let Some(file) = state.run_file(&run).filter(|it| it.endpoint == ELSEWHERE) else { continue };
        // The state folder belongs to this machine, so a process that ran before the machine's last boot is dead.
        if file.owner.liveness(true) != Liveness::Dead {
            continue;
        }
        if !state.is_swept(&run) {
            let swept = sweep(state, &run).await;
            let is_clean = swept.as_ref().is_ok_and(|it| it.remaining.is_empty());
            collected.push((run.clone(), swept));
            if !is_clean {
                continue;
            }
        }
        state.forget(&run)?;
    }
    Ok(collected)
}
