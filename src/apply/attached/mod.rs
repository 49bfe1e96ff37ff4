//! Places the agent in a running pod of somebody's own application. So the cluster's nodes need not pull an image of
//! the agent.
//!
//! The agent's program is written through exec into a folder of the application's container. If the container has no
//! shell, or no folder from which a program can run, the agent gets an ephemeral container with an image that the user
//! names. The program's file is removed in every case. The program of the ephemeral container is ended, but the entry
//! of the container stays in the pod, because Kubernetes removes no ephemeral container.

mod refusal;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parallax_vocab::settings::Settings;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Ended, api_message, until};
use crate::probe::exec::{NotRan, Ran, Streams, run, run_with};
use crate::probe::{AGENT_PATH, AGENT_SESSION, PodSession, ProbeError};
use refusal::{ephemeral_refused, exec_refused, last_words, plausible, unusable};
pub use workload::{Absent, Outlook, can_attach, pod_of};
use workload::{is_running, wanted};

/// The folders in which the agent's program may be, in addition to the folder that `TMPDIR` names and the `emptyDir`
/// volumes of the container. Most container runtimes mount `/dev/shm` with `noexec`, so this folder comes last.
const FOLDERS: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];
/// The script that writes the agent's program.
const PUT: &str = include_str!("put.sh");
/// The script that removes the agent's program.
const REMOVE: &str = include_str!("remove.sh");
/// The exit code of `put.sh` if no folder of the container is suitable for the agent's program.
const NO_FOLDER: i32 = 3;
/// The time limit for the transfer of the agent's program.
const PUT_WITHIN: Duration = Duration::from_mins(1);
/// The time limit of every other program that the harness runs in the container, for example `remove.sh`.
const RUNS_WITHIN: Duration = Duration::from_secs(15);
/// The time limit for the ephemeral container to start, and for its program to end.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// At most this number of bytes is read of the application's settings. The settings are its resolver files and its
/// trusted certificates. Most of the bytes are certificates.
const SETTINGS_LIMIT_BYTES: u64 = 8 << 20;
/// Reasons in the status of a waiting container. Each reason shows that the container will not start within a few
/// seconds.
const STUCK: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// The words with which an error message tells the user where to say in which container the agent is placed. They are
/// options for `parallax check`, and fields for a vantage of a scenario. The type also contains the lifetime of an
/// ephemeral container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The option or field with which the user names the container of a pod.
    container: &'static str,
    /// The advice for the user if the application's container does not run.
    pod: &'static str,
    /// The option or field with which the user names the image of an ephemeral container.
    image: &'static str,
    /// The time after which the program of an ephemeral container ends by itself, in seconds.
    lives_s: u64,
}

impl Terms {
    /// The options of `parallax check`. The lifetime is short, because a check does not take long.
    pub const CHECK: Self =
        Self { container: "--container", pod: "name another pod: --attach pod/NAME", image: "--image", lives_s: 300 };
    /// The fields of a vantage. The lifetime is long, because a flow may take long.
    pub const VANTAGE: Self = Self {
        container: "`container`",
        pod: "let an earlier step wait for it (`wait`), or name another pod: `to: pod/NAME`",
        image: "`image: agent`",
        lives_s: 3600,
    };
}

/// A container of somebody's own application, and the data that are needed to place the agent in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// The namespace of the application's pod.
    pub namespace: String,
    /// The name of the application's pod.
    pub pod: String,
    /// The name of the ServiceAccount of the application's pod.
    pub service_account: String,
    /// The name of the application's container.
    pub container: String,
    /// The folders at which the application's container mounts `emptyDir` volumes. Such a volume is removed together
    /// with its pod, so no file of the agent remains in it.
    volumes: Vec<String>,
    /// The security settings of the application's container, without `privileged` and `procMount`. An ephemeral
    /// container with these settings can read the application's files. An admission policy that accepted the
    /// application accepts this container, too.
    security: Value,
    /// Whether all containers of the application's pod share one process namespace. In this case, process 1 of the
    /// namespace is not the application.
    shares_processes: bool,
    /// The name of the agent's file in the application's container, and of the ephemeral container.
    pub name: String,
    /// The path of the agent's program on this machine.
    pub program: PathBuf,
    /// The image that contains the agent, for an ephemeral container. `None` if no ephemeral container may be created.
    pub image: Option<String>,
    terms: Terms,
}

