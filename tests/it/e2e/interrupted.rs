//! Ctrl-C ends a run in any phase with exit code 130 and leaves nothing behind.

use std::time::Instant;

use parallax_vocab::event::Outcome;
use rustix::process::Signal;
use serial_test::serial;

use super::bench::{Project, eventually, lists, no_engine, reserve};

#[test]
fn ctrl_c_leaves_nothing_behind_in_any_phase() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    // A line of the output marks the beginning of each phase.
    for phase in ["record in", "image/", "cluster/c1  cluster c1", "environment/held  namespace", "on c1 in held"] {
        let project = Project::held();
        let before = lists(&[]);
        let mut run = project.e2e(&[]);
        if phase != "record in" {
            run.wait_for(phase);
        }
        run.signal(Signal::INT);
        let interrupted = Instant::now();
        let id = run.id.clone();
        let ended = run.end();
        eprintln!("{phase}: ended {:?} after Ctrl-C", interrupted.elapsed());
        assert_eq!(lists(&[&id]), before, "{phase}");
        ended.assert_code(130);
        assert_eq!(*ended.outcome("held"), Outcome::Interrupted, "{phase}");
        assert!(
            ended.stderr.contains("interrupted: cleaning up; press Ctrl-C again to stop at once"),
            "{}",
            ended.stderr
        );
        ended.assert_says(&["interrupted (exit 130,", "0 passed, 0 failed, 1 skipped"]);
        assert!(project.is_swept(&id), "{phase}: its ledger is still there");
        for report in ["junit.xml", "report.html"] {
            assert!(ended.directory.join(report).exists(), "{phase}: {report}");
        }
    }
}

#[test]
#[serial(engine)]
fn a_second_ctrl_c_stops_at_once_lists_what_remains_and_the_reaper_removes_it() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::held();
    let before = lists(&[]);
    let mut run = project.e2e(&[]);
    run.wait_for("on c1 in held");
    run.signal(Signal::INT);
    run.wait_for("interrupted: cleaning up");
    run.signal(Signal::INT);
    let second = Instant::now();
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(130);
    let said = ended.stderr.split_once("stopped at once; what remains:\n").unwrap().1;
    for what in
        [format!("  container parallax-{id}-"), format!("  network parallax-{id}-"), "`parallax gc` removes it".into()]
    {
        assert!(said.contains(&what), "{what:?} is not in:\n{said}");
    }
    eprintln!("stopped {:?} after the second Ctrl-C", second.elapsed());
    eventually("the reaper sweeps", || project.is_swept(&id));
    assert_eq!(lists(&[&id]), before);
}
