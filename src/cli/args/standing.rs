//! The arguments of the commands for variants that stand.

use clap::Args;

use super::Common;

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// The scenario by name or path, as for `e2e`, for its baseline; or one break (`presign/presigned-url+no-rewrite`).
    #[arg(value_name = "SCENARIO[+BREAK]")]
    pub variant: String,
    /// Run the flow only up to and including this step.
    #[arg(long, value_name = "STEP")]
    pub until: Option<String>,
    /// What the run needs.
    #[command(flatten)]
    pub common: Common,
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
