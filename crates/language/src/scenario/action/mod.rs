//! What a step does, and all that follows from that: a module for each kind. A kind is a row of the table below; its
//! module says its fields, which matchers and causes it has, and what can be wrong with it.

mod apply;
mod background;
mod client;
mod delete;
mod dns;
mod end;
mod event;
mod figures;
mod http;
mod jwt;
mod keyed;
mod kill;
mod log;
mod measure;
mod patch;
mod presign;
mod prober;
mod repeat;
mod replica;
mod resource;
mod restart;
mod rotate;
mod s3;
mod scale;
mod script;
mod sqlite;
mod sts;
mod tls;
mod token;
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
pub use self::end::{EndStep, Ending};
pub use self::event::EventStep;
pub use self::figures::FiguresStep;
pub use self::http::{HttpStep, Method};
pub use self::jwt::JwtStep;
pub use self::keyed::{Key, Keyed};
pub use self::kill::{KillStep, Signal};
pub use self::log::LogStep;
pub use self::measure::MeasureStep;
pub use self::patch::{Changes, PatchStep};
pub use self::presign::PresignStep;
pub use self::prober::ProberStep;
pub use self::repeat::{After, Placed, ROUND, Random, RepeatStep, placed};
pub use self::replica::ReplicaStep;
pub use self::resource::ResourceStep;
pub use self::restart::RestartStep;
pub use self::rotate::RotateStep;
pub use self::s3::{Operation, S3Step, SessionToken};
pub use self::scale::ScaleStep;
pub use self::script::ScriptStep;
pub use self::sqlite::SqliteStep;
pub use self::sts::StsStep;
pub use self::tls::TlsStep;
pub use self::token::{STS_AUDIENCE, Signer, TokenSpec};
pub use self::workload::Workload;
use super::diagnostic::Diagnostic;
use super::duration::Span;
use super::meaning::Judge;
use super::model::{Capture, Source, StepRef, Vulnerable, WrittenExpect};
use super::one_of::{OneOf, Place, Wrong};
use super::parts::{Leaves, Parts, See, below};
use super::template::{Tree, Words};

/// What a kind of step does to the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: it looks, and brings an answer.
    Looks,
    /// It applies objects, which can be applied again.
    Applies,
    /// It leaves it changed, so that no other variant can begin where it ran.
    Changes,
    /// None: it starts what other steps judge.
    Starts,
    /// That of the steps within it.
    Groups,
}

/// What is the same for every step of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Whether it looks from a vantage; the others go to the apiserver, or to what a vantage saw before.
    pub from_vantage: bool,
    /// What it does to the environment.
    pub effect: Effect,
    /// Whether it asserts something without an `expect`: that a store or a token service accepts it.
    pub asserts: bool,
    /// The causes it can fail with, as the keys of a `fails` entry.
    pub causes: &'static [&'static str],
}

impl Nature {
    /// A kind that asks from a vantage.
    const fn probe(causes: &'static [&'static str]) -> Self {
        Self { from_vantage: true, effect: Effect::Looks, asserts: false, causes }
    }

    /// A kind that looks from no vantage.
    const fn look(causes: &'static [&'static str]) -> Self {
        Self { from_vantage: false, ..Self::probe(causes) }
    }

    /// A kind that leaves the environment changed. It takes no `expect`: it fails when it cannot be done.
    const fn act() -> Self {
        Self { effect: Effect::Changes, ..Self::look(&["resource"]) }
    }

    /// Whether it changes the environment.
    pub fn is_act(&self) -> bool {
        matches!(self.effect, Effect::Applies | Effect::Changes)
    }

    /// Whether it brings an answer that something can be captured from.
    pub fn answers(&self) -> bool {
        matches!(self.effect, Effect::Looks | Effect::Changes)
    }
}

/// What a step expects that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implied {
    /// An answer, whatever it is.
    Answer,
    /// Success: any 2xx of a store, exit code 0 of a program.
    Success,
}

/// A kind of step: what is known of it before there is one.
pub trait Kinded: Rules {
    /// What is the same for every step of the kind.
    const NATURE: Nature;
    /// The keys of which a step gives exactly one.
    const ONE_OF: Option<OneOf> = None;
}

/// What follows from what a step says.
pub trait Rules {
    /// What it brings for matchers to read: which keys of `expect` it takes follows from that.
    fn brings(&self) -> Vec<Source> {
        Vec::new()
    }

    /// Whether it says nothing without an `expect`.
    fn needs_expect(&self) -> bool {
        true
    }

    /// What it expects where it says nothing.
    fn implied(&self) -> Implied {
        Implied::Answer
    }

