//! The actions of steps. Each kind of step is a row of the table below and has its own module. The module declares the
//! kind's fields, matchers and causes, and checks a step of the kind for mistakes.

mod apply;
pub mod asking;
mod background;
mod client;
mod delete;
mod dns;
mod end;
mod event;
mod figures;
pub mod http;
mod jwt;
mod keyed;
mod kill;
mod log;
mod measure;
mod nature;
mod node;
mod patch;
pub mod presign;
mod prober;
mod repeat;
mod replica;
mod resource;
mod restart;
mod role;
mod rotate;
mod rules;
mod s3;
mod scale;
mod script;
mod sqlite;
mod start;
mod sts;
mod tls;
mod token;
mod wait;
mod workload;

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

pub use self::apply::ApplyStep;
pub use self::background::{BackgroundStep, Probing};
pub use self::client::{ClientStep, Task};
pub use self::delete::DeleteStep;
pub use self::dns::DnsStep;
pub use self::end::{EndStep, EndTarget, Ending};
pub use self::event::EventStep;
pub use self::figures::FiguresStep;
pub use self::http::{HttpStep, Method};
pub use self::jwt::JwtStep;
pub use self::keyed::{Key, Keyed};
pub use self::kill::{KillStep, KillTarget, Signal};
pub use self::log::LogStep;
pub use self::measure::MeasureStep;
pub use self::nature::{Effect, Nature};
pub use self::patch::{Changes, PatchStep, Subresource};
pub use self::presign::PresignStep;
pub use self::prober::ProberStep;
pub use self::repeat::{After, Placed, ROUND, Random, RepeatStep, placed};
pub use self::replica::ReplicaStep;
pub use self::resource::ResourceStep;
pub use self::restart::RestartStep;
pub use self::role::{Alters, Asks, Directs, Looks, Reach, Role, Special, Touched};
pub use self::rotate::RotateStep;
pub use self::rules::{Implied, Kinded, Rules};
pub use self::s3::{Operation, S3Step, SessionToken};
pub use self::scale::ScaleStep;
pub use self::script::ScriptStep;
pub use self::sqlite::SqliteStep;
pub use self::start::{StartStep, StartTarget};
pub use self::sts::StsStep;
pub use self::tls::TlsStep;
pub use self::token::{STS_AUDIENCE, Signer, TokenSpec};
pub use self::wait::WaitStep;
pub use self::workload::Workload;
use super::diagnostic::Diagnostic;
use super::duration::Span;
use super::meaning::Judge;
use super::model::{Capture, Shows, StepRef, Vulnerable, WrittenExpect};
use super::one_of::{Needs, OneOf, Place, Wrong};
use super::parts::{Parts, See, below};
use super::template::Words;

