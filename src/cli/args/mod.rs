//! The command line. The doc comments in this module are the help text that users read.

mod check;
mod e2e;
mod explain;
mod images;
mod merge;
mod selection;
mod shards;
mod shells;
mod standing;

use std::path::PathBuf;

pub use self::check::Check;
pub use self::e2e::{AtOnce, Common, E2e, HostPrograms, Kept, ProofBy};
pub use self::explain::Explain;
pub use self::images::{Images, ImagesCommand};
pub use self::merge::Merge;
pub use self::selection::{Breaks, Selection, Shard};
pub use self::shards::{Form, Shards};
pub use self::shells::{Completions, Manual, Shell};
pub use self::standing::{Down, Enter, Exec, Hold, Logs, Repro, Rerun, Up, Which};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

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
  parallax e2e --shard 2/3                                 the second of three parts; `parallax merge` joins their records
  parallax e2e --max-fail 3 --retry-machine 1              stop after three failures; run again what the machine broke

The last line on standard output is `N passed, N failed, N skipped`.
The record and the reports are in target/e2e/RUN; target/e2e/latest is the last run.
";

const UP_EXAMPLES: &str = "\
Examples:
  parallax up presign/presigned-url                   the baseline
  parallax up presign/presigned-url+no-rewrite        one break
  parallax up presign/presigned-url --until upload    only the steps up to and including this one
  parallax up presign/presigned-url --before inside   only the steps before this one
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
    /// The folder that contains `scenarios/` [default: the nearest one, from the current folder upwards].
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Show what the harness does, on standard error: repeated requests, broken watches, ignored errors. Given twice: also
    /// each request to the apiserver. The file `harness.log` of a run has all of it. `RUST_LOG` filters both.
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
    #[command(
        after_long_help = "Examples:\n  parallax init\n  parallax --project storage-tests init    in another folder"
    )]
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
    /// Bring up one variant, run its flow, and keep it running, so that you can look inside and run its steps again.
    ///
    /// Prints how to reach it: lines for kubectl, aws, mc and curl that you can paste into a shell. A background process
    /// keeps the environment until `parallax down`. The other commands find it by themselves.
    #[command(after_long_help = UP_EXAMPLES)]
    Up(Up),
    /// Bring up a variant that failed on another machine, from the bundle of its run, and stop before the failed step.
    ///
    /// A failed run writes the bundle into its folder: the scenario, its fixtures, the images' names, and the record. The
    /// command says what is different here: the version, an image. A bundle is a program, as a scenario is: bring up only
    /// what you trust.
    #[command(
        after_long_help = "Examples:\n  parallax repro target/e2e/latest/repro.tar\n  parallax repro repro.tar presign/presigned-url+no-rewrite && parallax rerun inside"
    )]
    Repro(Repro),
    /// Show the variants that `up` keeps running, what each one does at the moment, and how to reach it.
    #[command(after_long_help = "Examples:\n  parallax status")]
    Status,
    /// Run one step again, or the whole flow, in the environment that `parallax up` keeps running.
    ///
    /// A step runs in the environment as it is now, with the results of earlier steps. Before the whole flow runs, the
    /// objects that it created are removed. Exits 0 if the steps that ran are as declared, otherwise 1.
    #[command(
        after_long_help = "Examples:\n  parallax rerun\n  parallax rerun outside\n  parallax rerun outside --run r5f09a2c1"
    )]
    Rerun(Rerun),
    /// Run the steps again each time the scenario's file is saved, from the first step that changed.
    ///
    /// Only changes of steps can be applied. If fixtures, vantages or traits changed, the command says so: then run
    /// `parallax down` and `parallax up` again.
    #[command(after_long_help = "Examples:\n  parallax up presign/presigned-url && parallax watch")]
    Watch(Which),
    /// Run a program at a vantage of a variant that `up` keeps running: in the vantage's pod, with its environment.
    ///
    /// The program gets the `AWS_*` variables of the store, as a `script` step does, and the variables by which programs
    /// find trusted certificates (`SSL_CERT_FILE`, `AWS_CA_BUNDLE` and others) name those of the vantage. Exits with the
    /// program's exit code.
    #[command(
        after_long_help = "Examples:\n  parallax exec --from app -- aws s3 ls\n  parallax exec --from app -- sh -c 'cat /etc/resolv.conf'"
    )]
    Exec(Exec),
    /// Open a shell at a vantage of a variant that `up` keeps running, or run a program there in your terminal.
    ///
    /// The shell has the environment and the trust that `exec` gives a program. What is typed and shown is not recorded and
    /// not redacted. Without a terminal, it is `exec`; without a command, `sh` reads standard input then. Exits with the
    /// exit code of the shell or the program.
    #[command(
        after_long_help = "Examples:\n  parallax shell --from app\n  parallax shell --from app -- aws s3 ls\n  echo 'curl -sS $AWS_ENDPOINT_URL' | parallax shell --from host"
    )]
    Shell(Enter),
    /// Show the last log lines of a variant that `up` keeps running: of every pod, or with `--of` of one pod, node or
    /// container.
    ///
    /// Secrets are redacted. It also works if something in the environment does not become ready.
    #[command(
        after_long_help = "Examples:\n  parallax logs                              every pod\n  parallax logs --of store --tail 200        a fixture\n  parallax logs r5f09a2c1 --of node          a node\n  parallax logs --of world                   what the name server outside was asked"
    )]
    Logs(Logs),
    /// Remove what `up` or `e2e --keep` keeps running.
    #[command(
        after_long_help = "Examples:\n  parallax down\n  parallax down r5f09a2c1\n  parallax down target/e2e/r5f09a2c1\n  parallax down --older-than 2h    every run of this project that began before that"
    )]
    Down(Down),
    /// Holds a variant that stands. Started by `up`.
    #[command(hide = true)]
    Hold(Hold),
    /// Remove what killed runs left behind.
    ///
    /// Finds containers, networks and volumes by the ledgers of runs and by label. It does not touch runs whose process is
    /// alive, or that `e2e --keep` keeps.
    #[command(after_long_help = "Examples:\n  parallax gc")]
    Gc,
    /// Check whether a run can work on this machine, and what may cause problems.
    ///
    /// Checks the engine, privileges, cgroups, inotify, disk, memory, ports, image sources, the clock, DNS, and the variables
    /// for proxies and certificates. Lists every program that a run, an image recipe or a test looks for: its path, what
    /// needs it, and, if it is missing, how to install it.
    #[command(
        after_long_help = "Examples:\n  parallax doctor\n  parallax doctor --json                 for a program\n  parallax doctor --fix                  also install and start an engine (Debian or Ubuntu, as root)\n  parallax doctor --tests --provision    also what this repository's tests need"
    )]
    Doctor(Doctor),
    /// Make the reports of a recorded run again.
    ///
    /// Prints the summary, and writes report.html and junit.xml into the folder of the record. Exits 0 if that worked, no
    /// matter how the run ended.
    #[command(
        after_long_help = "Examples:\n  parallax report\n  parallax report target/e2e/r5f09a2c1\n  parallax report record.jsonl --junit out.xml"
    )]
    Report(Report),
    /// Make one report of the records of all shards of a run (`e2e --shard`).
    ///
    /// Writes record.jsonl, report.html and junit.xml into a new folder, and prints the summary. Exits as one run of
    /// everything would. If a shard is missing, its variants have no verdict, and the exit code is 3. Records of different
    /// scenarios, versions or selections are refused.
    #[command(after_long_help = merge::EXAMPLES)]
    Merge(Merge),
    /// Print what runs a selection of scenarios in shards on a Kubernetes cluster, for `kubectl create -f -`.
    ///
    /// The Job has one privileged pod for each shard, with a container engine of its own. Each puts its record into a
    /// bucket, and `parallax merge s3://...` makes one report of them. The command asks no cluster and starts nothing.
    #[command(after_long_help = shards::EXAMPLES)]
    Shards(Shards),
    /// Explain why steps failed, from a run's record alone; or what is wrong with a presigned URL, offline.
    ///
    /// For a record: explains each step that failed or was blocked, with its evidence, in the variants that are not as
    /// declared. With --all, or with the name of a variant or step, also in variants that are as declared. Scenario files
    /// are not read.
    ///
    /// For a URL: shows the host, object, region and time for which it is signed, and hints. Credentials are not shown. The
    /// URL may be escaped as the shell, JSON or HTML escapes it. With --saw and a line of a log: shows the differences
    /// between the URL and the request. With --secret-env, proves that there is no other difference.
    ///
    /// Exits 0 whether or not something is found to be wrong, 2 if the URL or the log cannot be read, 3 if a record
    /// cannot.
    #[command(
        after_long_help = "Examples:\n  parallax explain                                    the last run\n  parallax explain record.jsonl outside               one step\n  parallax explain target/e2e/r5f09a2c1 presign/presigned-url+expired\n  parallax explain 'https://minio.example.com/photos/a.txt?X-Amz-Algorithm=...'\n  parallax explain URL --saw '10.0.0.1 - - [...] \"GET /s3/photos/a.txt?X-Amz-... HTTP/1.1\" 403 421'\n  mc admin trace -v store | parallax explain URL --saw - --secret-env MINIO_ROOT_PASSWORD"
    )]
    Explain(Explain),
    /// Look at a store and a cluster of your own, from this machine and from a pod. Needs no scenario and no engine.
    ///
    /// Asks the same on both sides and shows two columns: DNS, TLS, the store, clocks, keys, presigned URLs that each side
    /// opens of the other, virtual-host style, CORS, and web identity. Says what it makes before it makes it, and removes
    /// it. Keys are never printed. `docs/your-own-stack.md` explains each row.
    ///
    /// Exits 0 if nothing is red, 1 if something is or nothing could be asked inside, 2 if the command line is wrong, 3 if
    /// something could not be removed.
    #[command(
        after_long_help = "Examples:\n  parallax check minio.example.com --outside-only\n  parallax check minio.example.com -n foo --image registry.example.com/parallax-agent:1\n  parallax check https://minio.example.com -n foo --image agent:1 --bucket photos --credentials-from secret/minio\n  parallax check minio.example.com -n foo --image agent:1 --bucket photos --service-account app --ca ca.pem\n  parallax check minio.example.com --outside-only --junit check.xml    for CI"
    )]
    Check(Check),
    /// Print the script that completes command lines in a shell, with the names of scenarios and breaks.
    #[command(after_long_help = shells::COMPLETIONS_EXAMPLES)]
    Completions(Completions),
    /// Print the manual page of a command, or write the pages of all of them.
    #[command(after_long_help = shells::MAN_EXAMPLES)]
    Man(Manual),
    /// Write the JSON schemas of scenario and fixture files, for editors, and of a record's lines, for programs.
    #[command(
        after_long_help = "Examples:\n  parallax schema            write them\n  parallax schema --check    only say whether they are up to date"
    )]
    Schema(Schema),
    /// Write the reference pages of this repository (docs/reference), made from the types.
    #[command(
        after_long_help = "Examples:\n  parallax docs            write them\n  parallax docs --check    only say whether they are up to date"
    )]
    Docs(Schema),
    /// Show which store does what, made from what the steps of scenarios show of each store. Needs no engine.
    #[command(after_long_help = STORES_EXAMPLES)]
    Stores(Stores),
    /// Outlives a run and removes what it left. Started by the harness itself.
    #[command(hide = true)]
    Reaper(Reaper),
}

