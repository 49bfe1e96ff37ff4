//! Serves a person who inspects a variant that is kept: reads the logs of the variant's pods, containers and nodes,
//! and opens a shell at a vantage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};
use parallax_vocab::answer::Reply;
use parallax_vocab::program::{CA_BUNDLE, CA_BUNDLE_ENV, RunQuestion, RunReply, is_missing};
use parallax_vocab::{Cause, Probe, Question, Secret, millis};
use serde::{Deserialize, Serialize};

use super::environment::{AGENT_CONTAINER, Stage};
use super::question::Known;
use super::reach::quoted;
use super::results::{Results, Words};
use super::scene::Scene;
use super::standing::Answer;
use parallax_language::scenario::action::ScriptStep;
use parallax_language::scenario::target::{LogTarget, Target as _};
use parallax_language::scenario::template::Template;
use parallax_plan::VariantPlan;

/// The time limit of a program that the user runs at a vantage.
const PROGRAM_WITHIN: Duration = Duration::from_mins(10);
/// The time limit for preparing a shell.
const PREPARED_WITHIN: Duration = Duration::from_secs(30);
/// The exit code that a shell returns if a program does not exist.
const NOT_FOUND: i32 = 127;
/// The environment variables from which programs read the path of the certificates that they trust.
const BUNDLES: [&str; 5] =
    ["AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"];
/// The name by which the user selects the log of the name server of the external network (the world), as in a `log`
/// step.
const WORLD: &str = "world";
/// The kinds of objects that create pods (or are pods). The names of these pods begin with the name of the object.
const WITH_PODS: [&str; 6] = ["CronJob", "DaemonSet", "Deployment", "Job", "Pod", "StatefulSet"];
/// The environment variables from which programs read the URL of a proxy.
const PROXIES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
/// The shell command that creates the files for a shell at a vantage. It creates the folder `$1`, copies the trusted
/// certificates into it, and writes its standard input to the script `enter`.
const PREPARE: &str =
    r#"umask 077 && mkdir "$1" "$1/work" && cp "$PARALLAX_CA_BUNDLE" "$1/ca.pem" && cat > "$1/enter""#;

/// Where a shell at a vantage runs, and the script that starts the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inside {
    /// Where the script must be run: on this machine, in a container or in a pod.
    pub place: Place,
    /// The path of a script for `sh`. The script sets the environment variables of the vantage. Then it runs its
    /// arguments as a program, or a shell if there are no arguments. The script works only once, because it removes
    /// itself.
    pub enter: String,
}

/// Where the programs of a vantage run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// The programs run on this machine.
    Here,
    /// The programs run in a container outside the cluster, given by its name.
    Container(String),
    /// The programs run in a container of a pod.
    Pod {
        /// The path of the kubeconfig that gives access to the cluster.
        kubeconfig: PathBuf,
        /// The namespace of the pod.
        namespace: String,
        /// The name of the pod.
        pod: String,
        /// The name of the container in the pod.
        container: String,
    },
}

