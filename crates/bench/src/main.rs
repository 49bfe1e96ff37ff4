//! What `cargo xtask bench` measures. Each figure is a ratio of two things that one run measured on one machine, so that a
//! slow or busy machine changes both. A measurement is a table and a picture in `docs/bench`; nothing fails by it.

mod api;
mod harness;
mod lint;
mod overhead;
mod picture;
mod processes;
mod record;
mod scale;
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

/// Measures the harness against what it stands on, each as a ratio in one run.
#[derive(Debug, Parser)]
struct Cli {
    /// The harness that is measured.
    #[arg(long, value_name = "PROGRAM")]
    parallax: PathBuf,
    /// Where tables and pictures are written.
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    out: PathBuf,
    /// What to measure; without a name everything but `suite`, which takes as long as the catalogue.
    names: Vec<Name>,
    /// What `suite` runs, as `parallax e2e` takes it.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// The measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Reading and checking 1,000 scenarios, and planning 10,000.
    Lint,
    /// From nothing to the first answer of a pod, against a node's own start.
    Start,
    /// 40 pods, each in a namespace of its own, against the bare calls of the apiserver, and against chainsaw where it is
    /// on PATH; the memory that the harness takes.
    Overhead,
    /// The time from a line in a log to its verdict, against the time that a request to the apiserver takes.
    Detect,
    /// What a variant more costs on one cluster, in time and memory.
    Scale,
    /// The catalogue: how idle the processors are, the harness's own share, the critical path, the longest waits.
    Suite,
}

/// What is measured where nobody says.
const USUAL: [Name; 5] = [Name::Lint, Name::Start, Name::Overhead, Name::Detect, Name::Scale];

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
    for name in if cli.names.is_empty() { &USUAL[..] } else { &cli.names } {
        let measured = match name {
            Name::Lint => lint::run(&harness),
            Name::Start => start::run(&harness),
            Name::Overhead => overhead::run(&harness),
            Name::Detect => start::detect(&harness),
            Name::Scale => scale::run(&harness),
            Name::Suite => suite::run(&harness, &cli.filter),
        };
        let table = measured.with_context(|| format!("bench {}", word(*name)))?;
        keep(&cli.out, &table)?;
    }
    Ok(())
}

/// Prints a table and writes it down with its picture.
fn keep(out: &Path, table: &Table) -> Result<()> {
    say(&table.text());
    let page = out.join(format!("{}.md", table.name));
    std::fs::write(&page, table.page()).with_context(|| format!("failed to write {}", page.display()))?;
    picture::draw(&out.join(format!("{}.svg", table.name)), table)
}

fn word(name: Name) -> String {
    name.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// A line for whoever waits.
fn say(line: &str) {
    // Nobody may be there to read it; that is no reason to stop.
    drop(writeln!(std::io::stdout(), "{line}"));
}