/// Defines the types for all kinds of step, independent of their roles. A row has the name of the kind, its key in a
/// scenario, and its type.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $key:ident: $type:ty,)*) => {
        /// What a step does: the kind of the step, with the fields of that kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Action {
            $($(#[$doc])* $name($type),)*
        }

        /// The kind of a step, without its fields.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All kinds of step, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The keys of all kinds of step, in the order of `ALL`.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            /// Returns the key under which a scenario writes a step of this kind.
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($key),)*
                }
            }

            /// Returns the properties that all steps of this kind share.
            pub fn nature(self) -> Nature {
                match self {
                    $(Self::$name => <$type as Kinded>::NATURE,)*
                }
            }

            /// Returns the time that a step of this kind usually takes, in milliseconds.
            pub fn typical_ms(self) -> u64 {
                match self {
                    $(Self::$name => <$type as Kinded>::TYPICAL_MS,)*
                }
            }
        }

        impl Action {
            /// Returns the kind of the action.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$name(_) => Kind::$name,)*
                }
            }

            /// Returns the rules of this action: its matchers, outputs and checks.
            pub fn rules(&self) -> &dyn Rules {
                match self {
                    $(Self::$name(it) => it,)*
                }
            }
        }

        impl Parts for Action {
            fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
                match self {
                    $(Self::$name(it) => below(at, stringify!($key), |at| it.see(at, to)),)*
                }
            }

            fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
                Ok(match self {
                    $(Self::$name(it) => Self::$name(it.filled(words)?),)*
                })
            }
        }

        /// One step: an id and exactly one action.
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        #[schemars(rename = "Step")]
        struct StepFile {
            /// The id of the step, unique in the flow. Breaks refer to the step by this id. Later steps refer to the
            /// step's value by `{{ id }}`.
            id: String,
            /// The id of the vantage at which the step runs.
            #[serde(default)]
            from: Option<String>,
            /// The ids of further steps that must have passed, besides the steps to which this step refers by `{{ }}`.
            /// If one of them fails, this step is blocked: it is not run.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            needs: Vec<StepRef>,

            $($(#[$doc])* #[serde(default)] $key: Option<$type>,)*

            /// What must hold in the answer. Each key is a matcher. For every matcher, a break must show that the
            /// matcher can fail.
            #[serde(default)]
            expect: Option<WrittenExpect>,
            /// Repeat the step until the expectation holds, for at most this long. In a break, the step is repeated for
            /// the whole time if the declared failure can also occur temporarily (no connection, a 5xx answer).
            #[serde(default)]
            eventually: Option<Span>,
            /// The number of consecutive tries in which the expectation must hold, within `eventually`. Use it for a
            /// state that can change back.
            #[serde(default)]
            #[schemars(range(min = 2, max = 1000))]
            stays: Option<u16>,
            /// The time for which the expectation must hold in every try. With `eventually`, this time begins when the
            /// expectation first holds. The pause between two tries is a fiftieth of this time, but at least 100 ms and
            /// at most 250 ms; a shorter failure may not be seen.
            #[serde(default)]
            consistently: Option<Span>,
            /// Values for later steps (`{{ id.name }}`), by name. Each is a JSON pointer into the whole answer as the
            /// record has it, for example `/evidence/chain/0/serial`, `/reply/http/status`, or `/reply/http/json` for a
            /// body that is JSON. For a secret value write `{ path: /json/pointer, secret: true }`. Each value must
            /// exist, so a step that only looks something up needs no `expect`.
            #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
            capture: IndexMap<String, Capture>,
            /// The known vulnerability that the step demonstrates: the step's attack succeeds in the version under
            /// test. The report lists the step as a finding.
            #[serde(default)]
            vulnerable: Option<Vulnerable>,
            /// The cell of a table in the report for which this step is the evidence.
            #[serde(default)]
            shows: Option<Shows>,
            /// When a step within a `repeat` begins: `2s` after the previous step, or after a random delay of at most
            /// 3s, `{ random: 3s }`.
            #[serde(default)]
            after: Option<After>,
        }

        impl TryFrom<StepFile> for Step {
            type Error = String;

            fn try_from(file: StepFile) -> Result<Self, String> {
                let StepFile { id, from, needs, expect, eventually, stays, .. } = file;
                let StepFile { consistently, capture, vulnerable, shows, after, .. } = file;
                let mut action = None;
                $(if let Some(it) = file.$key {
                    action.get_or_insert(Action::$name(it));
                })*
                let action = action.ok_or_else(|| format!("step `{id}` has no action"))?;
                Ok(Self {
                    id, from, needs, action, expect, eventually, stays, consistently, capture, vulnerable, shows, after,
                })
            }
        }

        /// For all types of a scenario: the sets of keys of which exactly one key must be given. The module `one_of`
        /// checks this.
        pub(super) const ONE_OF: &[&[OneOf]] = &[&[STEP], $(<$type as Kinded>::ONE_OF),*];

        /// For all types of a scenario: the keys that are valid only together with another key. The module `one_of`
        /// checks this.
        pub(super) const NEEDS: &[&[Needs]] = &[$(<$type as Kinded>::NEEDS),*];
    };
}

