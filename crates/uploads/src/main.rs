//! `parallax-uploads`: the application of the demo chart (`docs/demo`). A browser gets a presigned URL from this
//! application, and uploads a file with this URL directly to the store. The application keeps the list of uploads in an
//! SQLite database, which litestream replicates.
//!
//! The application reads the endpoint, the region, the credentials and the trusted certificates from the environment
//! variables of the AWS SDKs, as any application does.

mod database;
mod server;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::Application;
use crate::store::Store;

#[derive(Parser)]
#[command(version, about = "Hands out presigned URLs to a browser, and keeps a list of the uploads in SQLite")]
struct Arguments {
    /// The address at which the page is served
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The path of the database file; the file is created if it does not exist, but its folder must exist
    #[arg(long)]
    database: PathBuf,
    /// The bucket of the uploads
    #[arg(long)]
    bucket: String,
    /// The time for which a URL is valid, in seconds; SigV4 allows seven days
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    links_for: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            server::log(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves requests until SIGTERM.
async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let database = database::open(&arguments.database)?;
    let store = Store::from_environment(arguments.bucket, arguments.links_for).await;
    let application = Arc::new(Application { store, database: Mutex::new(database) });
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("failed to listen at {}", arguments.listen))?;
    tokio::select! {
        ended = server::serve(listener, application) => ended,
        _ = terminate.recv() => Ok(()),
    }
}