impl Attached {
    /// Finds the container of a pod. `container` is the name of the container. If it is `None`, the container is the
    /// one that kubectl's annotation names (`kubectl.kubernetes.io/default-container`), or the pod's only container.
    pub fn of(
        pod: &Pod,
        container: Option<&str>,
        name: String,
        program: PathBuf,
        terms: Terms,
    ) -> Result<Self, String> {
        let pod_name = pod.metadata.name.clone().unwrap_or_default();
        let spec = pod.spec.as_ref().ok_or_else(|| format!("pod {pod_name} has no containers"))?;
        let wanted = wanted(pod, container);
        let names = || spec.containers.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match wanted {
            Some(wanted) => spec
                .containers
                .iter()
                .find(|it| it.name == wanted)
                .ok_or_else(|| format!("pod {pod_name} has no container {wanted}, but {}", names()))?,
            None if spec.containers.len() == 1 => &spec.containers[0],
            None => {
                return Err(format!(
                    "pod {pod_name} has several containers ({}): name one by {}",
                    names(),
                    terms.container
                ));
            }
        };
        if !is_running(pod, &found.name) {
            return Err(format!(
                "container {} of pod {pod_name} does not run, so nothing can be asked from it: {}",
                found.name, terms.pod
            ));
        }
        let security = security(spec.security_context.as_ref().map(|it| json!(it)), found);
        Ok(Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            pod: pod_name,
            service_account: spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
            container: found.name.clone(),
            volumes: volumes(pod, found),
            security,
            shares_processes: spec.share_process_namespace == Some(true),
            name,
            program,
            image: None,
            terms,
        })
    }

    /// The folders in which the agent's program may be, without the folder that `TMPDIR` names.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        FOLDERS.into_iter().chain(self.volumes.iter().map(String::as_str))
    }

    fn script<'a>(&'a self, script: &'a str, arguments: &'a [String]) -> Vec<&'a str> {
        let mut all = vec!["sh", "-c", script, "parallax"];
        all.extend(arguments.iter().map(String::as_str));
        all.extend(self.folders());
        all
    }

    fn ephemeral(&self, image: &str) -> Value {
        json!({ "spec": { "ephemeralContainers": [{
            "name": self.name, "image": image, "imagePullPolicy": "IfNotPresent",
            "command": [AGENT_PATH], "args": ["hold", "--within", self.terms.lives_s.to_string()],
            "targetContainerName": self.container,
            "securityContext": self.security,
        }] } })
    }
}

/// The parts of the agent that may be in the application's pod. The fields `file` and `ephemeral` are set to true
/// before the part is placed. Therefore [`Self::remove`] removes everything even if the placing was interrupted.
pub struct Placing {
    attached: Attached,
    client: Client,
    /// Whether the agent's file may be in the application's container.
    file: bool,
    /// Whether the ephemeral container may be in the application's pod.
    ephemeral: bool,
}

/// An agent that has been placed in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    /// The name of the container in which the agent's program is.
    container: String,
    /// The path of the agent's program in the container that `container` names.
    path: String,
    /// The number of bytes of the agent's program that were sent. `None` in an ephemeral container, whose image
    /// contains the program.
    sent_bytes: Option<u64>,
}

impl Placed {
    /// The command that starts a session of the agent.
    fn session(&self) -> Vec<&str> {
        match self.sent_bytes {
            Some(_) => vec![&self.path, "session", "--guest"],
            None => AGENT_SESSION.to_vec(),
        }
    }
}

impl std::fmt::Debug for Placing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attached, client: _, file, ephemeral } = self;
        f.debug_struct("Placing").field("attached", attached).field("file", file).field("ephemeral", ephemeral).finish()
    }
}

