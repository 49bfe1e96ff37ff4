//! A scenario as it is written: one strict YAML file, typed.
//!
//! These types are the language. The JSON Schema that editors use and the loader checks against is generated from
//! them, so a field's documentation here is what a person sees at the keyboard.

mod breaks;
mod capture;
mod expect;
mod matchers;
mod reference;
mod vantage;
mod vulnerable;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::breaks::{Alternative, Break, CauseSpec, Change, OneOrMore};
pub use self::capture::Capture;
pub use self::expect::{NumberBound, SpanBound, WrittenExpect};
pub use self::matchers::{Expect, Matcher, Shape, Source, Wanted};
pub use self::reference::{ChainOf, CredentialsOf, ProberOf, STEP_REFERENCE, StepRef, TokenOf};
pub use self::vantage::{OutsideVantage, PodVantage, VantageSpec};
pub use self::vulnerable::Vulnerable;
pub use super::action::{
    After, ApplyStep, BackgroundStep, Changes, ClientStep, DeleteStep, DnsStep, EndStep, Ending, EventStep,
    FiguresStep, HttpStep, JwtStep, Key, Keyed, KillStep, LogStep, MeasureStep, Method, Operation, PatchStep, Placed,
    PresignStep, ProberStep, Probing, ROUND, Random, RepeatStep, ReplicaStep, ResourceStep, RestartStep, RotateStep,
    S3Step, STS_AUDIENCE, ScaleStep, ScriptStep, SessionToken, Signal, Signer, SqliteStep, Step, StsStep, Task,
    TlsStep, TokenSpec, Workload, placed,
};

/// The word for the cluster's own certificate authority, which signs what the apiserver serves. No fixture may have it as
/// its id.
pub const CLUSTER_AUTHORITY: &str = "cluster";

/// What a break names whose cluster does not start.
pub const CLUSTER_READY: &str = "cluster.ready";

/// A scenario: a baseline in which every expectation holds, and breaks, each of which says what must then fail.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Name of the scenario: the same as its folder.
    pub name: String,
    /// One line that says what holds when the scenario passes.
    pub summary: String,
    /// Words to select scenarios by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What must be to be had where the scenario runs. Where it is not, the scenario is skipped, and the report says why.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// What the cluster must be like. Scenarios that ask for the same share one.
    #[serde(default)]
    pub cluster: ClusterTraits,
    /// The environment, by id: reusable parts with their parameters.
    #[serde(default)]
    pub fixtures: IndexMap<String, FixtureUse>,
    /// The places to look from, by id.
    #[serde(default)]
    pub vantages: IndexMap<String, VantageSpec>,
    /// Axes with their values, for steps that are written once and done for each value: a step that says
    /// `{{ matrix.AXIS }}` becomes one step for each value, with the id `ID-VALUE`, and so do the steps that refer to it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub matrix: IndexMap<String, Values>,
    /// Whether each answer of a store counts only where the store's own trace confirms who asked; else the report says how
    /// many answers nobody confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Confirmation>,
    /// What is done and expected, in order.
    pub flow: Vec<Step>,
    /// Small declared changes, by id, under which everything must hold as it does in the baseline.
    #[serde(default)]
    pub variants: IndexMap<String, Alternative>,
    /// Small declared changes, by id, each with what must then fail and why.
    #[serde(default)]
    pub breaks: IndexMap<String, Break>,
}

/// What a store's trace has to say of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// An answer that it does not confirm fails the step.
    Required,
}

/// What a scenario cannot do without, and no recipe makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Requires {
    /// Names of images that exist only as they are published (`images/images.lock`): somebody's own build, which nobody else
    /// can make from packages.
    #[serde(default)]
    pub published: Vec<String>,
}

impl Requires {
    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.published.is_empty()
    }
}

/// The values of an axis: at least one, each a part of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Values(#[schemars(length(min = 1))] pub Vec<String>);

impl Scenario {
    /// Every step with its place, those within a `repeat` right after the step that holds them.
    pub fn steps(&self) -> Vec<Placed<'_>> {
        placed(&self.flow)
    }

    /// A step by its id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps().into_iter().map(|it| it.step).find(|step| step.id == id)
    }
}

/// What a scenario needs of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterTraits {
    /// Who may read the issuer's documents (`/.well-known/openid-configuration` and the keys) without saying who they
    /// are. Where it is left out, what the fixtures need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Arguments of the kube-apiserver, `flag=value` without dashes, as `--kube-apiserver-arg` takes them.
    #[serde(default)]
    pub apiserver_args: Vec<String>,
    /// Arguments of the kubelet, as `--kubelet-arg` takes them.
    #[serde(default)]
    pub kubelet_args: Vec<String>,
    /// Further names or addresses in the apiserver's certificate, as `--tls-san` takes them.
    #[serde(default)]
    pub tls_san: Vec<String>,
    /// The name under which the apiserver is published outside the cluster, at port 6443: the edge passes TLS through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
}

/// How far the apiserver is open to those who do not say who they are. A rule (RBAC) must still allow what they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Discovery {
    /// Not at all, as k3s starts.
    None,
    /// The two discovery paths only, by an `AuthenticationConfiguration`.
    Narrow,
    /// Everywhere, by `anonymous-auth=true`.
    Anonymous,
}

/// A fixture and its parameters: `{ use: minio, host: minio.example.com }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>", into = "serde_json::Map<String, Value>")]
pub struct FixtureUse {
    /// Name of the fixture, a folder in `fixtures/`.
    pub fixture: String,
    /// Its parameters; checked against what the fixture declares.
    pub parameters: serde_json::Map<String, Value>,
}

impl TryFrom<serde_json::Map<String, Value>> for FixtureUse {
    type Error = String;

    fn try_from(mut map: serde_json::Map<String, Value>) -> Result<Self, Self::Error> {
        match map.shift_remove("use") {
            Some(Value::String(fixture)) => Ok(Self { fixture, parameters: map }),
            _ => Err("a fixture needs `use: NAME`".to_owned()),
        }
    }
}

impl From<FixtureUse> for serde_json::Map<String, Value> {
    fn from(it: FixtureUse) -> Self {
        let mut map = Self::new();
        map.insert("use".to_owned(), Value::String(it.fixture));
        map.extend(it.parameters);
        map
    }
}

impl JsonSchema for FixtureUse {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FixtureUse".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A fixture and its parameters: `{ use: minio, host: minio.example.com }`.",
            "type": "object",
            "required": ["use"],
            "properties": { "use": { "type": "string", "description": "Name of the fixture, a folder in `fixtures/`." } }
        })
    }
}