/// The table of kinds of step, by role: `asks` asks a vantage, `looks` reads from the cluster, `changes` changes the
/// environment, and `directs` controls the flow. The role decides which properties a kind must declare, and which part
/// of the harness executes the kind.
macro_rules! actions {
    (
        asks { $($(#[$ask_doc:meta])* $ask:ident $ask_key:ident: $ask_type:ty,)* }
        looks { $($(#[$look_doc:meta])* $look:ident $look_key:ident: $look_type:ty,)* }
        changes { $($(#[$change_doc:meta])* $change:ident $change_key:ident: $change_type:ty,)* }
        directs { $($(#[$direct_doc:meta])* $direct:ident $direct_key:ident: $direct_type:ty,)* }
    ) => {
        kinds! {
            $($(#[$ask_doc])* $ask $ask_key: $ask_type,)*
            $($(#[$look_doc])* $look $look_key: $look_type,)*
            $($(#[$change_doc])* $change $change_key: $change_type,)*
            $($(#[$direct_doc])* $direct $direct_key: $direct_type,)*
        }

        /// An action that reads from the cluster without a vantage.
        #[derive(Clone, Copy, Debug)]
        pub enum Looking<'a> {
            $($(#[$look_doc])* $look(&'a $look_type),)*
        }

        /// An action that changes the environment.
        #[derive(Clone, Copy, Debug)]
        pub enum Changing<'a> {
            $($(#[$change_doc])* $change(&'a $change_type),)*
        }

        /// An action that controls the flow: it starts or counts a prober, groups steps, or computes a value.
        #[derive(Clone, Copy, Debug)]
        pub enum Directing<'a> {
            $($(#[$direct_doc])* $direct(&'a $direct_type),)*
        }

        impl Action {
            /// Returns the role of the action. The role decides which part of the harness executes the action.
            pub fn role(&self) -> Role<'_> {
                match self {
                    $(Self::$ask(it) => Role::Asks(it),)*
                    $(Self::$look(it) => Role::Looks(it, Looking::$look(it)),)*
                    $(Self::$change(it) => Role::Changes(it, Changing::$change(it)),)*
                    $(Self::$direct(it) => Role::Directs(it, Directing::$direct(it)),)*
                }
            }
        }

        // Checks at compile time that the declared properties of each kind of step agree with the role under which the
        // table lists the kind.
        const _: () = {
            $(assert!(<$ask_type as Kinded>::NATURE.from_vantage && !<$ask_type as Kinded>::NATURE.is_act());)*
            $(assert!(!<$look_type as Kinded>::NATURE.from_vantage && !<$look_type as Kinded>::NATURE.is_act());)*
            $(assert!(<$change_type as Kinded>::NATURE.is_act());)*
        };
    };
}

actions! {
    asks {
        /// Resolve a host name.
        Dns dns: DnsStep,
        /// Make a TLS handshake and read the certificate chain.
        Tls tls: TlsStep,
        /// Send one HTTP request, without redirects and retries.
        Http http: HttpStep,
        /// Do one S3 operation with the AWS SDK for Rust.
        S3 s3: S3Step,
        /// Sign a URL; the step's value is the URL.
        Presign presign: PresignStep,
        /// Exchange a web identity token for credentials. Later steps use the credentials with `as`.
        Sts sts: StsStep,
        /// Decode a web identity token, and check its signature against the keys that its issuer publishes.
        Jwt jwt: JwtStep,
        /// Run a program of the user.
        Script script: ScriptStep,
        /// Run a client that applications use: it signs a URL, does an S3 operation, or opens a URL.
        Client client: ClientStep,
        /// Read, from a vantage, the number of objects of a replica and the age of the newest object.
        Replica replica: ReplicaStep,
    }
    looks {
        /// Read the state of an SQLite database, in the container that has the database's file.
        Sqlite sqlite: SqliteStep,
        /// Read a Kubernetes object, or check that it does not exist.
        Resource resource: ResourceStep,
        /// Read the log of containers. With `eventually`, the step follows the log.
        Log log: LogStep,
        /// Read the events that Kubernetes recorded for an object. With `eventually`, the step watches for further
        /// events.
        Event event: EventStep,
    }
    changes {
        /// Apply Kubernetes objects (server-side apply), and wait until the applied Services can be reached.
        Apply apply: ApplyStep,
        /// Change fields of a Kubernetes object.
        Patch patch: PatchStep,
        /// Delete a Kubernetes object, and wait until the object is gone.
        Delete delete: DeleteStep,
        /// Set the number of replicas of a workload, and wait until exactly this number of replicas is available.
        Scale scale: ScaleStep,
        /// Replace every pod of a Deployment or `StatefulSet`, and wait for the new pods.
        Restart restart: RestartStep,
        /// Wait until a Deployment or `StatefulSet` has rolled out. To wait for anything else, write a `resource`,
        /// `log` or `event` step with `eventually`.
        Wait wait: WaitStep,
        /// End the main process of a container through the node's container runtime, or stop a whole node.
        Kill kill: KillStep,
        /// End a pod as a crash does or as `kubectl delete` does, and keep the last log lines of its containers. Or
        /// remove an agent node from the cluster.
        End end: EndStep,
        /// Start a node, or a container outside the cluster, that does not run.
        Start start: StartStep,
        /// Put a new leaf certificate into the Secret of a fixture's certificate. The step's value is the new serial
        /// number.
        Rotate rotate: RotateStep,
    }
    directs {
        /// Start a prober, which repeats one question at a fixed rate until a `prober` step stops it.
        Background background: BackgroundStep,
        /// Count the answers that a prober has received so far.
        Prober prober: ProberStep,
        /// Run a group of steps in rounds.
        Repeat repeat: RepeatStep,
        /// Measure a number that a step captured, or the difference of two captured numbers.
        Measure measure: MeasureStep,
        /// Judge numbers that the rounds of a repeat captured.
        Figures figures: FiguresStep,
    }
}

/// A step with its parsed action: an id, and one thing to do. The check `one_of` must accept a value before the value
/// is deserialised into this type, because the deserialisation silently ignores a second action.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "StepFile")]
pub struct Step {
    /// The id of the step, unique in the flow.
    pub id: String,
    /// The id of the vantage at which the step runs; `None` if the step does not run at a vantage.
    pub from: Option<String>,
    /// The ids of steps that must have passed before this step runs, in addition to the steps to which this step
    /// refers.
    pub needs: Vec<StepRef>,
    /// The action of the step.
    pub action: Action,
    /// What must hold in the answer. `None` if the step has no `expect`.
    pub expect: Option<WrittenExpect>,
    /// How long the step is repeated until the expectation holds. `None` means that the step is tried once.
    pub eventually: Option<Span>,
    /// The number of consecutive tries in which the expectation must hold.
    pub stays: Option<u16>,
    /// The time for which the expectation must hold in every try. With `eventually`, this time begins when the
    /// expectation first holds.
    pub consistently: Option<Span>,
    /// Values for later steps, by name. Each is a JSON pointer into the answer of this step.
    pub capture: IndexMap<String, Capture>,
    /// The known vulnerability, if the step performs an attack.
    pub vulnerable: Option<Vulnerable>,
    /// The cell of a table in the report for which this step is the evidence.
    pub shows: Option<Shows>,
    /// The delay between the previous step and this step. Only a step within a `repeat` has one.
    pub after: Option<After>,
}

impl Step {
    /// Returns the kind of the step.
    pub fn kind(&self) -> Kind {
        self.action.kind()
    }

    /// Returns the properties that all steps of this kind share.
    pub fn nature(&self) -> Nature {
        self.kind().nature()
    }

    /// Returns the `repeat` with its inner steps; `None` if this step is of another kind.
    pub fn repeat(&self) -> Option<&RepeatStep> {
        if let Action::Repeat(repeat) = &self.action { Some(repeat) } else { None }
    }

    /// Visits every part of the action and of the expectation that can contain a reference, each with its JSON pointer
    /// below the step.
    pub fn see<'p>(&'p self, to: &mut See<'_, 'p>) {
        let mut at = String::new();
        self.action.see(&mut at, to);
        if let Some(expect) = &self.expect {
            below(&mut at, "expect", |at| expect.see(at, to));
        }
    }
}

impl JsonSchema for Step {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        StepFile::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        StepFile::json_schema(generator)
    }
}

const STEP: OneOf = OneOf {
    of: "Step",
    what: "action",
    keys: Kind::KEYS,
    none: |it, all| {
        let id = it.value["id"].as_str().unwrap_or_default();
        Wrong::value("/id", format!("step `{id}` has no action"), format!("add one of {all}"))
    },
    two: |it, first, second| {
        let id = it.value["id"].as_str().unwrap_or_default();
        let message = format!("step `{id}` has two actions: `{first}` and `{second}`");
        Wrong::key(&format!("/{second}"), message, "split it into two steps")
    },
};

/// Returns the error for a step that gives none of its possible operations. `what` is the word for such an operation,
/// and `all` lists them.
fn no_operation(it: &Place<'_>, what: &str, all: &str) -> Wrong {
    Wrong::key("", format!("`{}` has no {what}", it.key), format!("add one of {all}"))
}

fn two_operations(it: &Place<'_>, what: &str, first: &str, second: &str) -> Wrong {
    let message = format!("`{}` has two {what}s: `{first}` and `{second}`", it.key);
    Wrong::key(&format!("/{second}"), message, "split it into two steps")
}

/// Gives `$type` the JSON schema of `$file`, the type from which `$type` is deserialised.
macro_rules! written_as {
    ($type:ident, $file:ident) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$file as schemars::JsonSchema>::schema_name()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$file as schemars::JsonSchema>::json_schema(generator)
            }
        }
    };
}
use written_as;

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