impl Placing {
    /// Returns the state before anything is placed.
    pub fn new(attached: Attached, client: Client) -> Self {
        Self { attached, client, file: false, ephemeral: false }
    }

    /// The pods of the application's namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.attached.namespace)
    }

    /// Places the agent and opens a session with it. Also reads the settings of the application: how its programs
    /// resolve names, and which certificates they trust. The outer error says why the agent could not be placed, and
    /// what the user can do. The inner error is the reason why the settings could not be read. Before an ephemeral
    /// container is created, `announce` is called with lines that announce the container.
    pub async fn begin(
        &mut self,
        announce: &(dyn Fn(&str) + Sync),
    ) -> Result<(PodSession, Result<Settings, String>), String> {
        let mut placed = self.place(announce).await?;
        let mut opened = self.open(&placed).await;
        // If the connection broke before the agent's first message, the agent has ended and has removed its file.
        // Therefore the agent is placed once more.
        if placed.sent_bytes.is_some() && matches!(opened, Err(ProbeError::Start { .. })) {
            placed = self.place(announce).await?;
            opened = self.open(&placed).await;
        }
        let session = opened.map_err(|error| error.to_string())?;
        // The agent of an open session removes its file when the session ends. So the file is removed even if this
        // process is killed from here on.
        let settings = self.settings(&placed).await;
        if let (Ok(settings), Some(sent)) = (&settings, placed.sent_bytes)
            && settings.program_bytes != sent
        {
            return Err(format!("{} of {sent} bytes of the agent's program arrived", settings.program_bytes));
        }
        Ok((session, settings))
    }

    async fn place(&mut self, announce: &(dyn Fn(&str) + Sync)) -> Result<Placed, String> {
        let attached = self.attached.clone();
        let program = tokio::fs::read(&attached.program)
            .await
            .map_err(|error| format!("the agent's program {} cannot be read: {error}", attached.program.display()))?;
        let place = format!("container {} of pod {}", attached.container, attached.pod);
        let arguments = [attached.name.clone(), program.len().to_string()];
        let streams = Streams { input: Some(&program), ..Streams::default() };
        let command = attached.script(PUT, &arguments);
        self.file = true;
        let put = run_with(&self.pods(), (&attached.pod, &attached.container), &command, streams, PUT_WITHIN).await;
        let refused = match put {
            Ok(Ran { exit: 0, stdout, .. }) => {
                let path = stdout.trim_end().to_owned();
                let sent_bytes = Some(program.len() as u64);
                return Ok(Placed { container: attached.container.clone(), path, sent_bytes });
            }
            Ok(ran) => {
                // If `put.sh` ran but failed, it has removed the agent's file itself.
                unusable(&place, &ran, ran.exit == NO_FOLDER)
            }
            Err(NotRan::Late { waited }) => {
                let mib = program.len() >> 20;
                format!("{place} did not take the agent's program ({mib} MiB) in {} s", waited.as_secs())
            }
            Err(NotRan::Lost(why)) => return Err(format!("the agent's program was not written into {place}: {why}")),
            Err(NotRan::Failed(why)) => {
                self.file = false;
                let refused = exec_refused(&place, &why);
                if refused.is_final {
                    return Err(refused.why);
                }
                refused.why
            }
        };
        match &attached.image {
            Some(image) => self.beside(image, &refused, announce).await,
            None => Err(format!(
                "{refused}; name by {} an image with the agent that the nodes can get: an ephemeral container of it then asks",
                attached.terms.image
            )),
        }
    }

    /// Places the agent in an ephemeral container. `because` is the reason why the agent is not in the application's
    /// own container.
    async fn beside(&mut self, image: &str, because: &str, announce: &(dyn Fn(&str) + Sync)) -> Result<Placed, String> {
        let Attached { name, pod, namespace, .. } = &self.attached;
        announce(&format!(
            "makes      ephemeral container {name} in pod {pod} of namespace {namespace}, of image {image},"
        ));
        announce(&format!("           because {because}"));
        announce(
            "           its program ends at the end; its entry stays until the pod is replaced: Kubernetes removes none",
        );
        self.ephemeral = true;
        let patch = Patch::Strategic(self.attached.ephemeral(image));
        if let Err(error) = self.pods().patch_ephemeral_containers(pod, &PatchParams::default(), &patch).await {
            // A status of 400 to 499 means that the apiserver refused the container. After any other error, the
            // apiserver may still have created it.
            self.ephemeral = !matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code));
            return Err(format!("{because}; {}", ephemeral_refused(pod, &api_message(&error))));
        }
        let settled = |pod: Option<&Pod>| state(pod, name) != State::Waits;
        let deadline = Instant::now() + STARTS_WITHIN;
        let why = match until(&self.pods(), pod, settled, deadline).await {
            Ended::Met(pod) => match state(pod.as_ref(), name) {
                State::Runs => {
                    return Ok(Placed { container: name.clone(), path: AGENT_PATH.to_owned(), sent_bytes: None });
                }
                State::Stuck(why) | State::Over(why) => why,
                State::Waits => "it is not known".to_owned(),
            },
            Ended::NotMet(_) => format!("it does not run after {} s", STARTS_WITHIN.as_secs()),
            Ended::Unseen(why) => format!("whether it runs is not known: {why}"),
        };
        Err(format!("{because}; ephemeral container {name} of pod {pod}, of image {image}: {why}"))
    }

    async fn open(&self, placed: &Placed) -> Result<PodSession, ProbeError> {
        let Attached { namespace, pod, .. } = &self.attached;
        let (client, command) = (self.client.clone(), placed.session());
        PodSession::open(client, namespace, pod, Some(&placed.container), &command).await
    }

    async fn settings(&self, placed: &Placed) -> Result<Settings, String> {
        let mut command = vec![placed.path.as_str(), "look"];
        if placed.sent_bytes.is_none() {
            if self.attached.shares_processes {
                return Err(
                    "all containers of the pod share their processes, so the application's own is not known".to_owned()
                );
            }
            // The ephemeral container uses the process namespace of the application's container. In this namespace,
            // process 1 is the application.
            command.extend(["--process", "1"]);
        }
        let streams = Streams { output_limit_bytes: SETTINGS_LIMIT_BYTES, ..Streams::default() };
        let ran = run_with(&self.pods(), (&self.attached.pod, &placed.container), &command, streams, RUNS_WITHIN).await;
        let ran = ran.map_err(|it| not_ran(&it))?;
        if ran.exit != 0 {
            return Err(format!("exit code {}: {}", ran.exit, last_words(&ran.stderr)));
        }
        serde_json::from_str(&ran.stdout).map_err(|error| error.to_string()).and_then(plausible)
    }

    /// Removes the agent's file, and ends the program of the ephemeral container. Returns a sentence for the file if it
    /// remains, and a sentence for the program if it still runs.
    pub async fn remove(&self) -> Vec<String> {
        let Attached { name, pod, namespace, container, terms, .. } = &self.attached;
        let mut remains = Vec::new();
        if self.file {
            let arguments = [name.clone()];
            let command = self.attached.script(REMOVE, &arguments);
            let removed = run(&self.pods(), pod, container, &command, RUNS_WITHIN).await;
            let why = match removed {
                Ok(Ran { exit: 0, .. }) => None,
                Ok(ran) => Some(last_words(&ran.stderr).to_owned()),
                Err(why) => Some(not_ran(&why)),
            };
            remains.extend(why.map(|why| {
                format!("remove the file {name} from the temporary folder of container {container} of pod {pod} in namespace {namespace}, if it is there: it could not be removed ({why})")
            }));
        }
        if self.ephemeral
            && let Err(why) = self.release().await
        {
            remains.push(format!("the program of ephemeral container {name} of pod {pod} in namespace {namespace} ends by itself after {} s: it could not be ended ({why})", terms.lives_s));
        }
        remains
    }

    async fn release(&self) -> Result<(), String> {
        let Attached { name, pod, .. } = &self.attached;
        let ended = |pod: Option<&Pod>| matches!(state(pod, name), State::Over(_));
        let now = self.pods().get_opt(pod).await.map(|it| state(it.as_ref(), name));
        // A container in the state `Stuck` runs no program, so there is nothing to end. If the container starts later,
        // its program ends by itself after `Terms::lives_s` seconds.
        if matches!(now, Ok(State::Over(_) | State::Stuck(_))) {
            return Ok(());
        }
        let released = run(&self.pods(), pod, name, &[AGENT_PATH, "release"], RUNS_WITHIN).await;
        let after = match until(&self.pods(), pod, ended, Instant::now() + STARTS_WITHIN).await {
            Ended::Met(_) => return Ok(()),
            Ended::NotMet(_) => "it still runs".to_owned(),
            Ended::Unseen(why) => why,
        };
        match released {
            Ok(Ran { exit: 0, .. }) => Err(after),
            Ok(ran) => Err(last_words(&ran.stderr).to_owned()),
            Err(why) => Err(not_ran(&why)),
        }
    }
}

