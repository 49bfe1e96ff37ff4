//! Removes the objects of killed runs, and no other objects (garbage collection).
//!
//! A label of each object contains its owner, so the garbage collection works even without ledgers. It spares three
//! kinds of runs: runs whose process is alive, runs that the user keeps on purpose, and, for one day, runs whose
//! process this process cannot see. A run of the third kind may belong to another machine with another clock. Therefore
//! the age of its objects is the difference of two times that both come from the engine's clock.

use std::collections::BTreeMap;

use parallax_vocab::RunId;

use super::connect::Engine;
use super::error::EngineError;
use super::identity::{LABEL_OWNER, LABEL_RUN, LABEL_STANDING, Liveness, Owner, unix_seconds};
use super::ledger::StateDir;
use super::sweep::{Labelled, Swept, Unfinished};

/// The time for which the garbage collection spares a run whose process it cannot see. Such a process may be alive on
/// another machine or in another container.
const UNSEEN_IS_SPARED_SECONDS: u64 = 24 * 60 * 60;

/// The result of a garbage collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Each run that the garbage collection examined, with what the garbage collection did with the run. Sorted by
    /// name.
    pub runs: Vec<(RunId, Collected)>,
}

impl Collection {
    /// The commands with which the user removes objects that still exist, or may exist, although their run is dead.
    pub fn commands(&self) -> Vec<String> {
        let of = |collected: &Collected| match collected {
            Collected::Swept(swept) => swept.commands(),
            Collected::Spared(_) => Vec::new(),
        };
        self.runs.iter().flat_map(|(_, collected)| of(collected)).collect()
    }

    /// The number of objects that were removed.
    pub fn removed(&self) -> usize {
        let removed = |collected: &Collected| match collected {
            Collected::Swept(swept) => swept.removed.len(),
            Collected::Spared(_) => 0,
        };
        self.runs.iter().map(|(_, collected)| removed(collected)).sum()
    }
}

/// What the garbage collection did with one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// The run was dead, and its objects were swept. The value says which objects were removed and which remain.
    Swept(Swept),
    /// The run was spared. The value is the reason.
    Spared(String),
}

/// What is known about a run from its ledger and from the labels of its objects.
#[derive(Clone, Debug, Default)]
struct Traces {
    owner: Option<Owner>,
    /// The time at which the engine created the newest object of the run, by the engine's clock, in seconds since 1970.
    /// `None` if no object was found.
    made: Option<u64>,
    /// The time at which the ledger of the run was created, by this machine's clock, in seconds since 1970. 0 without a
    /// ledger.
    begun: u64,
    standing: bool,
    swept: bool,
    has_objects: bool,
}

/// The current time by the engine's clock and by this machine's clock, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Now {
    engine: u64,
    here: u64,
}

impl Traces {
    /// The time in seconds since the last sign that the run was alive. The sign is the creation of the newest object.
    /// If the run has no objects, it is the creation of the ledger. The engine's clock and this machine's clock may
    /// differ. Therefore the age of an object is computed with the engine's clock, and the age of a ledger with this
    /// machine's clock.
    fn age(&self, now: Now) -> u64 {
        self.made.map_or_else(|| now.here.saturating_sub(self.begun), |made| now.engine.saturating_sub(made))
    }
}

/// Sweeps every dead run. The runs are found by the labels of the engine's objects, and by the ledgers of this user.
pub async fn gc(engine: &Engine, state: &StateDir) -> Result<Collection, EngineError> {
    let mut runs = traces_of_labels(engine).await?;
    for run in state.runs()? {
        let Some(file) = state.run_file(&run).filter(|file| same_engine(&file.endpoint, engine)) else { continue };
        let traces = runs.entry(run.clone()).or_default();
        traces.begun = file.created;
        traces.owner = Some(file.owner);
        traces.standing |= state.is_standing(&run);
        traces.swept = state.is_swept(&run);
    }
    let now = Now { engine: engine.time().await?, here: unix_seconds() };
    let mut collection = Collection::default();
    for (run, traces) in runs {
        if let Some(why) = why_spared(&traces, engine.is_here(), now) {
            collection.runs.push((run, Collected::Spared(why)));
            continue;
        }
        if traces.swept && !traces.has_objects {
            state.forget(&run)?;
            continue;
        }
        let swept = engine.sweep(&run, &state.entries(&run), Unfinished::Maybe).await;
        if swept.is_clean() {
            state.forget(&run)?;
        }
        collection.runs.push((run, Collected::Swept(swept)));
    }
    Ok(collection)
}

