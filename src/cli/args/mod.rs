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
mod versions;

use std::path::PathBuf;

pub use self::check::Check;
pub use self::e2e::{AtOnce, Common, E2e, HostPrograms, Kept, ProofBy, Theirs};
pub use self::explain::Explain;
pub use self::images::{Images, ImagesCommand};
pub use self::merge::Merge;
pub use self::selection::{Breaks, Selection, Shard};
pub use self::shards::{Form, Shards};
pub use self::shells::{Completions, Manual, Shell};
pub use self::standing::{Down, Enter, Exec, Hold, Logs, Repro, Rerun, Up, Which};
pub use self::versions::Versions;
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
  parallax e2e --stores seaweedfs,versitygw                by store
  parallax e2e --failed                                    what was red in the last run
  parallax e2e --breaks changed                            every baseline, and breaks where something changed
  parallax e2e --require-proof=faults --shuffle            the strictest: every matcher turned red by a break, in a random order
  parallax e2e --provision                                 on a bare machine, as root
  parallax e2e --shard 2/3                                 the second of three parts; `parallax merge` joins their records
  parallax e2e app --kubeconfig team.yaml --namespace team in your own cluster, in a namespace that you administer
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
  parallax status                                     what is kept, and how to reach it
  parallax rerun outside                              one step again
  parallax down                                       remove it
";