fn not_ran(why: &NotRan) -> String {
    match why {
        NotRan::Failed(why) | NotRan::Lost(why) => why.clone(),
        NotRan::Late { waited } => format!("no end in {} s", waited.as_secs()),
    }
}

/// The state of an ephemeral container.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The ephemeral container does not run yet.
    Waits,
    /// The ephemeral container runs.
    Runs,
    /// The ephemeral container will not run. The text is the reason.
    Stuck(String),
    /// The ephemeral container has ended, or its pod is gone. The text is the reason.
    Over(String),
}

fn state(pod: Option<&Pod>, name: &str) -> State {
    let Some(pod) = pod.filter(|it| it.metadata.deletion_timestamp.is_none()) else {
        return State::Over("the pod was deleted".to_owned());
    };
    let statuses = pod.status.iter().flat_map(|it| &it.ephemeral_container_statuses).flatten();
    let Some(state) = { statuses }.find(|it| it.name == name).and_then(|it| it.state.as_ref()) else {
        return State::Waits;
    };
    if state.running.is_some() {
        return State::Runs;
    }
    if let Some(ended) = &state.terminated {
        let why = ended.message.as_deref().or(ended.reason.as_deref()).unwrap_or("no reason given");
        return State::Over(format!("it ended with exit code {}: {why}", ended.exit_code));
    }
    let waits = state.waiting.as_ref();
    let reason = waits.and_then(|it| it.reason.as_deref()).unwrap_or_default();
    if STUCK.contains(&reason) {
        let message = waits.and_then(|it| it.message.as_deref()).unwrap_or_default();
        return State::Stuck(format!("{reason}: {message}"));
    }
    State::Waits
}

