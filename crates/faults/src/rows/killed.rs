//! The harness gets SIGKILL directly after it has written an entry of the ledger: the first run after its first entry,
//! the second run after its second entry, and so on. The harness writes an entry before it creates the object.
//! Therefore, at this moment, the object of the last entry does not exist yet, or is just being created.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::SMALLEST;
use crate::bench::Bench;
use crate::left;
use crate::project::{Project, Run, eventually, ran};
use crate::row::{Row, Seen};

/// The largest number of objects that the smallest scenario may create. A run with more objects is an error of this
/// test.
const MOST: usize = 40;
/// The time limit for the reaper to remove the run's objects. The reaper starts at once, but the engine may still be
/// busy with the last request of the run.
const SWEPT_WITHIN: Duration = Duration::from_mins(2);
/// The interval between two reads of the ledger. The engine takes longer than this to create any object.
const LOOK_AT_LEDGER: Duration = Duration::from_millis(1);

pub(super) fn rows() -> [Row; 2] {
    [
        Row {
            name: "killed",
            fault: "SIGKILL of the harness",
            code: None,
            says: &[],
            run: |bench, _| after_each_entry(bench, the_reaper_sweeps),
        },
        Row {
            name: "killed-both",
            fault: "SIGKILL of the harness and of its reaper, then `parallax gc`",
            code: None,
            says: &["run RUN: "],
            run: |bench, _| after_each_entry(bench, gc_sweeps),
        },
    ]
}

type Then = fn(&Bench, &Project, Run, &str) -> Result<Seen>;

/// Repeats the run, and kills each run one ledger entry later than the run before. The repetition stops when a run ends
/// before it is killed.
fn after_each_entry(bench: &Bench, then: Then) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for entry in 1..=MOST {
        let project = Project::of("smallest", SMALLEST)?;
        let mut run = project.e2e(bench, &[])?;
        while run.entries() < entry && !run.has_ended()? {
            // The harness must be killed right after it has written the entry, so the code checks the ledger at a very
            // short interval.
            std::thread::sleep(LOOK_AT_LEDGER);
        }
        if run.has_ended()? {
            let seen = run.end("not at all")?;
            ensure!(seen.code == Some(0), "a run that nobody killed ended otherwise:\n{}", seen.text);
            return Ok(all);
        }
        let text = std::fs::read_to_string(left::ledger(&project.state(), &run.id).join("ledger.jsonl"))?;
        let last = text.lines().nth(entry - 1).map(serde_json::from_str::<serde_json::Value>);
        let last = last.context("the entry is gone")??;
        let name = last["name"].as_str().unwrap_or_default().replace(&format!("parallax-{}-", run.id), "");
        let when = format!("after entry {entry} of the ledger ({} {name})", last["kind"].as_str().unwrap_or_default());
        all.push(then(bench, &project, run, &when)?);
    }
    bail!("a run of the smallest scenario made more than {MOST} objects")
}

fn the_reaper_sweeps(_: &Bench, project: &Project, run: Run, when: &str) -> Result<Seen> {
    run.signal(Signal::KILL)?;
    let id = run.id.clone();
    let mut seen = run.end(when)?;
    if !eventually(SWEPT_WITHIN, || left::is_swept(&project.state(), &id) && left::processes(&id).is_empty()) {
        seen.wrong.push(format!("the reaper had not swept after {} s", SWEPT_WITHIN.as_secs()));
    }
    seen.left = left::objects(&id)?;
    seen.left.extend(left::processes(&id));
    Ok(seen)
}

fn gc_sweeps(bench: &Bench, project: &Project, run: Run, when: &str) -> Result<Seen> {
    let reaper = left::reaper(&run.id).and_then(Pid::from_raw).context("the run has no reaper")?;
    kill_process(reaper, Signal::KILL).context("the reaper was gone before it was killed")?;
    run.signal(Signal::KILL)?;
    let id = run.id.clone();
    let mut seen = run.end(when)?;
    let (code, said) = ran(project.parallax(bench, &["gc"]))?;
    if code != Some(0) {
        seen.wrong.push(format!("`gc` ended with {code:?}: {said}"));
    }
    // `gc` also prints lines about other runs. These lines are not part of the row's result.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(&id)).collect();
    seen.text = ours.join("\n").replace(&id, "RUN");
    seen.left = left::objects(&id)?;
    seen.left.extend(left::processes(&id));
    if left::ledger(&project.state(), &id).exists() {
        seen.left.insert(format!("ledger of run {id}"));
    }
    Ok(seen)
}
