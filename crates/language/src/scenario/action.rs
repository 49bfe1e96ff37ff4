//! What a step does, and what follows from that: which matchers it takes and which causes it can fail with.

use std::fmt;

use super::model::{CauseSpec, ClientStep, Expect, HttpStep, PresignStep, S3Step, Step};

/// The kinds of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Resolve a name.
    Dns,
    /// Do a TLS handshake.
    Tls,
    /// Send one HTTP request.
    Http,
    /// One S3 operation.
    S3,
    /// Sign a URL.
    Presign,
    /// Exchange a token for credentials.
    Sts,
    /// Look at a token.
    Jwt,
    /// Run a program of the user's.
    Script,
    /// Let a foreign client sign, speak S3, or open a URL.
    Client,
    /// Look at an SQLite database.
    Sqlite,
    /// Look at the objects of a replica.
    Replica,
    /// Look at a Kubernetes object.
    Resource,
    /// Read what containers wrote.
    Log,
    /// Look at an object's events.
    Event,
    /// Apply Kubernetes objects.
    Apply,
    /// Change fields of an object.
    Patch,
    /// Delete an object.
    Delete,
    /// Set a number of replicas.
    Scale,
    /// Replace every pod of a workload.
    Restart,
    /// End a container's main process.
    Kill,
    /// End a pod.
    End,
    /// Put a new certificate into its Secret.
    Rotate,
    /// Start a prober.
    Background,
    /// Count what a prober has seen.
    Prober,
    /// Run a group of steps in rounds.
    Repeat,
    /// Measure a number.
    Measure,
    /// Judge numbers that rounds captured.
    Figures,
}

