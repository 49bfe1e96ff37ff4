//! The types of a scenario file, which is one strict YAML file.
//!
//! These types define the language. The JSON Schema is generated from these types, and editors and the loader's check
//! use the schema. So an editor shows the doc comment of a field to the author of a scenario.

mod breaks;
mod capture;
mod expect;
mod matchers;
pub mod reference;
mod vantage;
mod vulnerable;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::breaks::{Alternative, Break, CauseSpec, Change, OneOrMore};
pub use self::capture::Capture;
pub use self::expect::{NumberBound, SpanBound, WrittenExpect};
pub use self::matchers::{Expect, Fields, Matcher, Shape, Source, Stance, Wanted};
pub use self::reference::{ChainOf, CredentialsOf, Leaves, ProberOf, STEP_REFERENCE, StepRef, TokenOf};
pub use self::vantage::{AsksAs, AttachKind, AttachVantage, OutsideVantage, PodVantage, VantageSpec};
pub use self::vulnerable::Vulnerable;
pub use super::action::{
    After, ApplyStep, BackgroundStep, Changes, ClientStep, DeleteStep, DnsStep, EndStep, Ending, EventStep,
    FiguresStep, HttpStep, JwtStep, Key, Keyed, KillStep, LogStep, MeasureStep, Method, Operation, PatchStep, Placed,
    PresignStep, ProberStep, Probing, ROUND, Random, RepeatStep, ReplicaStep, ResourceStep, RestartStep, RotateStep,
    S3Step, STS_AUDIENCE, ScaleStep, ScriptStep, SessionToken, Signal, Signer, SqliteStep, StartStep, Step, StsStep,
    Subresource, Task, TlsStep, TokenSpec, WaitStep, Workload, placed,
};

pub use parallax_vocab::course::Shows;

/// The name of the cluster's own certificate authority, which signs the apiserver's certificate. No fixture may have
/// this id.
pub const CLUSTER_AUTHORITY: &str = "cluster";

/// The key that declares, in the `fails` of a break, that the cluster does not become ready.
pub const CLUSTER_READY: &str = "cluster.ready";

/// The name of a cluster's first node, which is the server node. Containers outside the cluster use it as the host name
/// of that node.
pub const SERVER_NODE: &str = "node";

/// A scenario: a baseline in which every expectation holds, and breaks, each with the failures that it must cause.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The name of the scenario, equal to the name of its folder.
    pub name: String,
    /// One line that says what holds when the scenario passes.
    pub summary: String,
    /// Words by which scenarios can be selected on the command line.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What must be available to run the scenario. If it is not available, the scenario is skipped, and the report says
    /// why.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// The properties that the cluster must have. Scenarios with the same properties share a cluster.
    #[serde(default)]
    pub cluster: ClusterTraits,
    /// The environment: fixtures by id, with their parameters. A parameter can contain exports of other fixtures, such
    /// as `{{ store.host }}`. It can also contain `{{ namespace }}`, the namespace of the variant.
    #[serde(default)]
    pub fixtures: IndexMap<String, FixtureUse>,
    /// The places from which questions are asked, by id.
    #[serde(default)]
    pub vantages: IndexMap<String, VantageSpec>,
    /// The axes of the matrix, with their values. A step that contains `{{ matrix.AXIS }}` becomes one step for each
    /// value of the axis, with the id `ID-VALUE`. A step that refers to an expanded step is expanded too, with the same
    /// values.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub matrix: IndexMap<String, Values>,
    /// `required`: the store's own trace must confirm from where each request came, or the step fails. Without this
    /// key, the report only gives the number of answers that were not confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Confirmation>,
    /// The steps, in order.
    pub flow: Vec<Step>,
    /// Small changes, by id, with which every expectation of the baseline must still hold.
    #[serde(default)]
    pub variants: IndexMap<String, Alternative>,
    /// Small changes, by id, each with the failures that it must cause.
    #[serde(default)]
    pub breaks: IndexMap<String, Break>,
}

