//! `client`: runs a client that applications use, with one task.

use indexmap::IndexMap;
use parallax_vocab::Probe;
use parallax_vocab::program::{ClientQuestion, ClientTask};
use schemars::JsonSchema;
use serde::Deserialize;

use super::asking::{Asking, environment};
use super::script::variables;
use super::{
    Asks, HttpStep, Implied, Key, Kinded, Nature, OneOf, PresignStep, Rules, S3Step, Special, Wrong, token, written_as,
};
use crate::scenario::clients::{CLIENTS, Client};
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::{Parts, See, below, parts};
use crate::scenario::template::{Template, Words};

/// The name of the client that sends its requests from a web page. Only this client has an `origin`.
const BROWSER: &str = "browser";

/// Run a client that applications use, with exactly one task: `presign`, `s3` or `http`. The vantage's image must
/// contain the client; the images `clients`, `browser` and `kubectl` do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ClientStep")]
struct ClientFile {
    /// The client. `aws-sdk-rust`, `aws-cli`, `boto3`, `mc`, `aws-sdk-go-v2`, `aws-sdk-js-v3` and `aws-sdk-java-v2`
    /// sign URLs and do S3 operations. `curl`, `reqwest` and `browser` open URLs. `kubectl` (`kubectl get --raw`) and
    /// `kube-rs` open URLs of an apiserver; these two clients use a kubeconfig without CA data, and the `token` of the
    /// request.
    #[serde(rename = "use")]
    client: String,
    /// Sign a URL; the step's value is the URL.
    #[serde(default)]
    presign: Option<PresignStep>,
    /// Do one S3 operation.
    #[serde(default)]
    s3: Option<S3Step>,
    /// Send one HTTP request.
    #[serde(default)]
    http: Option<HttpStep>,
    /// `true`: the client finds endpoint, region and credentials through its own default provider chain, as an
    /// application does. The task then does not pass them to the client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    chain: bool,
    /// Additional environment variables for the client, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    env: IndexMap<String, Template>,
    /// The origin of the page whose script sends the request (only for `browser`), for example
    /// `http://app.example.com`.
    #[serde(default)]
    origin: Option<Template>,
}

/// Runs a client that applications use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ClientFile")]
pub struct ClientStep {
    /// The name of the client program.
    pub client: String,
    /// The single task of the client: sign a URL, do an S3 operation, or send an HTTP request.
    pub task: Task,
    /// Whether the client finds endpoint, region and credentials through its own default provider chain.
    pub chain: bool,
    /// Additional environment variables for the client program, by name.
    pub env: IndexMap<String, Template>,
    /// The origin of the page whose script sends the request. Only the client `browser` has one.
    pub origin: Option<Template>,
}

/// The single task that a `client` step gives to its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// The client signs a URL.
    Presign(PresignStep),
    /// The client does one S3 operation.
    S3(S3Step),
    /// The client sends one HTTP request.
    Http(HttpStep),
}

written_as!(ClientStep, ClientFile);
parts!(ClientStep { client as "use", task as "", chain, env, origin });

impl Task {
    /// Returns the key of the task if the task sets `addressing`, which says where URLs contain the bucket. `None`
    /// otherwise.
    fn with_addressing(&self) -> Option<&'static str> {
        match self {
            Self::Presign(it) => it.addressing.map(|_| "presign"),
            Self::S3(it) => it.addressing.map(|_| "s3"),
            Self::Http(_) => None,
        }
    }
}

impl Parts for Task {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Presign(it) => below(at, "presign", |at| it.see(at, to)),
            Self::S3(it) => below(at, "s3", |at| it.see(at, to)),
            Self::Http(it) => below(at, "http", |at| it.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Presign(it) => Self::Presign(it.filled(words)?),
            Self::S3(it) => Self::S3(it.filled(words)?),
            Self::Http(it) => Self::Http(it.filled(words)?),
        })
    }
}

impl TryFrom<ClientFile> for ClientStep {
    type Error = String;

    fn try_from(file: ClientFile) -> Result<Self, String> {
        let ClientFile { client, presign, s3, http, chain, env, origin } = file;
        let task = presign.map(Task::Presign).or(s3.map(Task::S3)).or(http.map(Task::Http));
        let task = task.ok_or("the client has no task")?;
        Ok(Self { client, task, chain, env, origin })
    }
}

impl Kinded for ClientStep {
    const NATURE: Nature = Nature::probe(&["status", "s3", "mismatch", "client", "exit"]);
    const TYPICAL_MS: u64 = 1_500;
    const ONE_OF: &'static [OneOf] = &[OneOf {
        of: "ClientStep",
        what: "task",
        keys: &["presign", "s3", "http"],
        none: |it, _| {
            let client = it.value["use"].as_str().unwrap_or_default();
            let message = format!("`{client}` has no task");
            Wrong::key("", message, "add one of `presign`, `s3` and `http`")
        },
        two: |_, first, second| {
            let message = format!("`client` has two tasks: `{first}` and `{second}`");
            Wrong::key(&format!("/{second}"), message, "split it into two steps")
        },
    }];
}