    /// Whether later steps can say `{{ id }}`.
    fn yields(&self) -> bool {
        false
    }

    /// What it leaves for the steps that name it.
    fn leaves(&self) -> &'static [Leaves] {
        &[]
    }

    /// The operation among several, for messages: `s3 put`.
    fn operation(&self) -> Option<&'static str> {
        None
    }

    /// The token that is made for it.
    fn token(&self) -> Option<&TokenSpec> {
        None
    }

    /// The objects that it applies.
    fn objects(&self) -> &[Tree] {
        &[]
    }

    /// How long it may take, where it says so.
    fn within(&self) -> Option<Span> {
        None
    }

    /// What is wrong with it, beyond what is wrong with any step.
    fn check(&self, _judge: &Judge<'_>, _errors: &mut Vec<Diagnostic>) {}
}

/// The table of the kinds: the name, the key in a scenario, and the type.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $key:ident: $type:ty,)*) => {
        /// What a step does, with what it says about it.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Action {
            $($(#[$doc])* $name($type),)*
        }

        /// The kinds of step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All kinds, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The key of each.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            /// The key in the scenario.
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($key),)*
                }
            }

            /// What is the same for every step of the kind.
            pub fn nature(self) -> Nature {
                match self {
                    $(Self::$name => <$type as Kinded>::NATURE,)*
                }
            }
        }

        impl Action {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$name(_) => Kind::$name,)*
                }
            }

            /// What follows from it.
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

        /// One step: an id and exactly one thing to do.
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        #[schemars(rename = "Step")]
        struct StepFile {
            /// Id, unique in the flow: what it yields is `{{ id }}` for later steps, and breaks name it.
            id: String,
            /// The vantage that a probe looks from.
            #[serde(default)]
            from: Option<String>,
            /// Steps that must have passed, beyond those that are named in `{{ }}`: if one fails, this one is blocked.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            needs: Vec<StepRef>,

            $($(#[$doc])* #[serde(default)] $key: Option<$type>,)*

            /// What must hold. Each key is a matcher, and each must be proven by a break.
            #[serde(default)]
            expect: Option<WrittenExpect>,
            /// Ask again until the expectation holds, at most this long: for what takes effect in its own time. In a break whose
            /// declared failure is seen on the way there too (no connection, a 5xx answer), all of it is waited out.
            #[serde(default)]
            eventually: Option<Span>,
            /// So many tries in a row must hold, within the time of `eventually`: for what comes and goes on the way.
            #[serde(default)]
            #[schemars(range(min = 2, max = 1000))]
            stays: Option<u16>,
            /// The expectation must hold in every try during this span. With `eventually` it must first come to hold within that
            /// time, and then stay so.
            #[serde(default)]
            consistently: Option<Span>,
            /// Values for later steps, by name: JSON pointers into the whole answer as the record has it, for example
            /// `/evidence/chain/0/serial` or `/reply/http/status`; an HTTP body that is JSON lies at `/reply/http/json`. Later
            /// steps write `{{ id.name }}`. One that must not be seen is `{ path: /json/pointer, secret: true }`.
            #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
            capture: IndexMap<String, Capture>,
            /// What the step shows is an attack, and that it succeeds is a known hole of this build: a finding of the report.
            #[serde(default)]
            vulnerable: Option<Vulnerable>,
            /// When a step within a `repeat` begins: `2s` after the step before it, or at a moment drawn from the repeat's seed,
            /// `{ random: 3s }`.
            #[serde(default)]
            after: Option<After>,
        }

        impl TryFrom<StepFile> for Step {
            type Error = String;

            fn try_from(file: StepFile) -> Result<Self, String> {
                let StepFile { id, from, needs, expect, eventually, stays, .. } = file;
                let StepFile { consistently, capture, vulnerable, after, .. } = file;
                let mut action = None;
                $(if let Some(it) = file.$key {
                    action.get_or_insert(Action::$name(it));
                })*
                let action = action.ok_or_else(|| format!("step `{id}` does nothing"))?;
                Ok(Self { id, from, needs, action, expect, eventually, stays, consistently, capture, vulnerable, after })
            }
        }

        /// What of a scenario's types gives exactly one of several keys.
        pub(super) const ONE_OF: &[Option<OneOf>] = &[Some(STEP), $(<$type as Kinded>::ONE_OF),*];
    };
}

