//! The main function of the `parallax` binary.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use parallax::cli::{self, Cli, CliError};
use parallax_vocab::event::Exit;

/// The time that background tasks get to finish after the command has ended. After this time, the process ends even if
/// background tasks still run.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // The crypto provider of rustls is installed first, because every TLS connection needs it. A process can install
    // only one, so an error means that some library has already installed another one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        cli::printer::error("another TLS provider was installed before ours");
        return code(Exit::Harness);
    }
    // If the command line is wrong, clap ends the process with exit code 2. If the user asks for help, clap ends it
    // with 0. The help text of `parallax` names the same exit codes, so nothing has to be converted.
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => code(exit),
        Err(error) => {
            cli::printer::error(&error.to_string());
            code(error.exit())
        }
    }
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    cli::wiring::before_anything(&cli)?;
    parallax_probe::allow_open_files();
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| CliError::Harness(format!("failed to start the runtime: {error}")))?;
    let result = runtime.block_on(cli::dispatch(cli));
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    result
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit.code())
}