/// The last `tail` lines of the logs in the environment, each log with its name. `of` selects the logs: it names a pod,
/// a fixture, a vantage, a node, `world`, or the target of a `log` step. Without `of`, the logs of every pod are
/// returned.
pub(super) async fn logs(
    client: &Client,
    scene: &Scene<'_>,
    variant: &VariantPlan,
    of: Option<&str>,
    tail: usize,
) -> Answer {
    let namespace = &scene.plan.namespace;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = match api.list(&ListParams::default()).await {
        Ok(pods) => pods.items,
        Err(error) => return Answer::Failed(format!("the pods of namespace {namespace} cannot be listed: {error}")),
    };
    let own = scene.cluster.own("read what its containers write").ok();
    let beside: Vec<&str> = own.iter().flat_map(|own| own.fixtures_beside(namespace)).collect();
    let nodes: Vec<&str> = own.iter().flat_map(|own| own.nodes()).collect();
    let engine = |written: Result<Vec<String>, String>, name: String| match written {
        Ok(lines) => Answer::Logs(vec![(name, lines)]),
        Err(why) => Answer::Failed(why),
    };
    let all = |_| true;
    let wanted = match (of, &own) {
        (None, _) => Wanted::All,
        (Some(WORLD), Some(own)) => {
            let lines = own.asked_outside(tail).await.map_err(|error| error.to_string());
            return engine(lines, WORLD.to_owned());
        }
        (Some(name), own) => {
            let target = LogTarget::parse(name).ok();
            let named = match &target {
                Some(LogTarget::Node(node)) => node,
                Some(LogTarget::Beside(fixture)) => fixture,
                _ => name,
            };
            if let Some(own) = own.filter(|_| beside.contains(&named)) {
                let written = own.written_beside((namespace, named), tail, all).await;
                return engine(written.map(|it| it.lines), format!("beside/{named}"));
            }
            if let Some(own) = own.filter(|_| nodes.contains(&named)) {
                let written = own.written_by_node(named, tail, all).await;
                return engine(written.map(|it| it.lines), format!("node/{named}"));
            }
            match target {
                Some(LogTarget::Pod(pod)) => Wanted::Pod(pod),
                Some(LogTarget::Deployment(name) | LogTarget::StatefulSet(name)) => Wanted::Of(vec![name]),
                _ => pod_of(scene, variant, name).map_or_else(|| Wanted::Of(workloads(scene, name)), Wanted::Pod),
            }
        }
    };
    let mut logs = Vec::new();
    for pod in pods.iter().filter(|pod| wanted.takes(name_of(pod))) {
        let of_pod = of_pod(&api, pod, tail).await;
        // An empty log, such as that of an agent, is only shown if the user selected it.
        logs.extend(of_pod.into_iter().filter(|(_, lines)| of.is_some() || !lines.is_empty()));
    }
    match of {
        Some(name) if logs.is_empty() => {
            let vantages = variant.pods.keys().map(String::as_str);
            let fixtures =
                scene.plan.fixtures.keys().map(String::as_str).filter(|id| !of_fixture(scene, id).is_empty());
            let there = pods.iter().map(name_of).chain(fixtures).chain(vantages);
            let there = there.chain(beside).chain(nodes).chain([WORLD]);
            let mut there: Vec<&str> = there.collect();
            there.sort_unstable();
            there.dedup();
            Answer::No(format!("nothing here is called `{name}`; there are {}", there.join(", ")))
        }
        _ => Answer::Logs(logs),
    }
}

/// The pods whose logs the user selected.
enum Wanted {
    All,
    Pod(String),
    /// The pods of these workloads. They are found by their names, which begin with the name of the workload.
    Of(Vec<String>),
}

impl Wanted {
    fn takes(&self, pod: &str) -> bool {
        match self {
            Self::All => true,
            Self::Pod(name) => pod == name,
            Self::Of(names) => {
                let begins = |name: &String| pod.strip_prefix(name.as_str());
                names.iter().filter_map(begins).any(|rest| rest.is_empty() || rest.starts_with('-'))
            }
        }
    }
}

/// The names of the workloads of the fixture `name`. If there is no such fixture, the name itself is taken as the name
/// of a workload.
fn workloads(scene: &Scene<'_>, name: &str) -> Vec<String> {
    let of_fixture = of_fixture(scene, name);
    if of_fixture.is_empty() { vec![name.to_owned()] } else { of_fixture }
}

/// The names of those objects of a fixture that create pods.
fn of_fixture(scene: &Scene<'_>, id: &str) -> Vec<String> {
    let objects = scene.plan.fixtures.get(id).into_iter().flat_map(|it| &it.objects);
    let with_pods = objects.filter(|it| WITH_PODS.iter().any(|kind| it.manifest["kind"] == *kind));
    with_pods.filter_map(|it| it.manifest["metadata"]["name"].as_str()).map(str::to_owned).collect()
}

fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The name of a vantage's pod. `None` if the vantage is not in a pod.
fn pod_of(scene: &Scene<'_>, variant: &VariantPlan, vantage: &str) -> Option<String> {
    let planned = variant.pods.get(vantage)?;
    scene.environment.pods.get(planned).map(|(pod, _)| pod.clone())
}

