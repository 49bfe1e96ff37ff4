//! `parallax-agent`: the program that Parallax runs inside containers, as one static binary.
//!
//! It has these subcommands:
//!
//! - `session` answers the harness's questions over the standard streams of an exec.
//! - `hold` keeps a vantage's pod running, and `release` ends `hold`.
//! - `look` prints how the programs of a container resolve names, and which certificates they trust.
//! - `world` is the external network of a cluster: a name server, and a proxy for TLS and HTTP (the edge).
//! - `inject` is an admission webhook that adds to pods what web identity needs.
//! - `balance` is the controller that implements Services of type `LoadBalancer` with an HAProxy outside the cluster.

mod addresses;
mod balance;
mod hold;
mod inject;
mod look;
mod memory;
mod probers;
mod session;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "What Parallax runs inside containers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read questions from standard input and write answers to standard output, both in frames (length and JSON). The
    /// program ends when the input ends or when nothing arrives for 15 s
    Session {
        /// Remove the file of this program when the session ends. If memory is short, let the kernel end this program
        /// before the other programs of its container. This has no effect if the kernel would end all programs of the
        /// container together
        #[arg(long)]
        guest: bool,
    },
    /// Do nothing until SIGTERM or SIGINT arrives. This is the main process of a vantage's pod
    Hold {
        /// End after this number of seconds
        #[arg(long, value_name = "SECONDS")]
        within: Option<u64>,
    },
    /// End each `hold` process of this container
    Release,
    /// Print as JSON how the programs of a container resolve names, and which certificates they trust
    Look {
        /// Look at the container of the process with this id. Without this option, look at the container in which this
        /// program runs
        #[arg(long, value_name = "PID")]
        process: Option<u32>,
    },
    /// Serve the DNS names and the edge of a cluster's world: TLS by server name, plain HTTP by `Host`. The environment
    /// variable `PARALLAX_WORLD` holds the configuration as JSON
    World,
    /// Serve the admission webhook that adds a token, a role and endpoints to pods whose ServiceAccount has AWS's
    /// annotation for a role
    Inject(inject::Arguments),
    /// Configure an HAProxy outside the cluster for the Services of type LoadBalancer in one namespace
    Balance(balance::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    parallax_probe::allow_open_files();
    let done = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")
        .and_then(|runtime| {
            let done = runtime.block_on(async {
                match arguments.command {
                    Command::Session { guest } => session::serve(guest).await,
                    Command::Hold { within } => hold::hold(within.map(Duration::from_secs)).await,
                    Command::Release => hold::release(),
                    Command::Look { process } => {
                        if process.is_none() {
                            memory::yield_first();
                        }
                        print(&look::look(process)?)
                    }
                    Command::World => world::serve().await,
                    Command::Inject(arguments) => inject::serve(&arguments).await,
                    Command::Balance(arguments) => balance::serve(&arguments).await,
                }
            });
            // A blocked read of standard input may still occupy a thread of the runtime. The process must not wait for
            // this thread.
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log_error(&format!("{why:#}"));
            ExitCode::FAILURE
        }
    }
}

fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    use std::io::Write as _;
    let text = serde_json::to_vec(value)?;
    std::io::stdout().lock().write_all(&text).context("failed to write to standard output")
}

/// Writes a line about a failed `accept` to standard error. The harness shows the last lines of standard error if the
/// agent ends.
fn cannot_accept(error: &std::io::Error) {
    log_error(&format!("a connection cannot be accepted: {error}"));
}

fn log_error(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "parallax-agent: {text}");
}