actions! {
    /// Resolve a name.
    Dns dns: DnsStep,
    /// Do a TLS handshake and read the chain.
    Tls tls: TlsStep,
    /// Send one HTTP request: no redirects, no retries.
    Http http: HttpStep,
    /// One S3 operation by the AWS SDK for Rust.
    S3 s3: S3Step,
    /// Sign a URL; the step's value is the URL.
    Presign presign: PresignStep,
    /// Exchange a web identity token for credentials, for later steps' `as`.
    Sts sts: StsStep,
    /// Look at a web identity token, and check its signature against the keys that its issuer publishes.
    Jwt jwt: JwtStep,
    /// Run a program of one's own.
    Script script: ScriptStep,
    /// Let a client that applications use sign, speak S3, or open a URL.
    Client client: ClientStep,
    /// Look at an SQLite database, through the container that holds it.
    Sqlite sqlite: SqliteStep,
    /// Look at the objects of a replica, and at the age of the newest.
    Replica replica: ReplicaStep,
    /// Look at a Kubernetes object.
    Resource resource: ResourceStep,
    /// Read what containers wrote. With `eventually` the log is followed.
    Log log: LogStep,
    /// Look at the events that Kubernetes recorded of an object. With `eventually` they are watched.
    Event event: EventStep,
    /// Apply Kubernetes objects (server-side).
    Apply apply: ApplyStep,
    /// Change fields of a Kubernetes object.
    Patch patch: PatchStep,
    /// Delete a Kubernetes object, and wait until it is gone.
    Delete delete: DeleteStep,
    /// Set the number of replicas, and wait until there are that many.
    Scale scale: ScaleStep,
    /// Replace every pod of a Deployment or `StatefulSet`, and wait for the new ones.
    Restart restart: RestartStep,
    /// End a container's main process through the node's container runtime.
    Kill kill: KillStep,
    /// End a pod, as a crash does or as `kubectl delete` does, and keep what its containers said last.
    End end: EndStep,
    /// Put a new leaf into the Secret of a fixture's certificate; the step's value is its serial.
    Rotate rotate: RotateStep,
    /// Start a prober: one question at a fixed rate, from here on until a `prober` step stops it.
    Background background: BackgroundStep,
    /// Count what a prober has seen so far.
    Prober prober: ProberStep,
    /// Run a group of steps in rounds.
    Repeat repeat: RepeatStep,
    /// Measure a number that was captured, or how far two are apart.
    Measure measure: MeasureStep,
    /// Judge numbers that the rounds of a repeat captured.
    Figures figures: FiguresStep,
}

/// A step as it is meant: an id, and one thing to do. Whoever reads one has made sure that there is exactly one
/// (`one_of`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "StepFile")]
pub struct Step {
    /// Its id, unique in the flow.
    pub id: String,
    /// The vantage that it looks from.
    pub from: Option<String>,
    /// Steps that must have passed, beyond those that it refers to.
    pub needs: Vec<StepRef>,
    /// What it does.
    pub action: Action,
    /// What must hold.
    pub expect: Option<WrittenExpect>,
    /// Ask again until that holds, at most this long.
    pub eventually: Option<Span>,
    /// So many tries in a row must hold.
    pub stays: Option<u16>,
    /// It must hold for this long.
    pub consistently: Option<Span>,
    /// Values for later steps: JSON pointers by name.
    pub capture: IndexMap<String, Capture>,
    /// That what it shows succeeds is a known hole.
    pub vulnerable: Option<Vulnerable>,
    /// When it begins, within a `repeat`.
    pub after: Option<After>,
}

impl Step {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.action.kind()
    }

    /// What is the same for every step of its kind.
    pub fn nature(&self) -> Nature {
        self.kind().nature()
    }

    /// The group of steps that it is, where it is one.
    pub fn repeat(&self) -> Option<&RepeatStep> {
        if let Action::Repeat(repeat) = &self.action { Some(repeat) } else { None }
    }

    /// Shows every part of what it does and expects, with its pointer below the step.
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
        Wrong::value("/id", format!("step `{id}` does nothing"), format!("give it one of {all}"))
    },
    two: |it, first, second| {
        let id = it.value["id"].as_str().unwrap_or_default();
        let message = format!("step `{id}` does two things: `{first}` and `{second}`");
        Wrong::key(&format!("/{second}"), message, "make it two steps")
    },
};

/// The words for the operation of a step that must have exactly one.
fn no_operation(it: &Place<'_>, what: &str, all: &str) -> Wrong {
    Wrong::key("", format!("`{}` has no {what}", it.key), format!("give it one of {all}"))
}

fn two_operations(it: &Place<'_>, what: &str, first: &str, second: &str) -> Wrong {
    let message = format!("`{}` has two {what}s: `{first}` and `{second}`", it.key);
    Wrong::key(&format!("/{second}"), message, "make it two steps")
}

/// Implements the schema of a type by that of the type that it is written as.
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
