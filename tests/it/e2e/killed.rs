//! After SIGKILL, the run's reaper removes the objects of the run. If the reaper was killed too, `parallax gc` removes
//! the objects. `parallax gc` does not change runs in progress.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serial_test::serial;

use super::bench::{Project, eventually, lists, no_engine, reserve};

/// Returns the process id of a run's reaper, which continues to run after the harness has ended.
pub(super) fn reaper_of(run: &str) -> Pid {
    let found = fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        (words.get(1..3)? == [b"reaper".as_slice(), run.as_bytes()]).then_some(pid)
    });
    Pid::from_raw(found.expect("the run has a reaper")).unwrap()
}

#[test]
#[serial(engine)]
fn after_sigkill_the_reaper_cleans_up_and_without_it_gc_does_and_spares_living_runs() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(2);
    let project = Project::held();
    let before = lists(&[]);
    let (mut dead, mut living) = (project.e2e(&[]), project.e2e(&[]));
    // After the next two waits, the cluster is still starting: its first container exists, but its node usually does
    // not.
    dead.wait_for("cluster/c1  cluster c1");
    eventually("containers", || {
        lists(&[&dead.id]).iter().any(|it| it.starts_with("container") && it.contains(&dead.id))
    });
    kill_process(reaper_of(&dead.id), Signal::KILL).unwrap();
    dead.signal(Signal::KILL);
    let dead_id = dead.id.clone();
    assert_eq!(dead.end().code, None);
    living.wait_for("on c1 in held");
    let objects_of_living = lists(&[&living.id]);
    assert_ne!(lists(&[&dead_id]), before, "nothing was there to be collected");

    let output = project.parallax(&["gc"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains(&format!("run {dead_id}: ")), "{words}");
    assert!(words.contains(&format!("run {}: left alone, its process lives", living.id)), "{words}");
    assert_eq!(lists(&[&dead_id]), before);
    assert_eq!(lists(&[&living.id]), objects_of_living, "a living run lost something");

    living.signal(Signal::KILL);
    let living_id = living.id.clone();
    assert_eq!(living.end().code, None);
    eventually("the reaper sweeps", || project.is_swept(&living_id));
    assert_eq!(lists(&[&dead_id, &living_id]), before);
}
