//! Measures the time until a pod gives its first answer, and the time until a change is detected.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::api;
use crate::harness::{Harness, Project, seconds};
use crate::table::Table;

/// A scenario with a pod that asks the cluster's name service once.
const FIRST_ANSWER: &str = r"name: first-answer
summary: A pod gets an answer of the cluster's name service
vantages:
  app: { pod: {} }
flow:
  - { id: name, from: app, dns: { name: kubernetes.default.svc.cluster.local }, expect: { address: 10.43.0.1 } }
";

/// A scenario with a pod that writes a line while a step follows the pod's log.
const LINE: &str = r#"name: line
summary: A line is seen as it is written
vantages:
  app: { pod: {} }
flow:
  - id: writer
    apply:
      objects:
        - apiVersion: v1
          kind: Pod
          metadata: { name: writer, labels: { app: writer } }
          spec:
            terminationGracePeriodSeconds: 0
            containers:
              - name: writer
                image: busybox
                imagePullPolicy: IfNotPresent
                command: [sh, -c, "sleep 4; echo now; sleep 600"]
  - { id: seen, log: { of: pod/writer }, expect: { line: now }, eventually: 60s }
"#;
const TIMES: usize = 5;

pub(crate) fn run(harness: &Harness) -> Result<Table> {
    let project = Project::new()?;
    project.scenario("start/first-answer", FIRST_ANSWER)?;
    let run = harness.passing_e2e(project.path(), &[])?;
    let at = |spans: Vec<crate::record::Span>| spans.first().cloned().context("the run ended before this event");
    let cluster = at(run.record.of_setup("cluster/"))?;
    let environment = at(run.record.of_setup("environment/"))?;
    let images = run.record.of_setup("image/");
    let images = images.iter().map(|it| it.to_ms).max().unwrap_or(0);
    let verdict = at(run.record.of_variants())?;
    let node = Duration::from_millis(environment.from_ms.saturating_sub(cluster.from_ms));
    let answer = Duration::from_millis(verdict.to_ms.saturating_sub(cluster.from_ms));
    let mut table = Table::new("start", "From nothing to the first answer of a pod.", "s");
    table
        .row("engine and images are looked for", seconds(Duration::from_millis(images)), "")
        .row("the node's apiserver answers", seconds(node), "")
        .row("a pod has its first answer of the name service", seconds(answer), "≤ 5 s")
        .row("… against the apiserver's own start", format!("{:.2}", answer.as_secs_f64() / node.as_secs_f64()), "")
        .row("the whole run, clean-up included", seconds(run.took), "")
        .bar("apiserver answers", node.as_secs_f64())
        .bar("first answer of a pod", answer.as_secs_f64())
        .bar("whole run", run.took.as_secs_f64());
    Ok(table)
}

/// Measures the time from the moment when a container writes a log line to the verdict of the step that waits for the
/// line.
pub(crate) fn detect(harness: &Harness) -> Result<Table> {
    let project = Project::new()?;
    for number in 0..TIMES {
        let name = format!("line-{number}");
        project.scenario(&format!("detect/{name}"), &LINE.replacen("name: line", &format!("name: {name}"), 1))?;
    }
    let run = harness.passing_e2e(project.path(), &["--keep".to_owned()])?;
    let request = async {
        let client = api::client(&project.path().join("target/e2e/latest/c1.kubeconfig")).await?;
        api::request(&client).await
    };
    let request = tokio::runtime::Runtime::new().context("no runtime")?.block_on(request);
    harness.down(project.path(), run.record.run())?;
    let request = request?;
    let started = run.record.started().context("the record has no start time")?;
    let mut seen = run.record.detections(unix_ms(started)?);
    seen.sort();
    let median = *seen.get(seen.len() / 2).context("no step saw its line")?;
    let ratio = median.as_secs_f64() / request.as_secs_f64();
    let mut table = Table::new("detect", "From a line in a log to its verdict, by a watch.", "ms");
    let ms = |it: Duration| format!("{:.1} ms", it.as_secs_f64() * 1000.0);
    table
        .row("a request that the apiserver answers from memory (median)", ms(request), "")
        .row(format!("from the line to the verdict (median of {})", seen.len()), ms(median), "")
        .row("… against the request", format!("{ratio:.1}"), "")
        .bar("request", request.as_secs_f64() * 1000.0)
        .bar("line to verdict", median.as_secs_f64() * 1000.0)
        .note("The line's instant is the node's, the verdict's is the record's; both are this machine's clock.");
    Ok(table)
}

/// Parses a time from the record (RFC 3339 in UTC) as milliseconds since the Unix epoch.
fn unix_ms(instant: &str) -> Result<u64> {
    let at: k8s_openapi::jiff::Timestamp = instant.parse().with_context(|| format!("`{instant}` is not a time"))?;
    Ok(u64::try_from(at.as_millisecond())?)
}