impl Action {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 27] = [
        Self::Dns,
        Self::Tls,
        Self::Http,
        Self::S3,
        Self::Presign,
        Self::Sts,
        Self::Jwt,
        Self::Script,
        Self::Client,
        Self::Sqlite,
        Self::Replica,
        Self::Resource,
        Self::Log,
        Self::Event,
        Self::Apply,
        Self::Patch,
        Self::Delete,
        Self::Scale,
        Self::Restart,
        Self::Kill,
        Self::End,
        Self::Rotate,
        Self::Background,
        Self::Prober,
        Self::Repeat,
        Self::Measure,
        Self::Figures,
    ];

    /// The key in the scenario.
    pub fn key(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::S3 => "s3",
            Self::Presign => "presign",
            Self::Sts => "sts",
            Self::Jwt => "jwt",
            Self::Script => "script",
            Self::Client => "client",
            Self::Sqlite => "sqlite",
            Self::Replica => "replica",
            Self::Resource => "resource",
            Self::Log => "log",
            Self::Event => "event",
            Self::Apply => "apply",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Scale => "scale",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::End => "end",
            Self::Rotate => "rotate",
            Self::Background => "background",
            Self::Prober => "prober",
            Self::Repeat => "repeat",
            Self::Measure => "measure",
            Self::Figures => "figures",
        }
    }

    /// Whether it looks from a vantage; the others go to the apiserver, or to what a vantage saw before.
    pub fn needs_vantage(self) -> bool {
        !self.is_act()
            && !matches!(
                self,
                Self::Sqlite
                    | Self::Resource
                    | Self::Log
                    | Self::Event
                    | Self::Prober
                    | Self::Repeat
                    | Self::Measure
                    | Self::Figures
            )
    }

    /// Whether it changes the environment. It takes no `expect`: it fails when it cannot be done.
    pub fn is_act(self) -> bool {
        self == Self::Apply || self.leaves_it_changed()
    }

    /// Whether the environment is another afterwards, so that no other variant can begin where it ran. What is applied
    /// can be applied again.
    pub fn leaves_it_changed(self) -> bool {
        matches!(self, Self::Patch | Self::Delete | Self::Scale | Self::Restart | Self::Kill | Self::End | Self::Rotate)
    }

    /// Whether it brings an answer that something can be captured from.
    pub fn answers(self) -> bool {
        !matches!(self, Self::Apply | Self::Background | Self::Repeat)
    }

    /// The causes it can fail with, as the keys of a `fails` entry.
    pub fn causes(self) -> &'static [&'static str] {
        match self {
            Self::Dns => &["dns", "mismatch"],
            Self::Tls => &["dns", "connect", "tls", "mismatch"],
            Self::Http | Self::S3 | Self::Replica => &["dns", "connect", "tls", "status", "s3", "mismatch", "client"],
            Self::Presign => &["client"],
            Self::Sts => &["dns", "connect", "tls", "status", "sts", "mismatch", "client"],
            Self::Jwt => &["dns", "connect", "tls", "status", "mismatch", "client"],
            Self::Script => &["exit", "mismatch", "client"],
            Self::Client => &["status", "s3", "mismatch", "client", "exit"],
            Self::Sqlite => &["resource", "exit", "mismatch"],
            Self::Resource | Self::Log | Self::Event => &["resource", "mismatch"],
            Self::Apply
            | Self::Patch
            | Self::Delete
            | Self::Scale
            | Self::Restart
            | Self::Kill
            | Self::End
            | Self::Rotate => &["resource"],
            // A prober's failures are counted, and the count is judged by another step; a round's failures are those of
            // its steps.
            Self::Background | Self::Repeat => &[],
            Self::Prober | Self::Measure | Self::Figures => &["mismatch"],
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl Step {
    /// What the step does: exactly one action in a checked scenario.
    pub fn actions(&self) -> Vec<Action> {
        let given = [
            self.dns.is_some(),
            self.tls.is_some(),
            self.http.is_some(),
            self.s3.is_some(),
            self.presign.is_some(),
            self.sts.is_some(),
            self.jwt.is_some(),
            self.script.is_some(),
            self.client.is_some(),
            self.sqlite.is_some(),
            self.replica.is_some(),
            self.resource.is_some(),
            self.log.is_some(),
            self.event.is_some(),
            self.apply.is_some(),
            self.patch.is_some(),
            self.delete.is_some(),
            self.scale.is_some(),
            self.restart.is_some(),
            self.kill.is_some(),
            self.end.is_some(),
            self.rotate.is_some(),
            self.background.is_some(),
            self.prober.is_some(),
            self.repeat.is_some(),
            self.measure.is_some(),
            self.figures.is_some(),
        ];
        Action::ALL.into_iter().zip(given).filter(|(_, given)| *given).map(|(action, _)| action).collect()
    }

    /// The step's one action.
    ///
    /// # Panics
    /// On a step that was not checked and does nothing.
    pub fn action(&self) -> Action {
        self.actions().first().copied().expect("a checked step has one action")
    }

    /// Whether later steps can say `{{ id }}`: for the URL that this one signs, or the new certificate's serial.
    pub fn yields(&self) -> bool {
        self.presign.is_some()
            || self.rotate.is_some()
            || self.client.as_ref().is_some_and(|client| client.presign.is_some())
    }

    /// The matchers that the step takes: keys of `expect`.
    pub fn matchers(&self) -> Vec<&'static str> {
        match self.actions().first() {
            Some(Action::Dns) => vec!["address", "dns"],
            Some(Action::Tls) => vec!["address", "same-chain-as", "certificate-name", "serial", "chain-length"],
            Some(Action::Http) => {
                let rest = ["headers", "address", "same-chain-as", "certificate-name", "serial", "chain-length"];
                self.http.iter().flat_map(of_http).chain(rest).collect()
            }
            Some(Action::Sts) => vec!["status", "sts", "message"],
            Some(Action::Jwt) => vec!["claims", "signature"],
            Some(Action::S3) => self.s3.as_ref().map(of_s3).unwrap_or_default(),
            Some(Action::Script) => vec!["exit", "stdout", "stderr", "json"],
            Some(Action::Client) => self.client.as_ref().map(of_client).unwrap_or_default(),
            Some(Action::Sqlite) => vec!["rows", "integrity"],
            Some(Action::Replica) => vec!["objects", "newest"],
            Some(Action::Resource) => vec!["object", "absent"],
            Some(Action::Log) => vec!["line", "no-line"],
            Some(Action::Event) => vec!["message", "reason"],
            Some(Action::Background) => self.background.as_ref().map(|it| it.probe().matchers()).unwrap_or_default(),
            Some(Action::Prober) => vec!["failures", "longest-gap", "serials", "at-least"],
            Some(Action::Measure) => vec!["value"],
            Some(Action::Figures) => vec!["count", "median", "worst"],
            Some(_) | None => Vec::new(),
        }
    }
}

fn of_http(http: &HttpStep) -> Vec<&'static str> {
    ["status", "s3"].into_iter().chain(http.head.is_none().then_some("body")).collect()
}

