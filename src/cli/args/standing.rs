//! The arguments of the commands for variants that stand.

use std::path::PathBuf;

use clap::Args;

use super::{K3s, LockOf};

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// The scenario by name or path, as for `e2e`, for its baseline; or one break (`presign/presigned-url+no-rewrite`).
    #[arg(value_name = "SCENARIO[+BREAK]")]
    pub variant: String,
    /// Run the flow only up to and including this step.
    #[arg(long, value_name = "STEP")]
    pub until: Option<String>,
    /// Install and start what is missing, as for `e2e`.
    #[arg(long)]
    pub provision: bool,
    /// Which node image to use.
    #[arg(long, value_enum, default_value_t = K3s::Auto)]
    pub k3s: K3s,
    /// Which images.lock and recipes to use.
    #[arg(long, value_enum, default_value_t = LockOf::Auto)]
    pub lock: LockOf,
    /// Let the scenario run programs on this machine itself, as for `e2e`.
    #[arg(long)]
    pub allow_host_programs: bool,
    /// The folder in which the run creates its own folder [default: target/e2e in the project].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `hold`.
#[derive(Clone, Debug, Args)]
pub struct Hold {
    /// The run.
    #[arg(long, value_name = "RUN")]
    pub id: String,
    /// As for `up`.
    #[command(flatten)]
    pub up: Up,
}

/// Which of the variants that stand.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The run; required if several variants are kept.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// Arguments of `rerun`.
#[derive(Clone, Debug, Args)]
pub struct Rerun {
    /// The step; without one, the whole flow.
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// Which variant.
    #[command(flatten)]
    pub of: Which,
}

/// Arguments of `exec`.
#[derive(Clone, Debug, Args)]
pub struct Exec {
    /// The vantage; required if the scenario has several.
    #[arg(long, value_name = "VANTAGE")]
    pub from: Option<String>,
    /// Which variant.
    #[command(flatten)]
    pub of: Which,
    /// The program and its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub command: Vec<String>,
}

/// Arguments of `down`.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// The run; required if several are kept.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}
