//! `parallax-writer`: the application whose database the backup scenarios destroy and restore.
//!
//! `write` commits numbered rows to an SQLite database at a fixed rate, and reports each commit on standard output. The
//! node keeps this output as the container's log, even when the container no longer exists. So the log shows which
//! commits were acknowledged. `look` reports the state of a database. Row numbers have no gaps, even across restarts,
//! so that a lost row is visible as a gap.

mod database;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Commits numbered rows to an SQLite database, and reports the state of one")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Commit rows until SIGTERM, and print one line of JSON for each commit on standard output
    Write {
        /// The path of the database file; the file is created if it does not exist, but its folder must exist
        #[arg(long)]
        database: PathBuf,
        /// The number of rows to commit per second
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// Stop writing when this process has committed this number of rows, and wait for SIGTERM; without it, write
        /// until SIGTERM
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
        rows: Option<i64>,
    },
    /// Print the state of the database as one line of JSON: number of rows, highest row, missing rows,
    /// `integrity_check`
    Look {
        /// The path of the database file; the file must exist
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
            .and_then(|runtime| runtime.block_on(write::until_sigterm(&database, rate, rows, &mut std::io::stdout()))),
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