/// Which node image a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum K3s {
    /// The published image if it is available, otherwise the one built from source. The report says which.
    #[default]
    Auto,
    /// The published image; an error if it is not available.
    Published,
    /// The image built from source.
    Built,
}

/// Which images.lock and recipes a run uses. They name images that run privileged, and tools that run on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LockOf {
    /// Those of the project, if it has any. If `CI` is set, they must be equal to the shipped ones.
    #[default]
    Auto,
    /// Those of the project, if it has any. You trust their author.
    Project,
    /// The shipped ones, even if the project has others.
    Shipped,
}

/// Arguments of `lint`.
#[derive(Clone, Debug, Args)]
pub struct Lint {
    /// Files or folders, or scenarios by name, path or pattern as for `e2e`; without any, everything.
    #[arg(value_name = "PATH|FILTER")]
    pub paths: Vec<String>,
    /// Only scenarios with this label, as for `e2e`. A scenario that cannot be read is reported with any label.
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
    /// How much runs at the same time. The expected time depends on it.
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
    /// Install and start a container engine if there is none, and raise the kernel's limits that are too low.
    #[arg(long, visible_alias = "fix")]
    pub provision: bool,
    /// As JSON: `can-run` (an engine answers, and no check has the state `error`), `checks` (name, state, seen, why, fix)
    /// and `programs`.
    #[arg(long)]
    pub json: bool,
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
    /// Write nothing, and print the tables that the steps of the record show, as Markdown.
    #[arg(long, conflicts_with = "junit")]
    pub tables: bool,
}

