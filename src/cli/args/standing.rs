//! The arguments of the commands for variants that `parallax up` keeps.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use parallax_language::scenario::Span;

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// The scenario by name or path, as for `e2e`, for its baseline; or one break (`presign/presigned-url+no-rewrite`).
    #[arg(value_name = "SCENARIO[+BREAK]")]
    pub variant: String,
    /// Run the flow only up to and including this step.
    #[arg(long, value_name = "STEP", conflicts_with = "before")]
    pub until: Option<String>,
    /// Run the flow only up to this step, and not the step itself: `parallax rerun STEP` then runs it.
    #[arg(long, value_name = "STEP")]
    pub before: Option<String>,
    /// The seed of the random delays in repeats. It overrides the seed in the scenario.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// What the run needs.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `repro`.
#[derive(Clone, Debug, Args)]
pub struct Repro {
    /// The bundle: `repro.tar` in the folder of the run that failed.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which of its variants [default: the first].
    #[arg(value_name = "VARIANT")]
    pub variant: Option<String>,
    /// The new folder into which the bundle is unpacked [default: repro-RUN in the current folder].
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
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
    /// The run by its id or its folder; required if several variants of this project stand, or if it is of another one.
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

/// Arguments of `shell`.
#[derive(Clone, Debug, Args)]
pub struct Enter {
    /// The vantage; required if the scenario has several.
    #[arg(long, value_name = "VANTAGE")]
    pub from: Option<String>,
    /// Which variant.
    #[command(flatten)]
    pub of: Which,
    /// A program and its arguments, in place of the shell.
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
}

/// Arguments of `logs`.
#[derive(Clone, Debug, Args)]
pub struct Logs {
    /// The run by its id or its folder; required if several variants of this project stand, or if it is of another one.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Whose log: a pod, a fixture, a vantage, a node (`node`), `world`, or what a `log` step names (`deployment/NAME`,
    /// `stateful-set/NAME`, `pod/NAME`, `beside/FIXTURE`, `node/NAME`) [default: every pod].
    #[arg(long, value_name = "NAME")]
    pub of: Option<String>,
    /// How many of the last lines of each container.
    #[arg(long, value_name = "LINES", default_value_t = 50)]
    pub tail: usize,
}

/// Arguments of `down`.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// The run by its id or its folder; required if several of this project stand, or if it is of another one.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Every run of this project that began longer ago than this, for example `2h`; `0s` is every run.
    #[arg(long, value_name = "AGE", conflicts_with = "run", value_parser = not_negative)]
    pub older_than: Option<Span>,
}

/// Parses a duration that may be zero.
fn not_negative(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.as_millis() < 0 { Err(format!("`{text}` is less than zero")) } else { Ok(span) }
}