/// The folders at which a container mounts `emptyDir` volumes, if the container can write to them. Volumes of other
/// kinds are left out, because they may contain the application's own data.
fn volumes(pod: &Pod, container: &Container) -> Vec<String> {
    let all = pod.spec.iter().flat_map(|it| &it.volumes).flatten();
    let passing: Vec<&str> = all.filter(|it| it.empty_dir.is_some()).map(|it| it.name.as_str()).collect();
    let mounts = container.volume_mounts.iter().flatten();
    let writable = mounts.filter(|it| passing.contains(&it.name.as_str()) && it.read_only != Some(true));
    writable.map(|it| it.mount_path.clone()).filter(|it| !FOLDERS.contains(&it.as_str())).collect()
}

/// The security settings of a container, completed with those settings of its pod that also apply to each container.
fn security(of_pod: Option<Value>, container: &Container) -> Value {
    let mut own = container.security_context.as_ref().map_or_else(|| json!({}), |it| json!(it));
    // The agent only asks questions, so it does not need the additional rights of a privileged container.
    if let Some(fields) = own.as_object_mut() {
        for field in ["privileged", "procMount"] {
            fields.remove(field);
        }
    }
    let of_pod = of_pod.unwrap_or_default();
    for field in ["runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"] {
        if own[field].is_null() && !of_pod[field].is_null() {
            own[field] = of_pod[field].clone();
        }
    }
    if let Some(fields) = own.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    own
}

#[cfg(test)]
mod tests;