/// Arguments of `schema` and `docs`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Schema {
    /// Write nothing; fail if a file differs from what would be written.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `stores`.
#[derive(Clone, Debug, Args)]
pub struct Stores {
    /// Print JSON.
    #[arg(long, conflicts_with_all = ["write", "check"])]
    pub json: bool,
    /// Compare the table with the record of a run (the file, or the run's folder): exit 1 if a step that shows something did not
    /// pass in it.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["write", "check"])]
    pub of: Option<PathBuf>,
    /// Write docs/stores.md.
    #[arg(long)]
    pub write: bool,
    /// Write nothing; fail if docs/stores.md differs from what would be written.
    #[arg(long, conflicts_with = "write")]
    pub check: bool,
}

const STORES_EXAMPLES: &str = "Examples:
  parallax stores                         the table, as Markdown
  parallax stores --json                  the same for programs
  parallax stores --of target/e2e/latest  compared with what a run saw
  parallax stores --write                 renew docs/stores.md";

/// Arguments of `reaper`, which the engine crate passes.
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

    /// Tests that each example in the help is a command line that the program accepts.
    #[test]
    fn every_command_shows_examples_that_parse() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> =
                help.lines().filter_map(|line| line.strip_prefix("  ")).flat_map(commands).collect();
            let own = format!("parallax {}", command.get_name());
            assert!(examples.iter().any(|it| it.contains(&own[9..])), "{own} shows no example");
            for example in examples {
                let words = shlex::split(example).unwrap_or_else(|| panic!("{example} has an open quote"));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("`{example}` is an example of {own}, but: {error}");
                }
            }
        }
    }

    /// Returns the parallax commands in a line of examples, without the explanation and without a redirection.
    fn commands(line: &str) -> impl Iterator<Item = &str> {
        let line = line.split("  ").next().unwrap_or_default();
        let line = line.split(" > ").next().unwrap_or_default();
        line.split([';', '|'])
            .flat_map(|part| part.split(" && "))
            .map(str::trim)
            .filter(|part| part.starts_with("parallax "))
    }
}
