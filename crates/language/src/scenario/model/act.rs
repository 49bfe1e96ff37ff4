//! Steps that change the environment, beyond `apply`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scenario::duration::Span;

/// Change fields of one Kubernetes object: by `merge`, or by `json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PatchStep {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Secret`, `Deployment`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A JSON merge patch (RFC 7396): the fields that differ; `null` takes one away, a list is replaced whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Value>,
    /// A JSON patch (RFC 6902): `[{ op: replace, path: /spec/replicas, value: 2 }]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Vec<Value>>,
}

/// Delete one Kubernetes object and wait until it is gone, what it owns included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeleteStep {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Pod`, `Deployment`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How long it may take; 60s where absent. Past it, what blocks it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// Set the number of replicas of a Deployment or `StatefulSet`, and wait until there are that many, all available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScaleStep {
    /// Name of the Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Name of the `StatefulSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful_set: Option<String>,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How many there are to be.
    #[schemars(range(max = 100))]
    pub replicas: u16,
    /// How long it may take; 60s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// Replace every pod of a Deployment or `StatefulSet`, as `kubectl rollout restart` does, and wait until the new ones are
/// available and the old ones gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RestartStep {
    /// Name of the Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Name of the `StatefulSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful_set: Option<String>,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How long it may take; 60s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// End the main process of a container through the node's container runtime, which no grace period softens, and wait
/// until its end is seen. The kubelet then starts it again as the pod's restart policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KillStep {
    /// Name of the pod, or labels that select exactly one: `app=minio`.
    pub pod: String,
    /// Name of its container.
    pub container: String,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The signal. Only KILL cannot be caught: with it the container must end with exit code 137.
    #[serde(default, skip_serializing_if = "Signal::is_kill")]
    pub signal: Signal,
    /// How long it may take; 60s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// End a pod and wait until it is gone, and keep what its containers said last. The pod's object is held by a finalizer until
/// the end of each container is seen in its status, so that no other pod of its name begins before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndStep {
    /// Name of the pod, or labels that select exactly one: `app=db`.
    pub pod: String,
    /// How it ends.
    pub how: Ending,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How long it may take; 60s where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// How a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As with its node: every container is killed through the node's runtime (exit code 137), and the pod deleted without
    /// grace at once. Where the kubelet began a container again in between, the step does not count: within a `repeat`
    /// its round is void and run again.
    Crash,
    /// As by `kubectl delete`: every container is asked to end and has the pod's grace period.
    Clean,
}

/// Signals that end a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// At once, unheard.
    #[default]
    Kill,
    /// As the kubelet asks for an end.
    Term,
    /// As Ctrl-C does.
    Int,
    /// As Ctrl-\ does.
    Quit,
}

impl Signal {
    /// Its name, `SIGKILL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
        }
    }

    /// The exit code of a process that it ends, where nothing can catch it.
    pub fn exit_code(self) -> Option<i32> {
        (self == Self::Kill).then_some(128 + 9)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_kill(&self) -> bool {
        *self == Self::Kill
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Put a new leaf, with a new key and serial, into the Secret of a fixture's certificate. The step's value is the new
/// serial. What is not said is as the fixture has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RotateStep {
    /// Fixture and certificate: `store.serving`.
    pub certificate: String,
    /// Id of the authority that issues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Beginning of validity, relative to the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Span>,
    /// End of validity, relative to the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Span>,
    /// DNS names and addresses it is valid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
}
