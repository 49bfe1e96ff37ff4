//! The measurements of `cargo xtask bench`. Comparisons are given as a ratio of two values from one run on one machine,
//! so that a slow or busy machine changes both values. Each measurement writes a table and a chart to `docs/bench`. No
//! measured value makes a measurement fail.

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

/// Measures the harness relative to its baseline (the apiserver, a node's start, chainsaw), each as a ratio in one run.
#[derive(Debug, Parser)]
struct Cli {
    /// The harness to measure.
    #[arg(long, value_name = "PROGRAM")]
    parallax: PathBuf,
    /// The folder for tables and charts.
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    out: PathBuf,
    /// What to measure; by default everything except `suite`, which takes as long as the whole catalogue.
    names: Vec<Name>,
    /// The scenarios that `suite` runs, in the syntax of `parallax e2e`.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// The measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Read and check 1,000 scenarios, and plan 10,000.
    Lint,
    /// The time to the first answer of a pod, relative to a node's own start.
    Start,
    /// 40 pods, each in its own namespace, relative to the plain apiserver calls, and to chainsaw if it is on PATH; and
    /// the harness's memory.
    Overhead,
    /// The time from a line in a log to its verdict, relative to a request to the apiserver.
    Detect,
    /// The time and memory that each additional variant on a cluster costs.
    Scale,
    /// The time from `parallax up` to the prompt, in phases.
    Up,
    /// One step again in a variant that stands, relative to the program alone.
    Rerun,
    /// The time from a save of the scenario to the verdict of the step that changed, relative to `rerun`.
    Watch,
    /// The catalogue: the idle share of the processors, the harness's own share, the critical path, the longest waits.
    Suite,
}

/// The default measurements.
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

/// Prints a line for the user.
fn say(line: &str) {
    // A closed standard output must not stop the measurement.
    drop(writeln!(std::io::stdout(), "{line}"));
}