fn of_s3(s3: &S3Step) -> Vec<&'static str> {
    let more = match s3.operations().first() {
        Some(("get", _)) => Some("body"),
        Some(("list", _)) => Some("keys"),
        _ => None,
    };
    ["status", "s3"].into_iter().chain(more).collect()
}

/// A foreign client answers as our own probes do, but tells nothing of the connection.
fn of_client(client: &ClientStep) -> Vec<&'static str> {
    match (&client.http, &client.s3) {
        (Some(http), _) => of_http(http).into_iter().chain(["headers", "client"]).collect(),
        (None, Some(s3)) => of_s3(s3).into_iter().chain(["client"]).collect(),
        (None, None) => vec!["client"],
    }
}

impl HttpStep {
    /// The methods that are given, with their URLs: exactly one in a checked step.
    pub fn methods(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("get", &self.get),
            ("put", &self.put),
            ("head", &self.head),
            ("post", &self.post),
            ("delete", &self.delete),
        ];
        given(&all)
    }
}

impl S3Step {
    /// The operations that are given, with what they work on: exactly one in a checked step.
    pub fn operations(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("put", &self.put),
            ("get", &self.get),
            ("head", &self.head),
            ("delete", &self.delete),
            ("list", &self.list),
            ("create-bucket", &self.create_bucket),
            ("create-upload", &self.create_upload),
            ("complete-upload", &self.complete_upload),
        ];
        given(&all)
    }
}

impl PresignStep {
    /// The methods that are given, with `bucket/key`: exactly one in a checked step.
    pub fn methods(&self) -> Vec<(&'static str, &str)> {
        given(&[("get", &self.get), ("put", &self.put), ("head", &self.head), ("delete", &self.delete)])
    }
}

fn given<'a>(all: &[(&'static str, &'a Option<String>)]) -> Vec<(&'static str, &'a str)> {
    all.iter().filter_map(|(name, value)| value.as_deref().map(|value| (*name, value))).collect()
}

impl Expect {
    /// The matchers that are given.
    pub fn given(&self) -> Vec<&'static str> {
        let all = [
            ("status", self.status.is_some()),
            ("s3", self.s3.is_some()),
            ("sts", self.sts.is_some()),
            ("claims", self.claims.is_some()),
            ("signature", self.signature.is_some()),
            ("body", self.body.is_some()),
            ("headers", self.headers.is_some()),
            ("dns", self.dns.is_some()),
            ("client", self.client.is_some()),
            ("address", self.address.is_some()),
            ("same-chain-as", self.same_chain_as.is_some()),
            ("certificate-name", self.certificate_name.is_some()),
            ("serial", self.serial.is_some()),
            ("chain-length", self.chain_length.is_some()),
            ("keys", self.keys.is_some()),
            ("exit", self.exit.is_some()),
            ("stdout", self.stdout.is_some()),
            ("stderr", self.stderr.is_some()),
            ("json", self.json.is_some()),
            ("object", self.object.is_some()),
            ("absent", self.absent.is_some()),
            ("line", self.line.is_some()),
            ("no-line", self.no_line.is_some()),
            ("message", self.message.is_some()),
            ("reason", self.reason.is_some()),
            ("failures", self.failures.is_some()),
            ("longest-gap", self.longest_gap.is_some()),
            ("serials", self.serials.is_some()),
            ("at-least", self.at_least.is_some()),
            ("count", self.count.is_some()),
            ("median", self.median.is_some()),
            ("worst", self.worst.is_some()),
            ("rows", self.rows.is_some()),
            ("integrity", self.integrity.is_some()),
            ("objects", self.objects.is_some()),
            ("newest", self.newest.is_some()),
            ("value", self.value.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

impl CauseSpec {
    /// The layers that are given: everything but `message`.
    pub fn layers(&self) -> Vec<&'static str> {
        let all = [
            ("dns", self.dns.is_some()),
            ("connect", self.connect.is_some()),
            ("tls", self.tls.is_some()),
            ("status", self.status.is_some()),
            ("s3", self.s3.is_some()),
            ("sts", self.sts.is_some()),
            ("mismatch", self.mismatch.is_some()),
            ("resource", self.resource.is_some()),
            ("exit", self.exit.is_some()),
            ("client", self.client.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