/// End-to-end tests for S3 storage in Kubernetes, seen from inside and outside the cluster at once.
///
/// Parallax brings up a cluster and a store in containers. It asks the same questions from a pod and from outside, and
/// says whether the answers agree. Each scenario has a baseline, in which every step must hold, and breaks. A break is
/// a small change that must make named steps fail, each with a named cause.
#[derive(Debug, Parser)]
#[command(name = "parallax", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// The folder that contains `scenarios/` [default: the current folder, or the nearest folder above it that contains
    /// `scenarios/`].
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Print on standard error what the harness does: repeated requests, broken watches, ignored errors. Given twice
    /// (`-vv`), also print each request to the apiserver. The file `harness.log` of a run contains all of this.
    /// `RUST_LOG` filters the output and the file.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios and their breaks, and report the verdicts.
    #[command(after_long_help = concat_help(E2E_EXAMPLES))]
    E2e(E2e),
    /// Create a project in this folder: a first scenario and a .gitignore.
    ///
    /// The command overwrites no file, and prints which commands to run next.
    #[command(
        after_long_help = "Examples:\n  parallax init\n  parallax --project storage-tests init    in another folder"
    )]
    Init,
    /// Check scenario and fixture files. The command needs no engine.
    ///
    /// For each mistake, prints the file, the line and the column, shows the line, and names the likely fix.
    #[command(after_long_help = "Examples:\n  parallax lint\n  parallax lint scenarios/presign/presigned-url")]
    Lint(Lint),
    /// List scenarios and their breaks.
    #[command(
        after_long_help = "Examples:\n  parallax list\n  parallax list presign --breaks none\n  parallax list --json"
    )]
    List(List),
    /// Show what a run would do, without doing it. The command needs no engine.
    ///
    /// Prints the images, certificates, DNS rules, clusters with their traits, the variants that share a cluster, the
    /// order, and the expected duration. The duration is estimated from earlier runs on this machine.
    #[command(after_long_help = "Examples:\n  parallax plan\n  parallax plan presign/presigned-url --json")]
    Plan(Plan),
    /// Show or obtain the images that scenarios need.
    #[command(
        after_long_help = "Examples:\n  parallax images list\n  parallax images fetch\n  parallax images build\n  parallax images build minio --provision\n  parallax images bundle presign -o images.tar\n  parallax images load images.tar"
    )]
    Images(Images),
    /// Bring up one variant, run its flow, and keep it running, so that you can examine it and run its steps again.
    ///
    /// Prints how to reach the variant: lines for kubectl, aws, mc and curl that you can paste into a shell. A
    /// background process keeps the environment until `parallax down`. Commands such as `rerun` and `exec` find the
    /// environment by themselves.
    #[command(after_long_help = UP_EXAMPLES)]
    Up(Up),
    /// Bring up a variant that failed on another machine, from the bundle of its run, and stop before the failed step.
    ///
    /// A run with failed variants writes the bundle into its folder. The bundle contains the scenario, its fixtures,
    /// the names of the images, and the record. The command prints what differs on this machine, for example the
    /// version or an image. A bundle can run programs, as a scenario can, so bring up only bundles that you trust.
    #[command(
        after_long_help = "Examples:\n  parallax repro target/e2e/latest/repro.tar\n  parallax repro repro.tar presign/presigned-url+no-rewrite && parallax rerun inside"
    )]
    Repro(Repro),
    /// List the variants that `up` keeps running, with what each one does at the moment, and how to reach it.
    #[command(after_long_help = "Examples:\n  parallax status")]
    Status,
    /// Run one step again, or the whole flow, in the environment that `parallax up` keeps running.
    ///
    /// The scenario's file is read again first. A step runs in the environment as it is now, with the results of
    /// earlier steps. Before the whole flow runs again, the objects that the flow created earlier are removed. Exits
    /// 0 if the steps that ran are as declared, otherwise 1. If fixtures, vantages or traits changed, the command
    /// says so and exits 2.
    #[command(
        after_long_help = "Examples:\n  parallax rerun\n  parallax rerun outside\n  parallax rerun outside --run r5f09a2c1"
    )]
    Rerun(Rerun),
    /// Run the steps again each time the scenario's file is saved, from the first step that changed.
    ///
    /// Only changes of steps can be applied. If fixtures, vantages or traits changed, the command says so. Then run
    /// `parallax down` and `parallax up` again.
    #[command(after_long_help = "Examples:\n  parallax up presign/presigned-url && parallax watch")]
    Watch(Which),
    /// Run a program at a vantage of a variant that `up` keeps running: in the vantage's pod, with its environment.
    ///
    /// The program gets the same `AWS_*` variables of the store as a `script` step. Programs find trusted certificates
    /// by variables such as `SSL_CERT_FILE` and `AWS_CA_BUNDLE`. These variables name the certificates that the vantage
    /// trusts. The command exits with the program's exit code.
    #[command(
        after_long_help = "Examples:\n  parallax exec --from app -- aws s3 ls\n  parallax exec --from app -- sh -c 'cat /etc/resolv.conf'"
    )]
    Exec(Exec),
    /// Open a shell at a vantage of a variant that `up` keeps running, or run a program there in your terminal.
    ///
    /// The shell gets the same environment variables and trusted certificates as a program of `exec`. What you type and
    /// what the shell prints is not recorded and not redacted. Without a terminal, the command works like `exec`.
    /// Without a terminal and without a program, `sh` reads its commands from standard input. Exits with the exit code
    /// of the shell or the program.
    #[command(
        after_long_help = "Examples:\n  parallax shell --from app\n  parallax shell --from app -- aws s3 ls\n  echo 'curl -sS $AWS_ENDPOINT_URL' | parallax shell --from host"
    )]
    Shell(Enter),
    /// Print the last log lines of a variant that `up` keeps running: of every pod, or with `--of` of one pod, node or
    /// container.
    ///
    /// Secrets are redacted. The command also works while something in the environment is not ready.
    #[command(
        after_long_help = "Examples:\n  parallax logs                              every pod\n  parallax logs --of store --tail 200        a fixture\n  parallax logs r5f09a2c1 --of node          a node\n  parallax logs --of world                   what the name server outside was asked"
    )]
    Logs(Logs),
    /// Remove the environments that `up` or `e2e --keep` keeps running.
    #[command(
        after_long_help = "Examples:\n  parallax down\n  parallax down r5f09a2c1\n  parallax down target/e2e/r5f09a2c1\n  parallax down --older-than 2h    every run of this project that began before that"
    )]
    Down(Down),
    /// Keeps a variant running until `down` removes it. `up` starts this command as a background process.
    #[command(hide = true)]
    Hold(Hold),
    /// Remove what killed runs left behind.
    ///
    /// Finds containers, networks and volumes by the ledgers of runs and by label. It does not touch runs whose process
    /// is alive, or that `e2e --keep` keeps.
    #[command(after_long_help = "Examples:\n  parallax gc")]
    Gc,
    /// Check whether a run can work on this machine, and what may cause problems.
    ///
    /// Checks the engine, privileges, cgroups, inotify, disk, memory, ports, the sources of images, the digests in
    /// images.lock, the programs of Parallax that images contain, the clock, DNS, and the variables for proxies and
    /// certificates. Also lists every program that a run, an image recipe or a test looks for: its path, its users,
    /// and, if it is missing, how to install it.
    #[command(
        after_long_help = "Examples:\n  parallax doctor\n  parallax doctor --json                 for a program\n  parallax doctor --fix                  also install and start an engine (Debian or Ubuntu, as root)\n  parallax doctor --tests --provision    also what this repository's tests need"
    )]
    Doctor(Doctor),
    /// Write the reports of a recorded run again.
    ///
    /// Prints the summary, and writes report.html and junit.xml into the folder of the record. Exits 0 if the reports
    /// were written, whatever the verdicts of the run are.
    #[command(
        after_long_help = "Examples:\n  parallax report\n  parallax report target/e2e/r5f09a2c1\n  parallax report record.jsonl --junit out.xml"
    )]
    Report(Report),
    /// Join the records of all shards of a run (`e2e --shard`), and make one report of them.
    ///
    /// Writes record.jsonl, report.html and junit.xml into a new folder, and prints the summary. The exit code is the
    /// one that a single run of all variants would have. If a shard is missing, its variants have no verdict, and the
    /// exit code is 3. The command refuses records of different scenarios, versions or selections.
    #[command(after_long_help = merge::EXAMPLES)]
    Merge(Merge),
    /// Print a manifest that runs a selection of scenarios in shards on a Kubernetes cluster. Pass it to `kubectl
    /// create -f -`.
    ///
    /// The manifest is a Job with one privileged pod for each shard. Each pod has a container engine of its own, and
    /// uploads its record to a bucket. `parallax merge s3://...` makes one report of the records. The command starts
    /// nothing and sends no request to a cluster.
    #[command(after_long_help = shards::EXAMPLES)]
    Shards(Shards),
    /// Explain why steps failed, from a run's record alone; or what is wrong with a presigned URL, offline.
    ///
    /// For a record: takes the variants that are not as declared, and explains each step that failed or was blocked,
    /// with its evidence. With `--all`, or with the name of a variant or step, also explains variants that are as
    /// declared. The command does not read scenario files.
    ///
    /// For a URL: prints the host, the object, the region, the period in which the URL is valid, and hints. It prints
    /// no credentials. The URL may contain the escapes of a shell, JSON or HTML. With `--saw` and a log line of a proxy
    /// or of the store, it also prints the differences between the URL and the request in this line. With
    /// `--secret-env`, it proves that there is no other difference.
    ///
    /// Exits 0 if the explanation was printed, whether or not something is wrong. Exits 2 if the URL or the log cannot
    /// be read, and 3 if a record cannot be read.
    #[command(
        after_long_help = "Examples:\n  parallax explain                                    the last run\n  parallax explain record.jsonl outside               one step\n  parallax explain target/e2e/r5f09a2c1 presign/presigned-url+expired\n  parallax explain 'https://minio.example.com/photos/a.txt?X-Amz-Algorithm=...'\n  parallax explain URL --saw '10.0.0.1 - - [...] \"GET /s3/photos/a.txt?X-Amz-... HTTP/1.1\" 403 421'\n  mc admin trace -v store | parallax explain URL --saw - --secret-env MINIO_ROOT_PASSWORD"
    )]
    Explain(Explain),
    /// Check a store and a cluster of your own, from this machine and from a pod. The command needs no scenario and no
    /// engine.
    ///
    /// Asks the same questions on both sides, and prints the answers in two columns: DNS, TLS, the store, clocks,
    /// keys, presigned URLs that one side signs and the other opens, virtual-host style, CORS, and web identity. The
    /// command announces each object before it creates the object, and removes the objects at the end. It never
    /// prints keys. `docs/your-own-stack.md` explains each row.
    ///
    /// Exits 0 if no row has a problem, and 1 if a row has a problem or no question could be asked inside the cluster.
    /// Exits 2 if the command line is wrong, and 3 if something could not be removed.
    #[command(
        after_long_help = "Examples:\n  parallax check minio.example.com --outside-only\n  parallax check minio.example.com -n foo --image registry.example.com/parallax-agent:1\n  parallax check https://minio.example.com -n foo --image agent:1 --bucket photos --credentials-from secret/minio\n  parallax check minio.example.com -n foo --image agent:1 --bucket photos --service-account app --ca ca.pem\n  parallax check minio.example.com -n foo --attach deploy/app --ca ca.pem\n  parallax check minio.example.com --outside-only --junit check.xml    for CI"
    )]
    Check(Check),
    /// Print the script with which a shell completes command lines, including the names of scenarios and breaks.
    #[command(after_long_help = shells::COMPLETIONS_EXAMPLES)]
    Completions(Completions),
    /// Print the manual page of a command, or write the manual pages of all commands.
    #[command(after_long_help = shells::MAN_EXAMPLES)]
    Man(Manual),
    /// Write the JSON schemas of scenario and fixture files, which editors use, and of the lines of a record, which
    /// programs use.
    #[command(
        after_long_help = "Examples:\n  parallax schema            write them\n  parallax schema --check    only say whether they are up to date"
    )]
    Schema(Schema),
    /// Write the reference pages of this repository (docs/reference). They are generated from the types of the program.
    #[command(
        after_long_help = "Examples:\n  parallax docs            write them\n  parallax docs --check    only say whether they are up to date"
    )]
    Docs(Schema),
    /// Print a table of what each S3 store supports. The table is made from the steps that show a capability of a
    /// store. The command needs no engine.
    #[command(after_long_help = STORES_EXAMPLES)]
    Stores(Stores),
    /// Waits for the end of the harness, and removes what a killed run left. The harness starts this command itself.
    #[command(hide = true)]
    Reaper(Reaper),
}