/// Whether a ledger belongs to a run in this engine. The objects in the ledger of another engine do not exist in this
/// engine.
fn same_engine(endpoint: &str, engine: &Engine) -> bool {
    endpoint == engine.endpoint().host
}

async fn traces_of_labels(engine: &Engine) -> Result<BTreeMap<RunId, Traces>, EngineError> {
    let mut runs: BTreeMap<RunId, Traces> = BTreeMap::new();
    for Labelled { labels, made, .. } in engine.labelled(LABEL_RUN).await? {
        let Some(run) = labels.get(LABEL_RUN) else { continue };
        let traces = runs.entry(RunId::new(run)).or_default();
        traces.has_objects = true;
        traces.standing |= labels.contains_key(LABEL_STANDING);
        if let Some(owner) = labels.get(LABEL_OWNER).and_then(|owner| owner.parse().ok()) {
            traces.owner = Some(owner);
        }
        traces.made = traces.made.max(made);
    }
    Ok(runs)
}

/// The reason why the garbage collection spares a run. `None` if the run's objects must be removed. `here` says whether
/// the engine runs on this machine.
fn why_spared(traces: &Traces, here: bool, now: Now) -> Option<String> {
    if traces.standing {
        return Some("it was left standing on purpose".to_owned());
    }
    let liveness = traces.owner.as_ref().map_or(Liveness::Unknown, |owner| owner.liveness(here));
    let age = traces.age(now);
    match liveness {
        Liveness::Living => Some("its process lives".to_owned()),
        Liveness::Unknown if age < UNSEEN_IS_SPARED_SECONDS => {
            Some(format!("its process cannot be seen from here, and it is {} min old", age / 60))
        }
        Liveness::Unknown | Liveness::Dead => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_runs_are_swept() {
        let living = Owner::this_process().unwrap();
        let dead: Owner = {
            // The owner has the process id of this process, but another start time. So the owner's process has ended,
            // and the id was given to this process later.
            let text = living.to_string();
            let mut parts: Vec<&str> = text.split(':').collect();
            parts[2] = "1";
            parts.join(":").parse().unwrap()
        };
        let elsewhere: Owner =
            format!("another-boot:{}", living.to_string().split_once(':').unwrap().1).parse().unwrap();
        let day = UNSEEN_IS_SPARED_SECONDS;
        // The test sets this machine's clock more than a day ahead of the engine's clock. If the code compared this
        // machine's time with the time of an object in the engine, a young object would count as old.
        let now = Now { engine: 1_000_000, here: 1_000_000 + day + 3_600 };
        let made =
            |owner: Option<&Owner>, made| Traces { owner: owner.cloned(), made: Some(made), ..Traces::default() };
        let begun = |owner: Option<&Owner>, begun| Traces { owner: owner.cloned(), begun, ..Traces::default() };
        let cases = [
            ("living", made(Some(&living), 0), true, Some("lives")),
            ("dead", made(Some(&dead), now.engine), true, None),
            ("dead but standing", Traces { standing: true, ..made(Some(&dead), now.engine) }, true, Some("standing")),
            ("elsewhere, young", made(Some(&elsewhere), now.engine - 60), false, Some("1 min old")),
            ("elsewhere, old", made(Some(&elsewhere), now.engine - day), false, None),
            ("elsewhere, of a clock ahead", made(Some(&elsewhere), now.engine + 60), false, Some("0 min old")),
            ("nobody's, young", made(None, now.engine - 120), true, Some("2 min old")),
            ("nobody's, old", made(None, 0), true, None),
            ("a ledger alone, young", begun(Some(&elsewhere), now.here - 60), false, Some("1 min old")),
            ("a ledger alone, old", begun(Some(&elsewhere), now.here - day), false, None),
        ];
        for (case, traces, here, expected) in cases {
            let why = why_spared(&traces, here, now);
            match expected {
                None => assert_eq!(why, None, "{case}"),
                Some(part) => assert!(why.as_ref().is_some_and(|why| why.contains(part)), "{case}: {why:?}"),
            }
        }
    }
}
