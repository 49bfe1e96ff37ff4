//! Faults from other processes beside a run: a second run of the same project, and a `gc` that cannot see which process
//! owns the run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{HELD, SMALLEST};
use crate::bench::Bench;
use crate::forward::forward;
use crate::left::{self, docker};
use crate::project::{Project, ran};
use crate::row::{Row, Seen};

/// The id of the user `nobody`, who owns no files.
const NOBODY: &str = "65534";
/// The clock of the simulated other machine is slow by this time. If `gc` cannot see the process of a run, it keeps the
/// run's objects for one day. This time is longer than one day. If `gc` used the time in the labels, it would remove
/// the objects.
const CLOCK_IS_OFF: Duration = Duration::from_hours(25);
/// The shell script that runs a program as a user who cannot see root's processes in `/proc`.
const HIDDEN: &str = "mount -t proc -o hidepid=2 proc /proc && \
    exec setpriv --reuid \"$NOBODY\" --regid \"$NOBODY\" --clear-groups \"$@\"";
/// The shell script that runs a program as if it were on another machine: with a different host name, boot id and
/// machine id.
const ELSEWHERE: &str = "echo elsewhere > /proc/sys/kernel/hostname && \
    mount --bind \"$BOOT\" /proc/sys/kernel/random/boot_id && \
    if [ -e /etc/machine-id ]; then mount --bind \"$MACHINE\" /etc/machine-id; fi && exec \"$@\"";

pub(super) fn rows() -> [Row; 4] {
    [
        Row {
            name: "two-runs",
            fault: "Two runs of one project",
            code: Some(0),
            says: &["everything is as declared (exit 0"],
            run: |bench, _| two_runs(bench),
        },
        Row {
            name: "gc-hidepid",
            fault: "`gc` where `/proc` hides other users' processes (`hidepid=2`)",
            code: Some(0),
            says: &["run RUN: left alone, its process cannot be seen from here"],
            run: |bench, _| hidden(bench),
        },
        Row {
            name: "gc-forwarded",
            fault: "`gc` of another machine, over a forwarded socket",
            code: Some(0),
            says: &["run RUN: left alone, its process cannot be seen from here"],
            run: |bench, _| forwarded(bench),
        },
        Row {
            name: "gc-clock",
            fault: "`gc` over a forwarded socket, where the two machines' clocks are 25 h apart",
            code: Some(0),
            says: &["run RUN: left alone, its process cannot be seen from here"],
            run: |bench, _| clock(bench),
        },
    ]
}

fn two_runs(bench: &Bench) -> Result<Vec<Seen>> {
    let project = Project::of("smallest", SMALLEST)?;
    let (one, two) = (project.e2e(bench, &[])?, project.e2e(bench, &[])?);
    let ids = [one.id.clone(), two.id.clone()];
    let mut all = vec![one.end("the first of two that begin at once")?, two.end("the second of them")?];
    for (seen, id) in all.iter_mut().zip(&ids) {
        if !project.path("target/e2e").join(id).join("report.html").exists() {
            seen.wrong.push(format!("run {id} has no report"));
        }
    }
    Ok(all)
}

/// Starts a run, and then runs a `gc` command while the run is in progress. The closure `gc` returns the command.
fn while_one_lives(bench: &Bench, gc: impl Fn(&Project, &str) -> Result<Command>) -> Result<Vec<Seen>> {
    let project = Project::of("held", HELD)?;
    let forwarded = forward(&project.path("engine.sock"), bench.socket.clone())?;
    // `gc` may run as a user without access to root's folders. Therefore a copy of the program is in this folder, and
    // the folder is open to everyone.
    fs::set_permissions(project.path(""), fs::Permissions::from_mode(0o755))?;
    fs::copy(&bench.program, project.path("parallax"))?;
    let mut run = project.e2e(bench, &[])?;
    run.wait_for_step("step-ended", "begun")?;
    let stands = left::objects(&run.id)?;
    ensure!(stands.len() >= 3, "the run has made nothing that could be taken away: {stands:?}");
    let (code, said) = ran(gc(&project, &forwarded)?)?;
    let after = left::objects(&run.id)?;
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(&run.id) || code != Some(0)).collect();
    let mut seen =
        Seen { when: "while a run lives".to_owned(), code, text: run.plain(&ours.join("\n")), ..Seen::default() };
    if after != stands {
        let lost: Vec<&String> = stands.difference(&after).collect();
        seen.wrong.push(format!("the living run lost {lost:?}"));
    }
    run.signal(Signal::INT)?;
    let ended = run.end("")?;
    if ended.code != Some(130) {
        seen.wrong.push(format!("the living run ended with {:?}:\n{}", ended.code, ended.text));
    }
    seen.left = ended.left;
    Ok(vec![seen])
}