/// The last `tail` lines of the log of each container of a pod. Each log comes with a name: the pod and the container.
async fn of_pod(api: &Api<Pod>, pod: &Pod, tail: usize) -> Vec<(String, Vec<String>)> {
    let name = name_of(pod);
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|it| it.init_containers.iter().flatten().chain(&it.containers));
    let mut logs = Vec::new();
    for container in containers {
        let parameters = LogParams {
            container: Some(container.name.clone()),
            tail_lines: Some(i64::try_from(tail).unwrap_or(i64::MAX)),
            ..LogParams::default()
        };
        let lines = match api.logs(name, &parameters).await {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            // The apiserver refuses this log, for example because the container has not started yet. The other
            // containers may still have logs.
            Err(kube::Error::Api(status)) => vec![format!("(no log: {})", status.message)],
            Err(error) => vec![format!("(no log: {error})")],
        };
        logs.push((format!("pod/{name} {}", container.name), lines));
    }
    logs
}

/// Runs a program at a vantage. The program gets the environment variables and the trusted certificates that a `script`
/// step would get there.
pub(super) async fn program(
    stage: &Stage<'_>,
    (variant, proxy): (&VariantPlan, Option<&str>),
    from: Option<&str>,
    argv: &[String],
    stdin: Option<String>,
) -> Answer {
    let question = vantage_of(variant, from).and_then(|from| {
        let question = RunQuestion { stdin: stdin.map(Secret::new), ..question(stage, (variant, proxy), from, argv)? };
        Ok((from, question))
    });
    match question {
        Ok((from, question)) => match ask(stage, variant, from, question, PROGRAM_WITHIN).await {
            Ok(reply) => Answer::Program(reply),
            Err(why) => Answer::Failed(why),
        },
        Err(why) => Answer::No(why),
    }
}

/// Prepares a shell at a vantage. The shell has the same environment and trusted certificates as a program that
/// [`program`] runs there.
pub(super) async fn inside(
    stage: &Stage<'_>,
    (variant, proxy): (&VariantPlan, Option<&str>),
    from: Option<&str>,
) -> Answer {
    let question = vantage_of(variant, from).and_then(|from| {
        let question = question(stage, (variant, proxy), from, &["sh".to_owned()])?;
        Ok((from, question))
    });
    let (from, question) = match question {
        Ok(question) => question,
        Err(why) => return Answer::No(why),
    };
    let place = match place_of(stage, variant, from) {
        Ok(place) => place,
        Err(why) => return Answer::Failed(why),
    };
    let name = format!("shell-{}", parallax_engine::fresh_run_id());
    let folder = match &place {
        // On this machine, the files of the shell are in the run's folder. They contain secrets, so they are removed
        // together with the environment.
        Place::Here => stage.context.options.directory.join(&name).display().to_string(),
        Place::Pod { .. } | Place::Container(_) => format!("/tmp/parallax-{name}"),
    };
    let prepare = RunQuestion {
        argv: ["sh", "-c", PREPARE, "sh", &folder].map(str::to_owned).into(),
        env: BTreeMap::new(),
        stdin: Some(Secret::new(enter(from, &folder, &question.env))),
    };
    match ask(stage, variant, from, prepare, PREPARED_WITHIN).await {
        Ok(RunReply { exit: 0, .. }) => Answer::Inside(Inside { place, enter: format!("{folder}/enter") }),
        Ok(reply) => Answer::Failed(format!("no shell can be prepared at `{from}`: {}", reply.stderr.trim_end())),
        Err(why) => Answer::Failed(why),
    }
}

/// The id of the vantage that the user named, or of the only vantage. It is an error if no programs can run at this
/// vantage, because it is an application's own pod or because its image contains only the agent.
fn vantage_of<'v>(variant: &'v VariantPlan, from: Option<&str>) -> Result<&'v str, String> {
    let vantages = &variant.variant.scenario.vantages;
    let all = || vantages.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let (from, vantage) = match (from, vantages.len()) {
        (Some(from), _) => {
            vantages.get_key_value(from).ok_or_else(|| format!("`{from}` is not a vantage; there are {}", all()))?
        }
        (None, 1) => vantages.iter().next().expect("there is one"),
        (None, _) => return Err(format!("say from where with --from: {}", all())),
    };
    if vantage.attach.is_some() {
        return Err(format!(
            "`{from}` is an application's own pod, in which Parallax runs no programs; use kubectl exec"
        ));
    }
    if vantage.image().is_none() && vantage.pod.is_some() {
        return Err(format!(
            "`{from}` has no programs: its image contains only the agent; give it one: `image: clients`"
        ));
    }
    Ok(from)
}

