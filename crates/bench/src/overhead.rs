//! Measures the overhead of the harness, compared with the plain apiserver calls for the same pods.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::harness::{Harness, Project, Run, one_pod, seconds};
use crate::table::Table;
use crate::{api, say};

const CASES: u32 = 40;
const AT_ONCE: usize = 8;

pub(crate) fn run(harness: &Harness) -> Result<Table> {
    let project = Project::scenarios(CASES, one_pod)?;
    let ours = harness.passing_e2e(project.path(), &arguments(&["--keep"]))?;
    let measured = baselines(&project);
    let down = harness.down(project.path(), ours.record.run());
    let (bare, chainsaw) = measured?;
    down?;
    let after = after_start(&ours)?;
    let ratio = after.as_secs_f64() / bare.as_secs_f64();
    let mut table =
        Table::new("overhead", format!("{CASES} pods, each in a namespace of its own, {AT_ONCE} at once."), "s");
    table
        .row("bare calls of the apiserver, until all run", seconds(bare), "")
        .row("the harness, after its cluster's start", seconds(after), "")
        .row("… against the bare calls", format!("{ratio:.2}"), "≤ 1.05")
        .row("the harness, from its start to its end", seconds(ours.took), "")
        .row("peak memory of the harness", format!("{} MiB", ours.seen.peak_kib / 1024), "≤ 40 MiB")
        .bar("bare calls", bare.as_secs_f64())
        .bar("harness after the start", after.as_secs_f64())
        .bar("harness in all", ours.took.as_secs_f64());
    match chainsaw {
        Some(took) => {
            table
                .row("chainsaw, without deletion", seconds(took), "")
                .row("the harness against chainsaw", format!("{:.2}", after.as_secs_f64() / took.as_secs_f64()), "")
                .bar("chainsaw", took.as_secs_f64());
        }
        None => drop(table.note("chainsaw is not on PATH and was not measured.")),
    }
    Ok(table)
}

/// Measures the same number of pods without the harness, on the cluster that the measured run has kept. Returns the
/// time of the plain apiserver calls, and the time of Chainsaw if Chainsaw is on PATH.
fn baselines(project: &Project) -> Result<(Duration, Option<Duration>)> {
    let kubeconfig = project.path().join("target/e2e/latest/c1.kubeconfig");
    say("overhead: the harness is measured; now the plain apiserver calls");
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let (bare, image) = runtime.block_on(async {
        let client = api::client(&kubeconfig).await?;
        let image = api::image_of(&client, "pause").await?;
        anyhow::Ok((api::pods(&client, &image, CASES, AT_ONCE).await?, image))
    })?;
    Ok((bare, chainsaw(&kubeconfig, &image)?))
}

/// Returns the time from the first answer of the run's cluster to the last verdict of the run.
pub(crate) fn after_start(run: &Run) -> Result<Duration> {
    let cluster = run.record.of_setup("cluster/");
    let ready = cluster.iter().map(|it| it.to_ms).min().context("no cluster became ready")?;
    let last = run.record.of_variants().iter().map(|it| it.to_ms).max().context("no variant ended")?;
    // The harness creates environments as soon as the cluster's apiserver answers. This is before the cluster's node is
    // ready. Therefore the start of the first environment shows the time of the cluster's first answer.
    let first = run.record.of_setup("environment/").iter().map(|it| it.from_ms).min().unwrap_or(ready);
    Ok(Duration::from_millis(last.saturating_sub(first.min(ready))))
}

pub(crate) fn arguments(further: &[&str]) -> Vec<String> {
    let (jobs, cases) = (AT_ONCE.to_string(), CASES.to_string());
    let all = ["--jobs", &jobs, "--environments", &cases].into_iter().chain(further.iter().copied());
    all.map(str::to_owned).collect()
}

/// Measures the test tool Chainsaw with the same pods as the harness. Returns `None` if Chainsaw is not on PATH.
fn chainsaw(kubeconfig: &std::path::Path, image: &str) -> Result<Option<Duration>> {
    if Command::new("chainsaw").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    for number in 0..CASES {
        let case = folder.path().join(format!("c{number}"));
        std::fs::create_dir(&case)?;
        std::fs::write(case.join("chainsaw-test.yaml"), case_of_chainsaw(number, image))?;
    }
    let began = Instant::now();
    let mut command = Command::new("chainsaw");
    command.args(["test", "--skip-delete", "--parallel", &AT_ONCE.to_string(), "--test-dir"]).arg(folder.path());
    let output = command.env("KUBECONFIG", kubeconfig).output().context("chainsaw")?;
    ensure!(output.status.success(), "chainsaw failed: {}", String::from_utf8_lossy(&output.stdout));
    Ok(Some(began.elapsed()))
}

fn case_of_chainsaw(number: u32, image: &str) -> String {
    serde_json::json!({
        "apiVersion": "chainsaw.kyverno.io/v1alpha1",
        "kind": "Test",
        "metadata": { "name": format!("c{number}") },
        "spec": { "steps": [{ "try": [
            { "apply": { "resource": {
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pause" },
                "spec": { "containers": [{ "name": "pause", "image": image, "imagePullPolicy": "IfNotPresent" }] },
            } } },
            { "assert": { "timeout": "90s", "resource": {
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pause" }, "status": { "phase": "Running" },
            } } },
        ] }] },
    })
    .to_string()
}