fn hidden(bench: &Bench) -> Result<Vec<Seen>> {
    while_one_lives(bench, |project, forwarded| {
        let mut command = project.within(&["--mount"], HIDDEN);
        command.arg(project.path("parallax")).arg("gc");
        command.env("NOBODY", NOBODY).env("DOCKER_HOST", forwarded).env("XDG_STATE_HOME", project.path("nobodys"));
        Ok(command)
    })
}

fn forwarded(bench: &Bench) -> Result<Vec<Seen>> {
    while_one_lives(bench, elsewhere)
}

/// Returns a command that runs `gc` as if it were on another machine.
fn elsewhere(project: &Project, forwarded: &str) -> Result<Command> {
    let (boot, machine) = (project.path("boot_id"), project.path("machine-id"));
    fs::write(&boot, "00000000-0000-4000-8000-000000000000\n")?;
    fs::write(&machine, "00000000000000000000000000000000\n")?;
    let mut command = project.within(&["--mount", "--uts"], ELSEWHERE);
    command.arg(project.path("parallax")).arg("gc").env("BOOT", boot).env("MACHINE", machine);
    command.env("DOCKER_HOST", forwarded).env("XDG_STATE_HOME", project.path("elsewheres"));
    Ok(command)
}

/// Creates a network that seems to belong to a run on another machine, whose clock is 25 hours slow. Only the labels of
/// the network contain the time of that clock; all other times come from the engine. The clock of this machine is not
/// changed. `gc` must not remove the network.
fn clock(bench: &Bench) -> Result<Vec<Seen>> {
    let project = Project::of("held", HELD)?;
    let forwarded = forward(&project.path("engine.sock"), bench.socket.clone())?;
    fs::copy(&bench.program, project.path("parallax"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let id = format!("r{:08x}", now.subsec_nanos());
    let name = format!("parallax-{id}-c1");
    let then = now.saturating_sub(CLOCK_IS_OFF).as_secs();
    let labels = [
        format!("--label=io.parallax.run={id}"),
        "--label=io.parallax.what=c1".to_owned(),
        "--label=io.parallax.owner=00000000-0000-4000-8000-000000000001:1:1:1:0000000000000001".to_owned(),
        format!("--label=io.parallax.created={then}"),
    ];
    let mut make = vec!["network", "create"];
    make.extend(labels.iter().map(String::as_str));
    make.push(&name);
    docker(&make)?;
    let ran = elsewhere(&project, &forwarded).and_then(ran);
    let there = left::objects(&id);
    // No run removes the network, so this row removes it, even if `gc` failed. If `gc` has already removed the network,
    // this command fails.
    let removed = docker(&["network", "rm", &name]);
    let ((code, said), there) = (ran?, there?);
    let mut seen = Seen { when: "while the other machine's run lives".to_owned(), code, ..Seen::default() };
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(&id) || code != Some(0)).collect();
    seen.text = ours.join("\n").replace(&id, "RUN");
    if there != BTreeSet::from([format!("network {name}")]) || removed.is_err() {
        seen.wrong.push("the other machine's run lost its network".to_owned());
    }
    seen.left = left::objects(&id)?;
    Ok(vec![seen])
}
