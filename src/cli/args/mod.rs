//! The command line. The comments here are the help that people read.

mod images;
mod standing;

use std::path::PathBuf;

pub use self::images::{Images, ImagesCommand};
pub use self::standing::{Down, Exec, Hold, Rerun, Up, Which};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use parallax_language::scenario::Span;

const EXIT_CODES: &str = "\
Exit codes:
  0    everything is as declared
  1    an expectation failed, or a break did not break: your system is not as declared
  2    a scenario or the command line is wrong; nothing was started
  3    the harness, the engine or the machine failed; nothing is said about your system
  130  interrupted";

const E2E_EXAMPLES: &str = "\
Examples:
  parallax e2e                                             everything
  parallax e2e presign                                     one area
  parallax e2e presign/presigned-url                       one scenario: baseline and breaks
  parallax e2e presign/presigned-url+no-rewrite            one break
  parallax e2e presign/presigned-url --break no-rewrite    the same
  parallax e2e 'presign/*-url' contract                    several, by pattern
  parallax e2e --label presign --label '!slow'             by label
  parallax e2e --failed                                    what was red in the last run
  parallax e2e --breaks changed                            every baseline, and breaks where something changed
  parallax e2e --require-proof=faults --shuffle            the strictest: every matcher turned red by a break, in a random order
  parallax e2e --provision                                 on a bare machine, as root

The last line on standard output is `N passed, N failed, N skipped`.
The record and the reports are in target/e2e/RUN; target/e2e/latest is the last run.
";

const UP_EXAMPLES: &str = "\
Examples:
  parallax up presign/presigned-url                   the baseline
  parallax up presign/presigned-url+no-rewrite        one break
  parallax up presign/presigned-url --until upload    only the steps up to and including this one
  parallax status                                     what stands, and how to reach it
  parallax rerun outside                              one step again
  parallax down                                       remove it
";

