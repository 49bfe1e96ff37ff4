//! `parallax-client`: the Rust clients that scenarios test. Its input and output are those that
//! `images/clients/programs/clients/contract.py` describes. The name under which the program is started selects the
//! client: `aws-sdk-rust` is the AWS SDK for Rust with aws-config's default HTTP client, `reqwest` opens URLs, and
//! `kube-rs` opens URLs of an apiserver.
//!
//! The probes of Parallax use such libraries in their own way. This program uses each library as an application does.
//! The path of the file with the trusted certificates is in `SSL_CERT_FILE`; each library uses this variable in its own
//! way.

mod kube;
mod open;
mod outcome;
mod sdk;
mod task;

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::outcome::Outcome;
use crate::task::Task;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match answer().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why:#}");
            ExitCode::FAILURE
        }
    }
}

async fn answer() -> anyhow::Result<()> {
    let started_as = std::env::args().next().unwrap_or_default();
    let name = started_as.rsplit('/').next().unwrap_or_default();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("failed to read the task")?;
    let task: Task = serde_json::from_str(&text).context("failed to parse the task")?;
    let outcome = match (name, task) {
        ("aws-sdk-rust", Task { presign: Some(presign), .. }) => sdk::presign(presign).await,
        ("aws-sdk-rust", Task { s3: Some(s3), .. }) => sdk::operate(s3).await,
        ("reqwest", Task { http: Some(http), .. }) => open::open(http).await,
        ("kube-rs", Task { http: Some(http), .. }) => kube::get(http).await,
        _ => Outcome::failed(format!("{name} does not support this task")),
    };
    let text = serde_json::to_string(&outcome).context("failed to write the outcome")?;
    std::io::stdout().write_all(text.as_bytes()).context("failed to write the outcome")
}
