//! The arguments of the commands for variants that `parallax up` keeps running.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use parallax_language::scenario::Span;

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// The variant: the baseline of a scenario, which is given by the scenario's name or path; or one break, for
    /// example `presign/presigned-url+no-rewrite`.
    #[arg(value_name = "SCENARIO[+BREAK]")]
    pub variant: String,
    /// The last step to run. The flow stops after this step.
    #[arg(long, value_name = "STEP", conflicts_with = "before")]
    pub until: Option<String>,
    /// The step before which the flow stops. `parallax rerun STEP` then runs the step.
    #[arg(long, value_name = "STEP")]
    pub before: Option<String>,
    /// The seed of the random delays in `repeat` steps. It overrides the seed in the scenario.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// The options for the node image, the recipes, programs and folders.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `repro`.
#[derive(Clone, Debug, Args)]
pub struct Repro {
    /// The bundle: `repro.tar` in the folder of the run that failed.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The variant of the bundle to bring up [default: the first].
    #[arg(value_name = "VARIANT")]
    pub variant: Option<String>,
    /// The new folder into which the bundle is unpacked [default: repro-RUN in the current folder].
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// The options for the node image, the recipes, programs and folders.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `hold`.
#[derive(Clone, Debug, Args)]
pub struct Hold {
    /// The id of the run that keeps the variant.
    #[arg(long, value_name = "RUN")]
    pub id: String,
    /// The arguments of the `up` command that starts this process.
    #[command(flatten)]
    pub up: Up,
}

/// The option that selects one of the variants that `up` keeps running.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The id or the folder of the run. It is required if several variants of this project are kept running, or if the
    /// variant belongs to another project.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// Arguments of `rerun`.
#[derive(Clone, Debug, Args)]
pub struct Rerun {
    /// The id of the step to run. Without it, the whole flow is run.
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// The variant in which the step runs.
    #[command(flatten)]
    pub of: Which,
}

/// Arguments of `exec`.
#[derive(Clone, Debug, Args)]
pub struct Exec {
    /// The vantage at which the program runs. It is required if the scenario has several vantages.
    #[arg(long, value_name = "VANTAGE")]
    pub from: Option<String>,
    /// The variant in which the program runs.
    #[command(flatten)]
    pub of: Which,
    /// The program and its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub command: Vec<String>,
}

/// Arguments of `shell`.
#[derive(Clone, Debug, Args)]
pub struct Enter {
    /// The vantage at which the shell is opened. It is required if the scenario has several vantages.
    #[arg(long, value_name = "VANTAGE")]
    pub from: Option<String>,
    /// The variant in which the shell is opened.
    #[command(flatten)]
    pub of: Which,
    /// A program and its arguments, to run in place of the shell.
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
}

/// Arguments of `logs`.
#[derive(Clone, Debug, Args)]
pub struct Logs {
    /// The same as `--run`.
    #[arg(value_name = "RUN", conflicts_with = "run")]
    pub named: Option<String>,
    /// The variant whose logs are printed.
    #[command(flatten)]
    pub of_run: Which,
    /// The source of the log lines: a pod, a fixture, a vantage, a node (`node`), `world`, or a name in the form of a
    /// `log` step (`deployment/NAME`, `stateful-set/NAME`, `pod/NAME`, `beside/FIXTURE`, `node/NAME`) [default: every
    /// pod].
    #[arg(long, value_name = "NAME")]
    pub of: Option<String>,
    /// The number of last lines to print for each container.
    #[arg(long, value_name = "LINES", default_value_t = 50)]
    pub tail: usize,
}

/// Arguments of `down`.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// The id or the folder of the run to remove. It is required if several runs of this project are kept, or if the
    /// run belongs to another project.
    #[arg(value_name = "RUN", conflicts_with = "run")]
    pub named: Option<String>,
    /// The same as RUN.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Remove every run of this project that started longer ago than this duration, for example `2h`. `0s` removes
    /// every run.
    #[arg(long, value_name = "AGE", conflicts_with_all = ["named", "run"], value_parser = not_negative)]
    pub older_than: Option<Span>,
}

/// Parses a duration that may be zero.
fn not_negative(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.as_millis() < 0 { Err(format!("`{text}` is less than zero")) } else { Ok(span) }
}
