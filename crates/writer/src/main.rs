//! `parallax-writer`: the application that the backup scenarios lose and find again.
//!
//! `write` commits numbered rows to an SQLite database at a set rate, and says each commit on standard output, which
//! the node keeps when the container is gone: what was acknowledged is known outside of the pod. `look` says what a
//! database holds. Rows are numbered without a gap, across restarts too, so that a lost row shows.

mod database;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Commits numbered rows to an SQLite database, and says what one holds")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Commit rows until SIGTERM, one line of JSON for each on standard output
    Write {
        /// The database; created where it is missing, its folder is not
        #[arg(long)]
        database: PathBuf,
        /// Rows a second
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// Stop writing after so many rows of this process, and wait for SIGTERM
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
        rows: Option<i64>,
    },
    /// Say as one line of JSON what the database holds: rows, highest row, gaps, `integrity_check`
    Look {
        /// The database; it must be there
        #[arg(long)]
        database: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Write { database, rate, rows } => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime")
            .and_then(|runtime| runtime.block_on(write::until_told(&database, rate, rows, &mut std::io::stdout()))),
        Command::Look { database } => {
            database::look(&database).and_then(|seen| write::line(&mut std::io::stdout(), &seen))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "parallax-writer: {error:#}");
            ExitCode::FAILURE
        }
    }
}
