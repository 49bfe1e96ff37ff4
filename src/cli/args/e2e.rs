//! The arguments of `e2e`, and the arguments that `e2e` shares with `up` and `plan`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use parallax_language::scenario::Span;

use super::{K3s, LockOf, Selection, Versions};
use crate::bucket::Place;

/// Arguments of `e2e`.
#[derive(Clone, Debug, Args)]
pub struct E2e {
    /// The options that select the variants to run.
    #[command(flatten)]
    pub selection: Selection,
    /// The options for the node image, the recipes, programs and folders.
    #[command(flatten)]
    pub common: Common,
    /// The options for what the run keeps after its end.
    #[command(flatten)]
    pub kept: Kept,
    /// The options for a cluster that the harness does not own.
    #[command(flatten)]
    pub theirs: Theirs,
    /// The options that limit how much runs at the same time.
    #[command(flatten)]
    pub at_once: AtOnce,
    /// Run environments and variants in a random order that depends on SEED. Without SEED, the run chooses a seed and
    /// prints it. Use this option to find verdicts that depend on the order. No verdict should depend on it.
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    pub shuffle: Option<Option<u64>>,
    /// Give each variant an environment of its own. Without this option, variants that change nothing in their
    /// environment share one, which is faster. Use this option to find verdicts that depend on what another variant
    /// left behind. No verdict should depend on that.
    #[arg(long, conflicts_with = "kubeconfig")]
    pub unshared: bool,
    /// Fail (exit 1) if a matcher is unproven. With `any`, a matcher is proven if it failed in a break or on an altered
    /// answer. With `faults`, it is proven only if it failed in a break. The option checks only those scenarios whose
    /// baseline and breaks all run.
    #[arg(long, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "any")]
    pub require_proof: Option<ProofBy>,
    /// Accept a run in which every variant was skipped. Without this option, such a run exits 3, because it tested
    /// nothing.
    #[arg(long)]
    pub allow_skips: bool,
    /// Fail (exit 3) if a scenario cannot run because one of its images cannot be obtained. This is the default if
    /// `CI` is set, unless `--allow-skips` is given. The option does not apply to a scenario whose image is built
    /// only on request: such a scenario is skipped unless the selection names it.
    #[arg(long, conflicts_with = "allow_skips")]
    pub deny_skips: bool,
    /// A scenario that may be skipped for any reason, without making the run fail. Can be repeated.
    #[arg(long, value_name = "SCENARIO")]
    pub allow_skip: Vec<String>,
    /// The seed of the random delays in `repeat` steps. It overrides the seeds in scenarios. The report of a run
    /// contains the seeds that the run used.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Start no further variant after N variants failed or ended with an error. Variants that are already running
    /// continue to their end. The report names the variants that were not started.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_fail: Option<u32>,
    /// Run a variant again, up to N times, if it has no verdict because the harness, the engine or the machine failed.
    /// A variant that is not as declared is never run again. The report names the variants that were run again, and the
    /// reasons.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5))]
    pub retry_machine: u32,
    /// The time limit of the whole run, for example `30m`. At the limit, the run stops as after Ctrl-C: it cleans up,
    /// reports which variants have no verdict, and exits 3.
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub timeout: Option<Span>,
    /// Upload the record and the reports to this folder of a bucket (`s3://BUCKET/FOLDER`). The run creates a folder in
    /// it: `shard-K-of-N` with `--shard`, and otherwise the run's id. `parallax merge` can read the records there.
    ///
    /// `AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, `AWS_CA_BUNDLE` and the other variables of the AWS CLI set the store
    /// and the credentials. Before anything starts, the run tests whether it can write to the bucket. If it cannot, it
    /// exits 3.
    #[arg(long, value_name = "s3://BUCKET/FOLDER")]
    pub upload: Option<Place>,
}

impl E2e {
    /// Returns the options that decide how a variant behaves, as arguments for a command line. With these arguments,
    /// another run behaves like this run.
    pub fn again(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.common.k3s != K3s::Auto {
            words.extend(["--k3s".to_owned(), word(&self.common.k3s)]);
        }
        words.extend(self.common.versions.again());
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
        words.extend(self.theirs.again());
        words
    }
}

/// Returns the value of an option in the form in which a user writes it on the command line.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// The options for a cluster that the harness does not own, and that stays after the run.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Your own cluster")]
pub struct Theirs {
    /// Run in the cluster of this kubeconfig, and start no cluster and no container. The run creates a namespace for
    /// each environment, changes nothing that it has not created, and removes everything before it ends. A scenario
    /// that needs more than the cluster gives is skipped, and the report contains the reason.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keep", "keep_on_failure", "provision", "k8s"])]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: the current context].
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub context: Option<String>,
    /// Run all environments in this existing namespace, one after the other. The rights of the namespace's
    /// administrator then suffice. Use a namespace without other workloads: a step that deletes or changes objects by
    /// name or label may also change the objects of other people.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub namespace: Option<String>,
    /// Allow the run to create cluster-scoped objects, and objects in other namespaces. The run removes these objects
    /// before it ends. It changes no existing object, and in particular not the cluster's CoreDNS.
    #[arg(long, requires = "kubeconfig")]
    pub allow_cluster_changes: bool,
    /// Assume that the cluster's nodes already have these images of images.lock, as `parallax images build` makes
    /// them. Without NAMES, the option means all images that no registry has. Without the option, the run reads the
    /// list of images in the status of each node. Such a list contains at most 50 images, and not every user may read
    /// it.
    #[arg(
        long, value_name = "NAMES", num_args = 0..=1, require_equals = true, value_delimiter = ',',
        default_missing_value = "", requires = "kubeconfig"
    )]
    pub images_present: Option<Vec<String>>,
    /// The address of a name server that vantages outside the cluster ask, in place of this machine's own name servers.
    /// Can be repeated.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "kubeconfig")]
    pub name_server: Vec<SocketAddr>,
}

