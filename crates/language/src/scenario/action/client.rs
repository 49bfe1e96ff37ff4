//! `client`: a client that applications use, and what it is to do.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::script::{CLIENTS_IMAGE, variables};
use super::{HttpStep, Implied, Key, Kinded, Nature, OneOf, PresignStep, Rules, S3Step, Wrong, written_as};
use crate::scenario::clients::{CLIENTS, Client};
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::{Parts, See, below, parts};
use crate::scenario::template::{Template, Words};

/// The client that has an image of its own, and is asked from a page.
const BROWSER: &str = "browser";

/// Let a client that applications use do what `presign`, `s3` or `http` would do: exactly one of them. The vantage's image
/// must hold the client, as `clients` and `browser` do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ClientStep")]
struct ClientFile {
    /// The client: `aws-sdk-rust`, `aws-cli`, `boto3`, `mc`, `aws-sdk-go-v2`, `aws-sdk-js-v3` and `aws-sdk-java-v2` sign
    /// and speak S3; `curl`, `reqwest` and `browser` open URLs.
    #[serde(rename = "use")]
    client: String,
    /// Sign a URL; the step's value is the URL.
    #[serde(default)]
    presign: Option<PresignStep>,
    /// One S3 operation.
    #[serde(default)]
    s3: Option<S3Step>,
    /// Send one HTTP request.
    #[serde(default)]
    http: Option<HttpStep>,
    /// Let the client find endpoint, region and credentials by its own default chain, as an application does; it is told
    /// none of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    chain: bool,
    /// Further environment, for what a client is configured by.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    env: IndexMap<String, Template>,
    /// The origin of the page whose script asks (`browser`), for example `http://app.example.com`.
    #[serde(default)]
    origin: Option<Template>,
}

/// Let a client that applications use do something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ClientFile")]
pub struct ClientStep {
    /// The client.
    pub client: String,
    /// What it is to do.
    pub task: Task,
    /// Whether it finds endpoint, region and credentials by its own default chain.
    pub chain: bool,
    /// Further environment.
    pub env: IndexMap<String, Template>,
    /// The origin of the page whose script asks.
    pub origin: Option<Template>,
}

/// What a client is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Sign a URL.
    Presign(PresignStep),
    /// One S3 operation.
    S3(S3Step),
    /// Send one HTTP request.
    Http(HttpStep),
}

written_as!(ClientStep, ClientFile);
parts!(ClientStep { client as "use", task as "", chain, env, origin });

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
        let task = task.ok_or("the client has nothing to do")?;
        Ok(Self { client, task, chain, env, origin })
    }
}

impl Kinded for ClientStep {
    const NATURE: Nature = Nature::probe(&["status", "s3", "mismatch", "client", "exit"]);
    const ONE_OF: Option<OneOf> = Some(OneOf {
        of: "ClientStep",
        what: "task",
        keys: &["presign", "s3", "http"],
        none: |it, _| {
            let client = it.value["use"].as_str().unwrap_or_default();
            let message = format!("`{client}` has nothing to do");
            Wrong::key("", message, "give it one of `presign`, `s3` and `http`")
        },
        two: |_, first, second| {
            let message = format!("`client` has two tasks: `{first}` and `{second}`");
            Wrong::key(&format!("/{second}"), message, "make it two steps")
        },
    });
}

impl Rules for ClientStep {
    /// A foreign client answers as our own probes do, but tells nothing of the connection.
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
        if matches!(self.task, Task::S3(_)) { Implied::Success } else { Implied::Answer }
    }

    fn yields(&self) -> bool {
        matches!(self.task, Task::Presign(_))
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
            let error = judge.key_error("/client/origin", format!("`{}` asks from no page", client.name));
            errors.push(error.fix(format!("only `use: {BROWSER}` has an origin; remove it")));
        }
        if self.chain && matches!(self.task, Task::Http(_)) {
            let error = judge.key_error("/client/chain", "a request without S3 needs no credentials".to_owned());
            errors.push(error.fix("remove `chain`"));
        }
        variables("/client/env", &self.env, judge, errors);
        if let Some((id, vantage)) = judge.place()
            && vantage.image().is_none()
        {
            let image = if client.name == BROWSER { BROWSER } else { CLIENTS_IMAGE };
            let error = judge.error("/from", format!("vantage `{id}` has no image, so no `{}` is there", client.name));
            errors.push(error.fix(judge.image_fix(image)));
        }
    }
}

impl ClientStep {
    fn check_task(&self, client: &Client, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        match &self.task {
            Task::Presign(presign) => {
                presign.check_at("client/presign", judge, errors);
                let method = presign.request.key.key();
                if !client.signs.contains(&method) {
                    let message = format!("`{}` signs no URL for {}", client.name, method.to_uppercase());
                    let who = CLIENTS.iter().filter(|it| it.signs.contains(&method)).map(|it| it.name);
                    let note = if client.note.is_empty() { String::new() } else { format!("{}; ", client.note) };
                    let error = judge.key_error(&format!("/client/presign/{method}"), message);
                    errors.push(error.fix(format!("{note}these sign it: {}", list(&who.collect::<Vec<_>>()))));
                }
            }
            Task::S3(s3) => {
                s3.check_at("client/s3", judge, errors);
                able("s3", client, |it| it.s3, judge, errors);
                if !s3.headers.is_empty() {
                    let error = judge.key_error("/client/s3/headers", "a client chooses its headers itself".to_owned());
                    errors.push(error.fix("ask with an `s3` step where further headers are meant"));
                }
            }
            Task::Http(http) => {
                http.check_at("client/http", judge, errors);
                if http.path.is_some() {
                    let error = judge.key_error("/client/http/path", "a client sends the URL as it is".to_owned());
                    errors.push(error.fix("ask with an `http` step where a proxy on the way is meant"));
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
        errors.push(error.fix(format!("these can: {}", list(&others))));
    }
}
