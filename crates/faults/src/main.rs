//! Implements `cargo xtask faults`. Each row of the table in `docs/reliability.md` is a real fault. This program causes
//! the fault while the built harness runs. A row declares the right result: the exit code, texts in the output, and
//! that nothing is left behind. The command fails if the result of a row differs from its declaration.

mod bench;
mod forward;
mod left;
mod page;
mod project;
mod row;
mod rows;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::bench::Bench;
use crate::page::Line;
use crate::row::Row;

/// Causes real faults while the harness runs, compares each result with its declaration, and writes the results into a
/// table if all of them are right.
#[derive(Debug, Parser)]
struct Cli {
    /// The path of the `parallax` program to test.
    #[arg(long, value_name = "PROGRAM")]
    parallax: PathBuf,
    /// The path of the Markdown page with the table. Only the text between the page's two marks is replaced.
    #[arg(long, value_name = "FILE", default_value = "docs/reliability.md")]
    page: PathBuf,
    /// Print the rows, and cause no fault.
    #[arg(long)]
    list: bool,
    /// Run only the rows whose name contains one of these texts. The page keeps the lines of all other rows.
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(3)
        }
    }
}

/// Runs the chosen rows. Returns whether every row had the result that it declares.
fn run(cli: &Cli) -> Result<bool> {
    let chosen = |row: &&Row| cli.filter.is_empty() || cli.filter.iter().any(|part| row.name.contains(part.as_str()));
    let all = rows::all();
    let rows: Vec<&Row> = all.iter().filter(chosen).collect();
    ensure!(!rows.is_empty(), "no row's name holds {}; --list shows them", cli.filter.join(" or "));
    if cli.list {
        for row in rows {
            say(&format!("{:24} {}", row.name, row.fault));
        }
        return Ok(true);
    }
    let bench = Bench::new(&cli.parallax)?;
    let mut lines: Vec<Line> = Vec::new();
    let mut wrong = 0;
    for row in rows {
        say(&format!("{}: {}", row.name, row.fault));
        // A fault that cannot be caused counts as a failed row. The later rows still run.
        let judged = match (row.run)(&bench, row) {
            Ok(seen) if seen.is_empty() => vec![Err("the fault never came about".to_owned())],
            Ok(seen) => seen.iter().map(|it| row.judge(it)).collect(),
            Err(error) => vec![Err(format!("{error:#}"))],
        };
        for judged in judged {
            match judged {
                Ok(line) => {
                    say(&format!("  ok       {}: exit {}, {}", line.when, line.exit, line.said));
                    lines.push(line);
                }
                Err(why) => {
                    say(&format!("  WRONG    {why}"));
                    wrong += 1;
                }
            }
        }
    }
    say(&format!("{} as declared, {wrong} otherwise", lines.len()));
    if wrong > 0 {
        say(&format!("{} was not written", cli.page.display()));
        return Ok(false);
    }
    write(&cli.page, &all, &lines)?;
    Ok(true)
}

/// Writes the lines into the table of the page.
fn write(path: &Path, all: &[Row], lines: &[Line]) -> Result<()> {
    let page = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let names: Vec<&str> = all.iter().map(|row| row.name).collect();
    let page = page::with(&page, &names, lines).with_context(|| format!("{}", path.display()))?;
    std::fs::write(path, page).with_context(|| format!("failed to write {}", path.display()))
}

/// Prints a line about the progress to standard output.
fn say(line: &str) {
    // The program that reads standard output may have closed the pipe. That is no reason to stop, so the error is
    // ignored.
    drop(writeln!(std::io::stdout(), "{line}"));
}