impl Theirs {
    /// Returns the options for the user's own cluster as arguments of a command line, for [`E2e::again`].
    fn again(&self) -> Vec<String> {
        let path = self.kubeconfig.as_ref().map(|it| it.display().to_string());
        let named = [("--kubeconfig", &path), ("--context", &self.context), ("--namespace", &self.namespace)];
        let named = named.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value.clone()?]));
        let mut words: Vec<String> = named.flatten().collect();
        words.extend(self.name_server.iter().flat_map(|it| ["--name-server".to_owned(), it.to_string()]));
        words.extend(self.allow_cluster_changes.then(|| "--allow-cluster-changes".to_owned()));
        words.extend(self.images_present.as_ref().map(|images| match images.join(",") {
            all if all.is_empty() => "--images-present".to_owned(),
            some => format!("--images-present={some}"),
        }));
        words
    }
}

/// The options for what a run keeps after its end.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Kept {
    /// Remove nothing at the end of the run. The run's folder then contains a kubeconfig and the certificates of the
    /// authorities. `parallax down` removes everything. To examine a single variant, use `parallax up`.
    #[arg(long)]
    pub keep: bool,
    /// Remove nothing if a variant failed or ended with an error, as with `--keep`. To make this possible, nothing is
    /// removed during the run either, so select few variants.
    #[arg(long, conflicts_with = "keep")]
    pub keep_on_failure: bool,
}

/// The options of `e2e` and `up` for the node image, the recipes, programs and folders.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Install and start what is missing: a container engine, and the tools for image builds. This works on Debian and
    /// Ubuntu only, and needs root. The run reports each installation.
    #[arg(long)]
    pub provision: bool,
    /// The node image that the run uses.
    #[arg(long, value_enum, default_value_t = K3s::Auto)]
    pub k3s: K3s,
    /// The options for the versions of the systems under test.
    #[command(flatten)]
    pub versions: Versions,
    /// The source of the list of images (images.lock) and of the recipes.
    #[arg(long, value_enum, default_value_t = LockOf::Auto)]
    pub lock: LockOf,
    /// Allow scenarios to run programs on this machine, under your account: each `script` at an `outside` vantage
    /// without an image, and `helm` and `kustomize` for the fixtures of these names. `parallax plan` lists these programs.
    /// Scripts can use your files. Without HOW, the programs are isolated from the other processes of the machine, which
    /// needs user namespaces; `helm` and `kustomize` then see no other files than those that the scenario names.
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

/// The limits of what runs at the same time, for `e2e` and `plan`.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Load")]
pub struct AtOnce {
    /// The maximum number of environments (one namespace each) that are set up at the same time, on all clusters
    /// together. Setting up an environment needs processor time. The default is one and a half for each processor, at
    /// most 8, and more while the processors are idle. A cluster node that starts counts as one environment.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// The maximum number of environments that exist at the same time, on all clusters together. An environment whose
    /// steps only wait needs memory but no processor. The default is as many as the memory allows, at most three for
    /// each processor, and up to eight for each processor while the processors are idle.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub environments: Option<u16>,
    /// The maximum number of clusters that exist at the same time. The default is two more than there are processors,
    /// if the memory allows it. Further clusters start when others have ended.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clusters: Option<u16>,
}

/// The way in which programs of scenarios run on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostPrograms {
    /// The programs see no other processes of the machine, cannot read the environment variables of other processes,
    /// and leave no process behind.
    Apart,
    /// The programs run like any other program of your account.
    Unconfined,
}

/// What counts as proof that a matcher can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProofBy {
    /// The matcher failed in a break, or on an altered answer.
    Any,
    /// The matcher failed in a break.
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
            ("parallax e2e --minio 2025-09 --k8s 1.33", "--k8s 1.33 --minio 2025-09"),
            ("parallax e2e --garage 2.4,2.5 --rgw 16.2", "--garage 2.4,2.5 --rgw 16.2"),
            ("parallax e2e --allow-host-programs=unconfined", "--allow-host-programs=unconfined"),
            ("parallax e2e --kubeconfig k --images-present", "--kubeconfig k --images-present"),
            ("parallax e2e --kubeconfig k --name-server 127.0.0.1:53", "--kubeconfig k --name-server 127.0.0.1:53"),
            (
                "parallax e2e a --kubeconfig k --namespace n --images-present=agent,minio",
                "--kubeconfig k --namespace n --images-present=agent,minio",
            ),
        ] {
            assert_eq!(words(line), again, "{line}");
        }
    }
}