/// Whether the answers of a store count only if the store's trace confirms which address sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// A step fails if the store's trace does not confirm the answer that the step received.
    Required,
}

/// Things that the machine must have before the scenario can run, because no recipe can build them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Requires {
    /// The names of images that are only available as published images (`images/images.lock`). An example is a vendor's
    /// own build that cannot be built from packages.
    #[serde(default)]
    pub published: Vec<String>,
}

impl Requires {
    /// Whether the scenario requires no published image.
    pub fn is_empty(&self) -> bool {
        self.published.is_empty()
    }
}

/// The values of an axis. There is at least one value. Each value becomes a part of the ids of the expanded steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Values(#[schemars(length(min = 1))] pub Vec<String>);

impl Scenario {
    /// Returns all steps with their positions. The steps of a `repeat` follow the `repeat` itself.
    pub fn steps(&self) -> Vec<Placed<'_>> {
        placed(&self.flow)
    }

    /// Returns the step with this id, also if it is inside a `repeat`.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps().into_iter().map(|it| it.step).find(|step| step.id == id)
    }
}

/// The properties that a scenario requires of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterTraits {
    /// Who may read the discovery documents of the ServiceAccount issuer (`/.well-known/openid-configuration` and the
    /// keys) without authentication. By default, the fixtures decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Arguments for the kube-apiserver, as `flag=value` without dashes. They have the form of k3s'
    /// `--kube-apiserver-arg`.
    #[serde(default)]
    pub apiserver_args: Vec<String>,
    /// Arguments for the kube-controller-manager, as `flag=value` without dashes, for example
    /// `node-monitor-grace-period=15s`. They have the form of k3s' `--kube-controller-manager-arg`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controller_manager_args: Vec<String>,
    /// Arguments for the kubelet, as `flag=value` without dashes. They have the form of k3s' `--kubelet-arg`.
    #[serde(default)]
    pub kubelet_args: Vec<String>,
    /// Additional names or addresses for the apiserver's certificate, as with k3s' `--tls-san`.
    #[serde(default)]
    pub tls_san: Vec<String>,
    /// The host name under which the apiserver is published outside the cluster, at port 6443. The edge passes TLS
    /// through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// Agent nodes, each in a container of its own. The first node of the cluster, `node`, is the server and is not
    /// listed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentNode>,
}

/// An agent node, started with `k3s agent`. It has a taint, so only pods that name the node run on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentNode {
    /// The name of the node.
    pub name: String,
    /// The URL at which the node joins and always reaches the apiserver, as with k3s' `--server`. It may be a value
    /// that a fixture exports. The default is the server's own address, `https://node:6443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The certificate authority with which the node verifies the apiserver, instead of the cluster's own CA. Use it to
    /// reproduce a node whose kubeconfig has no CA data and that therefore trusts the CAs of its system. Name the
    /// authority that represents a public CA. The published k3s image fetches the CA from the server itself, so this
    /// field has no effect there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// `true`: the node joins late. It does not exist before a `start` step starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

impl ClusterTraits {
    /// Returns the names of all nodes: the server node first, then the agent nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        std::iter::once(SERVER_NODE).chain(self.agents.iter().map(|it| it.name.as_str()))
    }
}

/// The paths for which the apiserver accepts requests without authentication. An RBAC rule must still allow each of
/// these requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Discovery {
    /// The apiserver accepts no request without authentication. This is the default of k3s.
    None,
    /// The apiserver accepts requests without authentication only for the two discovery paths, with an
    /// `AuthenticationConfiguration`.
    Narrow,
    /// The apiserver accepts requests without authentication for all paths, with `anonymous-auth=true`.
    Anonymous,
}

/// A fixture and its parameters: `{ use: minio, host: minio.example.com }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>", into = "serde_json::Map<String, Value>")]
pub struct FixtureUse {
    /// The name of the fixture, a folder in `fixtures/`.
    pub fixture: String,
    /// The parameters of the fixture. They are checked against the fixture's declaration.
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
            "properties": { "use": { "type": "string", "description": "The name of the fixture, a folder in `fixtures/`." } }
        })
    }
}
