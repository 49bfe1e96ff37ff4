//! The arguments of `e2e`, and those that it shares with `up` and `plan`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use parallax_language::scenario::Span;

use super::{K3s, LockOf, Selection};
use crate::bucket::Place;

/// Arguments of `e2e`.
#[derive(Clone, Debug, Args)]
pub struct E2e {
    /// Which variants.
    #[command(flatten)]
    pub selection: Selection,
    /// What a run needs.
    #[command(flatten)]
    pub common: Common,
    /// What is kept after the run.
    #[command(flatten)]
    pub kept: Kept,
    /// How much runs at the same time.
    #[command(flatten)]
    pub at_once: AtOnce,
    /// Run environments and variants in a random order that depends on SEED. Without SEED, a new one is drawn and printed.
    /// Verdicts must not depend on the order.
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    pub shuffle: Option<Option<u64>>,
    /// Fail (exit 1) if a matcher is unproven. `any` accepts as proof that a break made the matcher fail, or that it failed
    /// on an altered answer; `faults` accepts only a break. Only scenarios that run with the baseline and every break are
    /// checked.
    #[arg(long, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "any")]
    pub require_proof: Option<ProofBy>,
    /// Accept a run in which everything was skipped. Without this option it exits 3, because it tested nothing.
    #[arg(long)]
    pub allow_skips: bool,
    /// Fail (exit 3) if a scenario cannot run because one of its images exists nowhere. This is the default if `CI` is set,
    /// unless `--allow-skips` is given.
    #[arg(long, conflicts_with = "allow_skips")]
    pub deny_skips: bool,
    /// This scenario may be skipped, for any reason.
    #[arg(long, value_name = "SCENARIO")]
    pub allow_skip: Vec<String>,
    /// The seed of the random delays in repeats. It overrides the seeds in scenarios. The report shows the seeds of a run.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Begin no further variant after N variants failed or ended with an error. Variants that are running end. The report
    /// names those that were not begun.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_fail: Option<u32>,
    /// Run variants again, up to N times, if the harness, the engine or the machine failed, so that they have no verdict. A
    /// variant that is not as declared is never run again. The report says what was run again, and why.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5))]
    pub retry_machine: u32,
    /// Time limit of the whole run, for example `30m`. After it, the run ends as after Ctrl-C: it cleans up and reports which
    /// variants have no verdict. It exits 3.
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub timeout: Option<Span>,
    /// Put the record and the reports into a folder of a bucket: below it, into `shard-K-of-N`, or into the run's id without
    /// --shard. `parallax merge` reads them there.
    ///
    /// Which store it is and who asks comes from `AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, `AWS_CA_BUNDLE` and the other
    /// variables of the AWS CLI. The bucket is tried before anything starts. If it cannot be written, the run exits 3.
    #[arg(long, value_name = "s3://BUCKET/FOLDER")]
    pub upload: Option<Place>,
}

impl E2e {
    /// Returns the options that decide how a variant behaves, as words of a command line. A run with these options
    /// repeats this run.
    pub fn again(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.common.k3s != K3s::Auto {
            words.extend(["--k3s".to_owned(), word(&self.common.k3s)]);
        }
        if self.common.lock != LockOf::Auto {
            words.extend(["--lock".to_owned(), word(&self.common.lock)]);
        }
        match self.common.allow_host_programs {
            None => {}
            Some(HostPrograms::Apart) => words.push("--allow-host-programs".to_owned()),
            Some(how) => words.push(format!("--allow-host-programs={}", word(&how))),
        }
        if let Some(seed) = self.seed {
            words.extend(["--seed".to_owned(), seed.to_string()]);
        }
        words
    }
}

/// Returns the value of an option as a user writes it.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// What is kept after a run.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Kept {
    /// Remove nothing at the end. The run's folder then has a kubeconfig and the certificates of the authorities. `parallax
    /// down` removes everything. To look into one variant, use `parallax up`.
    #[arg(long)]
    pub keep: bool,
    /// Remove nothing if a variant failed or ended with an error, as with --keep. Nothing is removed before the end either,
    /// so select few variants.
    #[arg(long, conflicts_with = "keep")]
    pub keep_on_failure: bool,
}

/// What a run needs, and where its results go: the same for `e2e` and `up`.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Install and start what is missing: a container engine, and toolchains for image builds. This needs Debian or Ubuntu,
    /// and root. Each installation is reported.
    #[arg(long)]
    pub provision: bool,
    /// Which node image to use.
    #[arg(long, value_enum, default_value_t = K3s::Auto)]
    pub k3s: K3s,
    /// Which images.lock and recipes to use.
    #[arg(long, value_enum, default_value_t = LockOf::Auto)]
    pub lock: LockOf,
    /// Allow scenarios to run programs on this machine, under your account: a `script` at an `outside` vantage without
    /// an image. `parallax plan` lists these programs. They can use your files. Without HOW, they run apart from the
    /// other processes of the machine, which needs user namespaces.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "apart")]
    pub allow_host_programs: Option<HostPrograms>,
    /// The folder in which the run creates its own folder with record and reports [default: target/e2e in the project].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Parses a duration that is greater than zero.
fn positive(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.to_duration().is_zero() { Err(format!("`{text}` is not longer than zero")) } else { Ok(span) }
}

/// How much runs at the same time: the same for `e2e` and `plan`.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Load")]
pub struct AtOnce {
    /// How many environments (a namespace each) are brought up at the same time, on all clusters together. This is the work
    /// that needs processors. By default one and a half for each processor, at most 8, and more while the processors are idle.
    /// A node that starts counts as one.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// The maximum number of environments that exist at the same time, on all clusters together. An environment whose steps
    /// wait needs memory but no processor. By default as many as memory allows, at most three for each processor, and up to
    /// eight while the processors are idle.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub environments: Option<u16>,
    /// The maximum number of clusters that exist at the same time. By default two more than there are processors, if memory
    /// allows. Further clusters start when others have ended.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clusters: Option<u16>,
}

/// How programs of scenarios run on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostPrograms {
    /// They see no other processes, cannot read the environment of any, and leave none behind.
    Apart,
    /// Like every program of yours.
    Unconfined,
}

/// What shows that a matcher can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProofBy {
    /// A break that turned it red, or an altered answer.
    Any,
    /// A break that turned it red.
    Faults,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};

    #[test]
    fn what_decides_how_a_variant_behaves_is_repeated() {
        let words = |line: &str| match Cli::try_parse_from(line.split(' ')).expect("a command line").command {
            Command::E2e(it) => it.again().join(" "),
            _ => unreachable!("the line is of e2e"),
        };
        for (line, again) in [
            ("parallax e2e", ""),
            ("parallax e2e presign --k3s built --seed 7 --jobs 2 --keep", "--k3s built --seed 7"),
            ("parallax e2e --lock shipped --allow-host-programs --shuffle=3", "--lock shipped --allow-host-programs"),
            ("parallax e2e --allow-host-programs=unconfined", "--allow-host-programs=unconfined"),
        ] {
            assert_eq!(words(line), again, "{line}");
        }
    }
}