/// End-to-end tests for S3 storage in Kubernetes, seen from inside and outside the cluster at once.
///
/// Parallax brings up a cluster and a store in containers, asks the same questions from a pod and from outside, and says
/// whether both see the same thing. Each scenario is a baseline that must hold, and breaks: small changes that must
/// make it fail, each with its cause.
#[derive(Debug, Parser)]
#[command(name = "parallax", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Folder that holds `scenarios/`; else the nearest one upwards from here.
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Show what the harness does, on standard error: requests that are repeated, watches that break, what is given up.
    /// Twice: each request to the apiserver too. A run's `harness.log` has all of it; `RUST_LOG` chooses for both.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios and their breaks, and report.
    #[command(after_long_help = concat_help(E2E_EXAMPLES))]
    E2e(E2e),
    /// Begin a project in this folder: a first scenario and a .gitignore.
    ///
    /// Overwrites nothing; says what to do next.
    Init,
    /// Check scenario and fixture files. Needs no engine.
    ///
    /// Says for each mistake the file, line and column, shows the line, and names the likely fix.
    #[command(after_long_help = "Examples:\n  parallax lint\n  parallax lint scenarios/presign/presigned-url")]
    Lint(Lint),
    /// List scenarios and their breaks.
    #[command(
        after_long_help = "Examples:\n  parallax list\n  parallax list presign --breaks none\n  parallax list --json"
    )]
    List(List),
    /// Show what a run would do, and do nothing. Needs no engine.
    ///
    /// Images, certificates, DNS rules, clusters with their traits, which variants share them, the order, and how long it
    /// is expected to take by what earlier runs on this machine took.
    #[command(after_long_help = "Examples:\n  parallax plan\n  parallax plan presign/presigned-url --json")]
    Plan(Plan),
    /// Show or obtain the images that scenarios need.
    #[command(
        after_long_help = "Examples:\n  parallax images list\n  parallax images fetch\n  parallax images build\n  parallax images build minio --provision"
    )]
    Images(Images),
    /// Bring one variant up, run its flow, and leave it standing, to look at it and to run its steps again.
    ///
    /// Prints how to reach it: lines for kubectl, aws, mc and curl that can be pasted into a shell. A process of its own
    /// holds the environment until `parallax down`; the other commands find it by themselves.
    #[command(after_long_help = UP_EXAMPLES)]
    Up(Up),
    /// Show what stands, what it does at this moment, and how to reach it.
    #[command(after_long_help = "Examples:\n  parallax status")]
    Status,
    /// Run one step again, or the whole flow, against what `parallax up` left standing.
    ///
    /// One step runs as the environment is now, with what the steps before it left. The whole flow begins with an
    /// environment that is put back: what the flow created is removed first. Exits 0 if what ran is as declared, else 1.
    #[command(
        after_long_help = "Examples:\n  parallax rerun\n  parallax rerun outside\n  parallax rerun outside --run r5f09a2c1"
    )]
    Rerun(Rerun),
    /// Run the steps again each time the scenario's file is saved, from the first step that changed.
    ///
    /// What changed in the steps applies to what stands. If fixtures or pods changed, that is said: then take it down and
    /// bring it up again.
    #[command(after_long_help = "Examples:\n  parallax up presign/presigned-url && parallax watch")]
    Watch(Which),
    /// Run a program at a vantage of what stands: in that vantage's own pod, with its environment and its trust.
    ///
    /// The program finds the store by `AWS_*` variables, as a `script` step does. Exits as the program does.
    #[command(
        after_long_help = "Examples:\n  parallax exec --from app -- aws s3 ls\n  parallax exec --from app -- sh -c 'cat /etc/resolv.conf'"
    )]
    Exec(Exec),
    /// Take down what `up` or `e2e --keep` left standing.
    #[command(after_long_help = "Examples:\n  parallax down\n  parallax down r5f09a2c1")]
    Down(Down),
    /// Holds a variant that stands. Started by `up`.
    #[command(hide = true)]
    Hold(Hold),
    /// Remove what a killed run left behind.
    ///
    /// Finds containers, networks and volumes by the runs' ledgers and by label. Runs that still live are spared, and
    /// those that `e2e --keep` left standing.
    Gc,
    /// Say whether a run could work on this machine, and what would hurt.
    ///
    /// Names every program that a run, an image recipe or a test looks for: where it is, what needs it, and what to do
    /// where it is missing.
    #[command(
        after_long_help = "Examples:\n  parallax doctor\n  parallax doctor --provision            also install and start an engine (Debian or Ubuntu, as root)\n  parallax doctor --tests --provision    also what this repository's tests need"
    )]
    Doctor(Doctor),
    /// Make the reports of a recorded run again.
    ///
    /// Prints the summary and writes report.html and junit.xml beside the record. Exits 0 when that worked, however the run ended.
    #[command(
        after_long_help = "Examples:\n  parallax report\n  parallax report target/e2e/r5f09a2c1\n  parallax report record.jsonl --junit out.xml"
    )]
    Report(Report),
    /// Explain why steps failed, from a run's record alone; or what is wrong with a presigned URL, offline.
    ///
    /// From a record: each step that failed or was blocked in a variant that is not as declared (with --all, or of the
    /// named variant or step, in every variant), with its sentence and what proves it. Scenario files are not read. From a URL: the host, object, region and time that it is signed for, and hints; its credentials are not
    /// shown. With --saw and a line of somebody's log: what differs between the URL and the request, and with
    /// --secret-env a proof that nothing else does.
    #[command(
        after_long_help = "Examples:\n  parallax explain                                    the last run\n  parallax explain record.jsonl outside               one step\n  parallax explain target/e2e/r5f09a2c1 presign/presigned-url+expired\n  parallax explain 'https://minio.example.com/photos/a.txt?X-Amz-Algorithm=...'\n  parallax explain URL --saw '10.0.0.1 - - [...] \"GET /s3/photos/a.txt?X-Amz-... HTTP/1.1\" 403 421'\n  mc admin trace -v store | parallax explain URL --saw - --secret-env MINIO_ROOT_PASSWORD"
    )]
    Explain(Explain),
    /// Write the JSON schemas of scenario and fixture files, for editors.
    #[command(
        after_long_help = "Examples:\n  parallax schema            write them\n  parallax schema --check    only say whether they are up to date"
    )]
    Schema(Schema),
    /// Write the reference pages of this repository (docs/reference), made from the types.
    #[command(
        after_long_help = "Examples:\n  parallax docs            write them\n  parallax docs --check    only say whether they are up to date"
    )]
    Docs(Schema),
    /// Outlives a run and removes what it left. Started by the harness itself.
    #[command(hide = true)]
    Reaper(Reaper),
}

