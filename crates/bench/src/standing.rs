//! Measures how long a user waits at the keyboard: for the end of `parallax up`, for `parallax rerun` of one step, and
//! for the verdict that `parallax watch` prints after the scenario's file is saved.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::harness::{Harness, Project, seconds};
use crate::record::Record;
use crate::table::Table;

/// The scenario of these measurements: a pod writes an object to a store and reads the object.
const SCENARIO: &str = r#"name: stands
summary: A pod reads an object of a store
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca] } }
flow:
  - { id: put, from: app, s3: { put: photos/a.txt, body: hello } }
  - { id: got, from: app, s3: { get: photos/a.txt }, expect: { body: hello } }
"#;
const STEP: &str = "s3: { get: photos/a.txt }, expect: { body: hello }";
const TIMES: usize = 10;
/// The time limit for `parallax watch` to print the verdict after the scenario's file was saved.
const WATCH_LIMIT: Duration = Duration::from_mins(1);

/// A standing variant, which `parallax up` created. Dropping this value removes the variant.
struct UpVariant<'a> {
    harness: &'a Harness,
    project: Project,
    took: Duration,
    record: Record,
}

impl<'a> UpVariant<'a> {
    fn up(harness: &'a Harness) -> Result<Self> {
        let project = Project::new()?;
        project.scenario("stands", SCENARIO)?;
        let took = time(harness, &project, &["up", "stands"])?;
        // `parallax rerun` ends only after all earlier events are in the record, for example those of the flow.
        // Therefore the record is read after a rerun.
        time(harness, &project, &["rerun", "got"])?;
        let record = Record::read(&project.path().join("target/e2e/latest/record.jsonl"))?;
        let failed = record.failed();
        ensure!(failed.is_empty(), "these variants did not pass: {}", failed.join(", "));
        Ok(Self { harness, project, took, record })
    }

    /// Runs `parallax` with these arguments `TIMES` times, and returns the median of the times.
    fn median(&self, args: &[&str]) -> Result<Duration> {
        Ok(median((0..TIMES).map(|_| time(self.harness, &self.project, args)).collect::<Result<_>>()?))
    }
}

impl Drop for UpVariant<'_> {
    fn drop(&mut self) {
        // An error of `parallax down` is ignored: the measurement is already complete, and `parallax gc` can remove the
        // environment.
        drop(self.harness.down(self.project.path(), self.record.run()));
    }
}

/// Runs `parallax` with these arguments in the project, and returns the time until the command ends. Fails unless the
/// command succeeds.
fn time(harness: &Harness, project: &Project, args: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let output = harness.command(project.path()).args(args).output().context("failed to start parallax")?;
    let took = began.elapsed();
    let said = |of: &[u8]| String::from_utf8_lossy(of).into_owned();
    ensure!(output.status.success(), "`parallax {}`: {}{}", args.join(" "), said(&output.stdout), said(&output.stderr));
    Ok(took)
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// Measures the time from the start of `parallax up` to its end, when the shell shows its prompt again, and the phases
/// of this time.
pub(crate) fn up(harness: &Harness) -> Result<Table> {
    let up = UpVariant::up(harness)?;
    let first = |prefix: &str| up.record.of_setup(prefix).first().cloned().context("the run has no such part");
    let (cluster, environment) = (first("cluster/")?, first("environment/")?);
    let verdict = up.record.of_variants().first().cloned().context("the flow has no verdict")?;
    let node = Duration::from_millis(environment.from_ms.saturating_sub(cluster.from_ms));
    let flow_ended = Duration::from_millis(verdict.to_ms);
    let mut table = Table::new("up", "From `parallax up` to the prompt.", "s");
    table
        .row("engine and images are looked for", seconds(Duration::from_millis(cluster.from_ms)), "")
        .row("the node's apiserver answers", seconds(node), "")
        .row("the environment, until its store is ready", seconds(environment.length()), "")
        .row("the flow", seconds(verdict.length()), "")
        .row("the whole, until the prompt", seconds(up.took), "≤ 20 s")
        .row("… against the record's time at the end of the flow", ratio(up.took, flow_ended), "")
        .row("… against the apiserver's own start", ratio(up.took, node), "")
        .bar("apiserver answers", node.as_secs_f64())
        .bar("environment", environment.length().as_secs_f64())
        .bar("whole", up.took.as_secs_f64());
    Ok(table)
}

/// Measures `parallax rerun` of one step, relative to the time of the program alone (`parallax --version`).
pub(crate) fn again(harness: &Harness) -> Result<Table> {
    let up = UpVariant::up(harness)?;
    let (alone, step) = (up.median(&["--version"])?, up.median(&["rerun", "got"])?);
    let mut table = Table::new("rerun", "`parallax rerun` of one step, as a process of its own.", "ms");
    table
        .row(format!("the program alone, `--version` (median of {TIMES})"), ms(alone), "")
        .row(format!("`rerun` of a step that reads an object (median of {TIMES})"), ms(step), "≤ 500 ms")
        .row("… against the program alone", ratio(step, alone), "")
        .bar("program alone", millis(alone))
        .bar("rerun", millis(step));
    Ok(table)
}

/// Measures the time from a save of the scenario's file to the verdict of the changed step in the output of `parallax
/// watch`.
pub(crate) fn watch(harness: &Harness) -> Result<Table> {
    let up = UpVariant::up(harness)?;
    let step = up.median(&["rerun", "got"])?;
    let watch = Watch::begin(&up)?;
    let mut all = Vec::new();
    for number in 0..TIMES {
        // Each save changes the last step, because `parallax watch` runs only changed steps again.
        let changed = format!("{STEP}, eventually: {}s }}", number + 5);
        let text = SCENARIO.replace(&format!("{STEP} }}"), &changed);
        let began = Instant::now();
        up.project.scenario("stands", &text)?;
        watch.until("as declared")?;
        all.push(began.elapsed());
    }
    let median = median(all);
    let mut table = Table::new("watch", "From a save of the scenario to the verdict of the step that changed.", "ms");
    table
        .row(format!("`rerun` of that step (median of {TIMES})"), ms(step), "")
        .row(format!("from the save to the verdict (median of {TIMES})"), ms(median), "")
        .row("… against `rerun`", ratio(median, step), "")
        .bar("rerun", millis(step))
        .bar("save to verdict", millis(median));
    Ok(table)
}

/// The process of `parallax watch`, and the lines that the process prints. Dropping this value ends the process.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn begin(up: &UpVariant<'_>) -> Result<Self> {
        let mut command = up.harness.command(up.project.path());
        let mut child = command.arg("watch").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (send, lines) = channel();
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|it| Box::new(it) as _), child.stderr.take().map(|it| Box::new(it) as _)];
        for stream in streams.into_iter().flatten() {
            let send = send.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.take_while(|line| send.send(line.clone()).is_ok()).count()
            });
        }
        let watch = Self { child, lines };
        watch.until("runs again what changes")?;
        Ok(watch)
    }

    /// Waits until `parallax watch` prints a line that contains `words`.
    fn until(&self, words: &str) -> Result<()> {
        let deadline = Instant::now() + WATCH_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).with_context(|| format!("`parallax watch` did not say {words}"))?;
            ensure!(!line.starts_with("NOT "), "a step is not as declared");
            if line.contains(words) {
                return Ok(());
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ratio(one: Duration, other: Duration) -> String {
    format!("{:.2}", one.as_secs_f64() / other.as_secs_f64())
}

fn millis(it: Duration) -> f64 {
    it.as_secs_f64() * 1000.0
}

fn ms(it: Duration) -> String {
    format!("{:.0} ms", millis(it))
}
