//! Measures the time for reading and planning many scenarios.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::harness::{Harness, Project, seconds};
use crate::table::Table;

/// The YAML of one scenario. The measured projects contain many copies of this scenario, each with its own name.
const PATTERN: &str = include_str!("../../../tests/good/presigned-url.yaml");
const LINTED: u32 = 1_000;
const PLANNED: u32 = 10_000;
/// How often `parallax lint` is measured for each project. Only the shortest time counts, because other load on the
/// machine can only make a time longer.
const TIMES: usize = 3;

pub(crate) fn run(harness: &Harness) -> Result<Table> {
    let named = |name: &str| PATTERN.replacen("name: presigned-url", &format!("name: {name}"), 1);
    let one = Project::scenarios(1, named)?;
    let many = Project::scenarios(LINTED, named)?;
    let most = Project::scenarios(PLANNED, named)?;
    let alone = best(harness, &one, "lint", TIMES)?;
    let linted = best(harness, &many, "lint", TIMES)?;
    let planned = best(harness, &most, "plan", 1)?;
    let mut table = Table::new("lint", "Reading and checking scenarios, without an engine.", "s");
    let per_scenario = |took: Duration, count: u32| (took / count).as_secs_f64();
    let each = per_scenario(planned, PLANNED) / per_scenario(linted, LINTED);
    let ratio = (linted.as_secs_f64() - alone.as_secs_f64()) / alone.as_secs_f64();
    table
        .row("`lint` of one scenario", seconds(alone), "")
        .row(format!("`lint` of {LINTED}"), seconds(linted), "≤ 1 s on an idle machine")
        .row("… a thousand more against the one", format!("{ratio:.0}"), "")
        .row(format!("`plan` of {PLANNED}"), seconds(planned), "")
        .row("`plan` of one of them, against `lint` of one of a thousand", format!("{each:.2}"), "")
        .bar("lint of 1", alone.as_secs_f64())
        .bar(format!("lint of {LINTED}"), linted.as_secs_f64())
        .bar(format!("plan of {PLANNED}"), planned.as_secs_f64());
    Ok(table)
}

fn best(harness: &Harness, project: &Project, command: &str, times: usize) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..times {
        let began = Instant::now();
        let output = harness.command(project.path()).arg(command).output().context("failed to start the harness")?;
        best = best.min(began.elapsed());
        ensure!(output.status.success(), "{command} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(best)
}
