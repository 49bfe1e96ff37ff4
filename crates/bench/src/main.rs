//! The measurements of `cargo xtask bench`. Each comparison is the ratio of two values from one run on one machine. A
//! slow or busy machine changes both values, so the ratio stays comparable. Each measurement writes a table and a chart
//! to `docs/bench`. A measurement never fails because of a measured value.

mod api;
mod harness;
mod lint;
mod overhead;
mod picture;
mod processes;
mod record;
mod scale;
mod standing;
mod start;
mod suite;
mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::harness::Harness;
use crate::table::Table;

/// Measures the harness. Most values are compared with a reference value from the same run: the time of the plain calls
/// of the apiserver, of the start of the node, or of the test tool Chainsaw. Each measurement writes a table and a
/// chart.
#[derive(Debug, Parser)]
struct Cli {
    /// The path of the `parallax` program to measure.
    #[arg(long, value_name = "PROGRAM")]
    parallax: PathBuf,
    /// The folder to which the tables (`NAME.md`) and the charts (`NAME.svg`) are written.
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    out: PathBuf,
    /// The names of the measurements to run. Without a name, all measurements run except `suite`, because `suite` runs
    /// the whole catalogue.
    names: Vec<Name>,
    /// A filter that selects the scenarios that `suite` runs, in the syntax of the filters of `parallax e2e`. The
    /// option may be repeated.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// The name of a measurement, as the user gives it on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The time to read and check 1,000 scenarios, and to plan 10,000 scenarios.
    Lint,
    /// The time from the start of a cluster to the first answer of a pod, relative to the time until the cluster's
    /// apiserver answers.
    Start,
    /// The time to run 40 pods, each in its own namespace, and the harness's memory. The time is relative to the plain
    /// apiserver calls for the same pods and, if the test tool Chainsaw is on PATH, to Chainsaw.
    Overhead,
    /// The time from a log line of a container to the verdict of the step that waits for this line. The time is
    /// relative to a request to the apiserver.
    Detect,
    /// The time and memory that each additional variant costs when many variants run on one cluster.
    Scale,
    /// The time from the start of `parallax up` to its end, when the shell shows its prompt again. The time is divided
    /// into phases.
    Up,
    /// The time to run one step again (`parallax rerun`) in a standing variant, relative to the time of `parallax
    /// --version`.
    Rerun,
    /// The time from a save of the scenario's file to the verdict of the changed step (`parallax watch`), relative to
    /// the measurement `rerun`.
    Watch,
    /// A run of the whole catalogue of scenarios: how much of the processors' time is idle, how much the harness uses,
    /// the critical path, and the longest waits.
    Suite,
}

/// The measurements that run if the user gives no name: all except `suite`.
const DEFAULT: [Name; 8] =
    [Name::Lint, Name::Start, Name::Overhead, Name::Detect, Name::Scale, Name::Up, Name::Rerun, Name::Watch];

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(3)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok().context("two TLS providers")?;
    let harness = Harness::new(&cli.parallax)?;
    std::fs::create_dir_all(&cli.out).with_context(|| format!("failed to make {}", cli.out.display()))?;
    for name in if cli.names.is_empty() { &DEFAULT[..] } else { &cli.names } {
        let measured = match name {
            Name::Lint => lint::run(&harness),
            Name::Start => start::run(&harness),
            Name::Overhead => overhead::run(&harness),
            Name::Detect => start::detect(&harness),
            Name::Scale => scale::run(&harness),
            Name::Up => standing::up(&harness),
            Name::Rerun => standing::again(&harness),
            Name::Watch => standing::watch(&harness),
            Name::Suite => suite::run(&harness, &cli.filter),
        };
        let table = measured.with_context(|| format!("bench {}", word(*name)))?;
        publish(&cli.out, &table)?;
    }
    Ok(())
}

/// Prints a table, and writes the table and its chart to files.
fn publish(out: &Path, table: &Table) -> Result<()> {
    say(&table.text());
    let page = out.join(format!("{}.md", table.name));
    std::fs::write(&page, table.page()).with_context(|| format!("failed to write {}", page.display()))?;
    picture::draw(&out.join(format!("{}.svg", table.name)), table)
}

fn word(name: Name) -> String {
    name.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// Prints a line for the user on standard output.
fn say(line: &str) {
    // The user may have closed standard output. The measurement must continue nevertheless, so the error is ignored.
    drop(writeln!(std::io::stdout(), "{line}"));
}