/// The node image that a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum K3s {
    /// The published image if it is available, otherwise the one built from source. The report names the image that was
    /// used.
    #[default]
    Auto,
    /// The published image. The run fails if it is not available.
    Published,
    /// The image built from source.
    Built,
}

/// The source of the list of images (images.lock) and of the recipes. These files name images that run privileged,
/// and tools that run on this machine, so their author must be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LockOf {
    /// The files of the project, if it has any, and otherwise the shipped files. If `CI` is set, the project's files
    /// must be equal to the shipped files.
    #[default]
    Auto,
    /// The files of the project, if it has any, and otherwise the shipped files. Use this value only if you trust the
    /// author of the project's files.
    Project,
    /// The files that Parallax ships, even if the project has others.
    Shipped,
}

/// Arguments of `lint`.
#[derive(Clone, Debug, Args)]
pub struct Lint {
    /// Files or folders to check, or scenarios by name, path or pattern, as for `e2e`. Without any, everything is
    /// checked.
    #[arg(value_name = "PATH|FILTER")]
    pub paths: Vec<String>,
    /// Check only scenarios with this label, as for `e2e`. A scenario that cannot be read is reported in any case.
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Also exit 2 if there is only a warning.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// The options that select the variants to list.
    #[command(flatten)]
    pub selection: Selection,
    /// Print the list as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The options that select the variants of the plan.
    #[command(flatten)]
    pub selection: Selection,
    /// The limits of what runs at the same time. The expected duration depends on them.
    #[command(flatten)]
    pub at_once: AtOnce,
    /// Show the plan in the random order of this seed, as for `e2e`.
    #[arg(long, value_name = "SEED", require_equals = true)]
    pub shuffle: Option<u64>,
    /// Print the plan as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Doctor {
    /// Install and start a container engine if there is none, and raise limits of the kernel that are too low.
    #[arg(long, visible_alias = "fix")]
    pub provision: bool,
    /// Print the result as JSON with three keys: `can-run` (true if an engine answers, and no check has the state
    /// `error`), `checks` (name, state, seen, why, fix) and `programs`. With `--fix`, there is a fourth key, `fixed`:
    /// what the command has repaired.
    #[arg(long)]
    pub json: bool,
    /// Also look for the programs that this repository's tests need. With `--provision`, also install those that are
    /// missing.
    #[arg(long)]
    pub tests: bool,
}

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// The path of the record or of the run's folder, or the id of a run of this project [default: target/e2e/latest in
    /// the project].
    #[arg(value_name = "RECORD")]
    pub record: Option<PathBuf>,
    /// The path of the JUnit report to write [default: junit.xml beside the record].
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write no file. Print as Markdown the tables that the steps of the run fill (with their key `shows`).
    #[arg(long, conflicts_with = "junit")]
    pub tables: bool,
}