/// The question that runs a program at a vantage, with the vantage's environment variables and trusted certificates.
/// `proxy` is the URL of the HTTP proxy through which programs reach the environment's host names. Only a program that
/// runs on the harness's own machine gets this URL, in the variables of [`PROXIES`], because such a program cannot
/// resolve the host names.
fn question(
    stage: &Stage<'_>,
    (variant, proxy): (&VariantPlan, Option<&str>),
    from: &str,
    argv: &[String],
) -> Result<RunQuestion, String> {
    let pod = variant.pods.get(from).and_then(|name| stage.scene.plan.pods.get(name));
    let variables = pod.map(|pod| pod.env.clone()).unwrap_or_default();
    let results = Results::default();
    let known = Known { scene: &stage.scene, results: &results, token: None, variables: &variables };
    let step = ScriptStep {
        run: argv.iter().map(Template::plain).collect(),
        env: indexmap::IndexMap::new(),
        stdin: None,
        store: stage.scene.store(None).ok().map(|(store, _)| store.to_owned()),
    };
    let words = Words { scene: &stage.scene, results: &results };
    let Probe::Run(mut question) = words.question(&step, &known)? else {
        return Err("a program did not become a question".to_owned());
    };
    let mut set = |name: &str, value: &str| {
        question.env.entry(name.to_owned()).or_insert_with(|| Secret::new(value));
    };
    for name in BUNDLES {
        set(name, CA_BUNDLE);
    }
    // Programs on this machine cannot resolve the host names of the environment. Only the proxy can resolve them.
    let here = variant.variant.scenario.vantages.get(from).is_some_and(|it| !it.is_inside() && it.image().is_none());
    if let Some(proxy) = proxy.filter(|_| here) {
        for name in PROXIES {
            set(name, proxy);
        }
    }
    Ok(question)
}

async fn ask(
    stage: &Stage<'_>,
    variant: &VariantPlan,
    from: &str,
    question: RunQuestion,
    within: Duration,
) -> Result<RunReply, String> {
    let vantage = variant.variant.scenario.vantages.get(from).ok_or("the vantage is gone")?;
    let question =
        Question { view: stage.scene.view(vantage), deadline_ms: millis(within), probe: Probe::Run(question) };
    stage.guest_comes(variant, from).await.map_err(|absent| absent.to_string())?;
    let answer = stage.vantage(variant, from).await?.ask(question).await.map_err(|error| error.to_string())?;
    match answer.outcome {
        Ok(Reply::Run(reply)) => Ok(reply),
        Ok(_) => Err("the vantage answered another question".to_owned()),
        Err(Cause::Client { detail }) if is_missing(&detail) => Ok(not_found(&detail)),
        Err(cause) => Err(cause.to_string()),
    }
}

/// The reply for a program that does not exist. Its exit code and its message are the same as those of a shell in this
/// case.
fn not_found(detail: &str) -> RunReply {
    let stderr = format!("{detail}\n");
    RunReply {
        exit: NOT_FOUND,
        signal: None,
        stdout: String::new(),
        stdout_bytes: 0,
        stderr_bytes: stderr.len() as u64,
        stderr,
        json: None,
    }
}

fn place_of(stage: &Stage<'_>, variant: &VariantPlan, from: &str) -> Result<Place, String> {
    if let Some(pod) = pod_of(&stage.scene, variant, from) {
        return Ok(Place::Pod {
            kubeconfig: stage.context.options.directory.join(format!("{}.kubeconfig", stage.scene.cluster.name)),
            namespace: stage.scene.plan.namespace.clone(),
            pod,
            container: AGENT_CONTAINER.to_owned(),
        });
    }
    let Some(image) = variant.variant.scenario.vantages.get(from).and_then(|it| it.outside_image()) else {
        return Ok(Place::Here);
    };
    let own = stage.scene.cluster.own("enter a container outside it").map_err(|error| error.to_string())?;
    let container = own.container_of(image).ok_or_else(|| format!("no container of the image {image} runs"))?;
    Ok(Place::Container(container.to_owned()))
}