/// Arguments of `e2e`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct E2e {
    /// Which variants.
    #[command(flatten)]
    pub selection: Selection,
    /// Install and start what is missing: a container engine, toolchains for image builds. Debian or Ubuntu, as root;
    /// each thing done is said.
    #[arg(long)]
    pub provision: bool,
    /// Which node image to use.
    #[arg(long, value_enum, default_value_t = K3s::Auto)]
    pub k3s: K3s,
    /// Whose images.lock and recipes to go by.
    #[arg(long, value_enum, default_value_t = LockOf::Auto)]
    pub lock: LockOf,
    /// Let scenarios run programs on this machine itself, as the user who runs this: `script` at an `outside` vantage without
    /// an image. `parallax plan` lists them.
    #[arg(long)]
    pub allow_host_programs: bool,
    /// Leave everything standing at the end, with a kubeconfig and the authorities' certificates in the run's folder;
    /// `parallax down` takes it down.
    #[arg(long)]
    pub keep: bool,
    /// How much is under way at once.
    #[command(flatten)]
    pub at_once: AtOnce,
    /// Run environments and variants in a random order, drawn from SEED; without one a fresh seed is taken. It is printed,
    /// and the same seed gives the same order. Verdicts must not depend on it.
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    pub shuffle: Option<Option<u64>>,
    /// A matcher that is not shown to be able to fail makes the run red (exit 1): `any`, by a break that turned it red or by an
    /// answer that was altered in one place and judged again; `faults`, by a break. Judged are scenarios of which the run
    /// holds the baseline and every break.
    #[arg(long, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "any")]
    pub require_proof: Option<ProofBy>,
    /// Accept a run in which everything was skipped; else it exits 3, for it says nothing.
    #[arg(long)]
    pub allow_skips: bool,
    /// A scenario that cannot run here, because an image exists nowhere, makes the run red (exit 3). So it is where `CI` is
    /// set, unless `--allow-skips`.
    #[arg(long, conflicts_with = "allow_skips")]
    pub deny_skips: bool,
    /// Of this scenario a skip is expected, whatever keeps its images away.
    #[arg(long, value_name = "SCENARIO")]
    pub allow_skip: Vec<String>,
    /// Draw the random moments of repeats from this, instead of from what scenarios say: a run reports its seeds.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// How long the whole run may take, for example `30m`. Then it ends as at Ctrl-C: it cleans up, says which variants have
    /// no verdict, and exits 3.
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub timeout: Option<Span>,
    /// Where the run's folder with record and reports goes [default: target/e2e in the project].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Parses a duration that is greater than zero.
fn positive(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.to_duration().is_zero() { Err(format!("`{text}` is no time at all")) } else { Ok(span) }
}

/// How much is under way at once: the same for `e2e` and `plan`.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Load")]
pub struct AtOnce {
    /// How many environments (a namespace each) come up at once, on all clusters together, which is what keeps
    /// processors busy; by default one and a half for each processor, and 8 at most. A node that starts counts as one.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// How many environments stand at once, on all clusters together: one whose steps wait takes memory and no processor.
    /// By default as many as memory allows, and three for each processor at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub environments: Option<u16>,
    /// How many clusters stand at once; by default two more than there are processors, as far as memory allows. Further ones
    /// start when others are done.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clusters: Option<u16>,
}

/// Which scenarios and breaks: the same for `e2e`, `list` and `plan`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Scenarios by name (`presigned-url`), by path (`presign`, `presign/presigned-url`, the file itself), by pattern
    /// (`presign/*`), or one break (`presign/presigned-url+no-rewrite`). Without any: everything.
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Only scenarios with this label; `!LABEL` leaves those with it out. Several: any of the labels, none of the others.
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Only this break (or pattern) of the scenarios chosen; may be given several times.
    #[arg(long = "break", value_name = "NAME", conflicts_with = "breaks")]
    pub only_breaks: Vec<String>,
    /// Which breaks to run beside the baselines.
    ///
    /// `changed` leaves out the breaks of a scenario only where there is evidence that it is as it was when they were
    /// green: in their last run on this machine (the scenario's folder, its fixtures, the recipes and lock entries of its
    /// images, the program itself and --k3s are all the same, by digest), or else on git's main (no file of the
    /// scenario, its fixtures, of images/, or of the program where it is built from this project, differs between the
    /// working tree and where the branch left origin/main, or main; on main itself that says nothing). A break whose
    /// last run was red counts as changed. Where there is no evidence, it is run. What is left out is said.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Breaks::All)]
    pub breaks: Breaks,
    /// Only variants that were red in the last run (its record is in target/e2e/latest, or in --out): failed, ended in an
    /// error, or were never reached.
    #[arg(long)]
    pub failed: bool,
}