/// Arguments of `schema` and `docs`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Schema {
    /// Write nothing, and fail if a file differs from what would be written.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `stores`.
#[derive(Clone, Debug, Args)]
pub struct Stores {
    /// Print the table as JSON.
    #[arg(long, conflicts_with_all = ["write", "check"])]
    pub json: bool,
    /// Compare the table with the record of a run (the file, the run's folder, or the run's id). Exits 1 if the run saw
    /// something else than the table says about the versions of the run.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["write", "check"])]
    pub of: Option<PathBuf>,
    /// Write the table to docs/stores.md, and what shows it to docs/stores-proof.md.
    #[arg(long)]
    pub write: bool,
    /// Write nothing, and fail if one of these files differs from what would be written.
    #[arg(long, conflicts_with = "write")]
    pub check: bool,
}

const STORES_EXAMPLES: &str = "Examples:
  parallax stores                         the table, as Markdown
  parallax stores --json                  the same for programs
  parallax stores --of target/e2e/latest  compared with what a run saw
  parallax stores --write                 renew docs/stores.md";

/// Arguments of `reaper`. The engine crate starts the command with these arguments.
#[derive(Clone, Debug, Args)]
pub struct Reaper {
    /// The arguments that the command hands to the engine crate unchanged: the run's id, the engine's endpoint and the
    /// state folder.
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

    /// Returns the parallax commands in a line of the help's examples, without the explanation at the end of the line
    /// and without a redirection.
    fn commands(line: &str) -> impl Iterator<Item = &str> {
        let line = line.split("  ").next().unwrap_or_default();
        let line = line.split(" > ").next().unwrap_or_default();
        line.split([';', '|'])
            .flat_map(|part| part.split(" && "))
            .map(str::trim)
            .filter(|part| part.starts_with("parallax "))
    }
}