impl Asks for ClientStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        let client = Client::named(&self.client).ok_or_else(|| format!("`{}` is not a client", self.client))?;
        let task = match &self.task {
            Task::Presign(it) => ClientTask::Presign(it.request(words, asking)?),
            Task::S3(it) => ClientTask::S3(it.request(words, asking)?),
            Task::Http(it) => ClientTask::Http(it.request(words, asking)?),
        };
        let Self { client: _, task: _, chain, env, origin } = self;
        Ok(Probe::Client(ClientQuestion {
            client: client.name.to_owned(),
            program: client.program(),
            trust_in: client.trust_in.to_owned(),
            env: environment(asking, &env.filled(words)?),
            chain: *chain,
            origin: origin.filled(words)?.as_ref().map(ToString::to_string),
            task,
        }))
    }

    fn special(&self) -> Special<'_> {
        let (store, token, signs) = match &self.task {
            Task::Presign(it) => (it.store.as_deref(), None, Some(("client/presign", it))),
            Task::Http(it) => (None, it.token.as_deref(), None),
            Task::S3(it) => (it.store.as_deref(), None, None),
        };
        let runs = Some(vec![self.client.clone()]);
        Special { store, token, token_of: None, presents: None, signs, program: None, runs }
    }
}

impl Rules for ClientStep {
    /// An external client gives the same answer as the harness's own probes, but no details of the connection.
    fn brings(&self) -> Vec<Source> {
        let answer = match &self.task {
            Task::Http(http) => http.of_answer().collect(),
            Task::S3(s3) => s3.brings(),
            Task::Presign(_) => Vec::new(),
        };
        answer.into_iter().chain([Source::Client]).collect()
    }

    fn needs_expect(&self) -> bool {
        match &self.task {
            Task::Presign(_) => false,
            Task::S3(s3) => s3.needs_expect(),
            Task::Http(http) => http.needs_expect(),
        }
    }

    fn implied(&self) -> Implied {
        match &self.task {
            Task::S3(_) => Implied::Success,
            Task::Presign(_) | Task::Http(_) => Implied::Answer,
        }
    }

    fn yields(&self) -> bool {
        match &self.task {
            Task::Presign(_) => true,
            Task::S3(_) | Task::Http(_) => false,
        }
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let Some(client) = Client::named(&self.client) else {
            let known = CLIENTS.iter().map(|it| it.name);
            let error = judge.error("/client/use", format!("there is no client `{}`", self.client));
            errors.push(error.fix(suggest(&self.client, known, "clients")));
            return;
        };
        self.check_task(client, judge, errors);
        if self.origin.is_some() && client.name != BROWSER {
            let error = judge
                .key_error("/client/origin", format!("`{}` does not run in a page, so it has no origin", client.name));
            errors.push(error.fix(format!("only `use: {BROWSER}` has an origin; remove it")));
        }
        if self.chain && matches!(self.task, Task::Http(_)) {
            let error = judge.key_error(
                "/client/chain",
                "an HTTP request needs no credentials, so `chain` has no effect".to_owned(),
            );
            errors.push(error.fix("remove `chain`"));
        }
        if self.chain
            && let Some(task) = self.task.with_addressing()
        {
            let error = judge.key_error(
                &format!("/client/{task}/addressing"),
                "with `chain`, the task does not tell the client where URLs have the bucket".to_owned(),
            );
            errors.push(error.fix("remove `chain` or `addressing`"));
        }
        variables("/client/env", &self.env, judge, errors);
        errors.extend(judge.runs_as_guest(&format!("`{}`", client.name)));
        if let Some((id, vantage)) = judge.place()
            && vantage.image().is_none()
            && vantage.attach.is_none()
        {
            let error =
                judge.error("/from", format!("vantage `{id}` has no image, so it does not contain `{}`", client.name));
            errors.push(error.fix(judge.image_fix(client.image)));
        }
    }
}

impl ClientStep {
    fn check_task(&self, client: &Client, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        match &self.task {
            Task::Presign(presign) => {
                presign.check_at("client/presign", judge, errors);
                let method = presign.method().key();
                if !client.signs.contains(&method) {
                    let message = format!("`{}` cannot sign a URL for {}", client.name, method.to_uppercase());
                    let who = CLIENTS.iter().filter(|it| it.signs.contains(&method)).map(|it| it.name);
                    let note = if client.note.is_empty() { String::new() } else { format!("{}; ", client.note) };
                    let who: Vec<&str> = who.collect();
                    let fix = if who.is_empty() {
                        "no client can; use a `presign` step".to_owned()
                    } else {
                        format!("these clients can: {}", list(&who))
                    };
                    let error = judge.key_error(&format!("/client/presign/{method}"), message);
                    errors.push(error.fix(format!("{note}{fix}")));
                }
            }
            Task::S3(s3) => {
                s3.check_at("client/s3", judge, errors);
                able("s3", client, |it| it.s3, judge, errors);
                if !s3.headers.is_empty() {
                    let error = judge.key_error("/client/s3/headers", "a client chooses its headers itself".to_owned());
                    errors.push(error.fix("use an `s3` step to send additional headers"));
                }
            }
            Task::Http(http) => {
                http.check_at("client/http", judge, errors);
                if client.token && http.token.is_some() {
                    token::check("client/http", http.token.as_deref(), None, judge, errors);
                }
                for (key, why, fix) in http.beyond_clients(client.token) {
                    let error = judge.key_error(&format!("/client/http/{key}"), why.to_owned());
                    errors.push(error.fix(fix));
                }
                able("http", client, |it| it.http, judge, errors);
            }
        }
    }
}

fn able(task: &str, client: &Client, can: fn(&Client) -> bool, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    if !can(client) {
        let others = CLIENTS.iter().filter(|it| can(it)).map(|it| it.name).collect::<Vec<_>>();
        let error = judge.key_error(&format!("/client/{task}"), format!("`{}` cannot do `{task}`", client.name));
        errors.push(error.fix(format!("these clients can: {}", list(&others))));
    }
}