/// The text of a script for a vantage. The script runs its arguments as a program, or starts a shell if there are no
/// arguments. The program gets only the environment variables in `env` and a few standard variables. At the end, the
/// script removes its folder.
fn enter(vantage: &str, folder: &str, env: &BTreeMap<String, Secret>) -> String {
    let bundle = format!("{folder}/ca.pem");
    let folder = quoted(folder);
    let mut text = format!("folder={folder}\n");
    // The shell that runs this script must survive Ctrl-C, so that it can remove the folder at the end.
    text.push_str("trap : INT QUIT\ntrap 'cd /; rm -rf \"$folder\"' EXIT\nrm -f \"$folder/enter\"\ncd \"$folder/work\" || exit 126\n");
    text.push_str(
        "if [ $# -eq 0 ]; then if command -v bash >/dev/null; then set -- bash --norc; else set -- sh; fi; fi\n",
    );
    text.push_str("env -i PATH=\"$PATH\" TERM=\"${TERM:-xterm}\" HOME=\"$PWD\" TMPDIR=\"$PWD\"");
    let own = [("PS1".to_owned(), format!("{vantage} $ ")), (CA_BUNDLE_ENV.to_owned(), bundle.clone())];
    let given = env.iter().map(|(name, value)| (name.clone(), value.expose().replace(CA_BUNDLE, &bundle)));
    for (name, value) in own.into_iter().chain(given) {
        write!(text, " \\\n  {}", quoted(&format!("{name}={value}"))).expect("a String takes every write");
    }
    text.push_str(" \"$@\"\n");
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_that_does_not_exist_is_answered_as_by_a_shell() {
        let reply = not_found(&parallax_vocab::program::missing("nope"));
        assert_eq!((reply.exit, reply.stderr.as_str()), (127, "there is no program `nope` here\n"));
    }

    #[test]
    fn pods_are_taken_by_their_workload() {
        let of = |wanted: Wanted| ["db", "db-0", "dbs-1", "web-7f-x"].map(|pod| wanted.takes(pod));
        assert_eq!(of(Wanted::All), [true; 4]);
        assert_eq!(of(Wanted::Pod("db-0".to_owned())), [false, true, false, false]);
        assert_eq!(of(Wanted::Of(vec!["db".to_owned()])), [true, true, false, false]);
        assert_eq!(of(Wanted::Of(vec!["dbs".to_owned(), "web".to_owned()])), [false, false, true, true]);
    }

    #[test]
    fn a_shell_has_the_vantages_variables_and_no_others_and_leaves_nothing() {
        let held = tempfile::tempdir().expect("a folder");
        let folder = held.path().join("a shell's");
        let env = [("KEY", "it's a $secret"), ("SSL_CERT_FILE", CA_BUNDLE)];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect();
        let run = |arguments: &[&str]| {
            std::fs::create_dir_all(folder.join("work")).expect("creates");
            let file = folder.join("enter");
            std::fs::write(&file, enter("app", &folder.display().to_string(), &env)).expect("writes");
            let mut command = Command::new("sh");
            command.arg(&file).args(arguments).env("LEAK", "x").stdin(std::process::Stdio::null());
            let output = command.output().expect("runs");
            assert!(!folder.exists(), "the folder is left");
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let script = "echo \"$KEY|$SSL_CERT_FILE|$PARALLAX_CA_BUNDLE|$LEAK|$PS1\"; exit 7";
        let bundle = folder.join("ca.pem").display().to_string();
        assert_eq!(run(&["sh", "-c", script]), (Some(7), format!("it's a $secret|{bundle}|{bundle}||app $ \n")));
        assert_eq!(run(&[]).0, Some(0), "a shell whose input ends");
    }
}