/// Which breaks are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Breaks {
    /// None: baselines only.
    None,
    /// Those of scenarios that changed since they were green.
    Changed,
    /// All.
    #[default]
    All,
}

/// Which node image a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum K3s {
    /// The published one where it can be had, else the one built from source; the report says which.
    #[default]
    Auto,
    /// The published one; an error where it cannot be had.
    Published,
    /// The one built from source.
    Built,
}

/// Whose images.lock and recipes a run goes by. They name images that run privileged, and tools that run on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LockOf {
    /// The project's own where it has them; but where `CI` is set, only if they are the shipped ones.
    #[default]
    Auto,
    /// The project's own where it has them: you trust whoever wrote them.
    Project,
    /// The shipped ones, whatever the project has.
    Shipped,
}

/// Arguments of `lint`.
#[derive(Clone, Debug, Args)]
pub struct Lint {
    /// Files or folders, or scenarios by name, path or pattern as for `e2e`; without any, everything.
    #[arg(value_name = "PATH|FILTER")]
    pub paths: Vec<String>,
    /// Only scenarios with this label, as for `e2e`; what cannot be read has none, and is told whatever its label.
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Exit 2 if there is a warning, too.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// Which variants.
    #[command(flatten)]
    pub selection: Selection,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Which variants.
    #[command(flatten)]
    pub selection: Selection,
    /// How much is to be under way at once: the expected time depends on it.
    #[command(flatten)]
    pub at_once: AtOnce,
    /// In the order of this seed, as for `e2e`.
    #[arg(long, value_name = "SEED", require_equals = true)]
    pub shuffle: Option<u64>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Doctor {
    /// Install and start an engine where there is none.
    #[arg(long)]
    pub provision: bool,
    /// Look for the programs that this repository's tests need, too; with --provision, install those that are missing.
    #[arg(long)]
    pub tests: bool,
}

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// The record, or the run's folder [default: target/e2e/latest in the project].
    #[arg(value_name = "RECORD")]
    pub record: Option<PathBuf>,
    /// Where to write the JUnit report [default: junit.xml beside the record].
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// The record, or the run's folder [default: target/e2e/latest in the project]; or a presigned URL, in quotes.
    #[arg(value_name = "RECORD|URL")]
    pub what: Option<String>,
    /// Only this scenario, variant or step.
    #[arg(value_name = "VARIANT|STEP")]
    pub only: Option<String>,
    /// Explain the steps that failed as declared, too.
    #[arg(long)]
    pub all: bool,
    /// What somebody's log shows of the request, to be compared with the URL; `@FILE` reads a file, `-` standard input.
    ///
    /// It may be `METHOD URL`, the head of a request (as `curl -v` prints it), a line of the access log of nginx, Apache,
    /// Traefik, Envoy or `HAProxy`, or the request's lines of `mc admin trace -v`. What the text does not show counts as
    /// unchanged.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub saw: Option<String>,
    /// The environment variable with the secret key that signed. With it the comparison becomes a proof.
    #[arg(long, value_name = "VAR", requires = "saw")]
    pub secret_env: Option<String>,
    /// The method that the URL was signed for, if the URL does not say it.
    #[arg(long, value_name = "METHOD", requires = "saw")]
    pub method: Option<String>,
}

/// Arguments of `schema` and `docs`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Schema {
    /// Write nothing; fail where a file is not what would be written.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `reaper`: whatever the engine room passes.
#[derive(Clone, Debug, Args)]
pub struct Reaper {
    /// Passed through.
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

fn concat_help(examples: &str) -> String {
    format!("{examples}\n{EXIT_CODES}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_people_see_is_explained() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        }
    }
}

/// What shows that a matcher can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProofBy {
    /// A break that turned it red, or an altered answer.
    Any,
    /// A break that turned it red.
    Faults,
}
