//! `wait`: waits until a workload has rolled out.

use schemars::JsonSchema;
use serde::Deserialize;

use super::workload::{self, Workload};
use super::{Alters, Effect, Kinded, Nature, OneOf, Reach, Rules, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Wait until a Deployment or `StatefulSet` has rolled out: every replica is available and has the newest template, and
/// no older pod is left. The step fails early if a pod can never start. Then the step waits until the vantages in pods
/// reach the Services that select its pods, as an `apply` step does for its Services.
///
/// This step waits for workloads only. To wait for anything else, use a step that reads it, with `eventually`. For a
/// condition of an object, write
/// `resource: { … }, expect: { object: { status: { conditions: [{ type: Ready, status: "True" }] } } }, eventually: 60s`.
/// For an object that must be gone, expect `absent: true`. `log` and `event` steps wait for a line and for an event, and
/// `dns`, `tls` and `http` steps wait until a name resolves or a server answers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "WaitStep")]
struct WaitFile {
    /// The name of the Deployment.
    #[serde(default)]
    deployment: Option<Template>,
    /// The name of the `StatefulSet`.
    #[serde(default)]
    stateful_set: Option<Template>,
    /// The namespace of the workload. The default is the variant's namespace.
    #[serde(default)]
    namespace: Option<Template>,
    /// The time limit of the step. The default is 3m.
    #[serde(default)]
    within: Option<Span>,
}

/// Waits until a workload has rolled out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WaitFile")]
pub struct WaitStep {
    /// The workload that must roll out.
    pub workload: Workload,
    /// The namespace of the workload. The default is the variant's namespace.
    pub namespace: Option<Template>,
    /// The time limit of the step. `None` means the default of 3m.
    pub within: Option<Span>,
}

written_as!(WaitStep, WaitFile);
parts!(WaitStep { workload as "", namespace, within });

impl TryFrom<WaitFile> for WaitStep {
    type Error = String;

    fn try_from(file: WaitFile) -> Result<Self, String> {
        let WaitFile { deployment, stateful_set, namespace, within } = file;
        Ok(Self { workload: Workload::of(deployment, stateful_set)?, namespace, within })
    }
}

impl Kinded for WaitStep {
    const NATURE: Nature = Nature { effect: Effect::Waits, ..Nature::act() };
    const TYPICAL_MS: u64 = 5_000;
    const ONE_OF: &'static [OneOf] = &[workload::named_once("WaitStep")];
}

impl Alters for WaitStep {
    fn reach(&self) -> Reach<'_> {
        Reach {
            touched: Vec::new(),
            node: None,
            beside: None,
            starts: false,
            waits: true,
            applied: &[],
            within: self.within,
        }
    }
}

impl Rules for WaitStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("wait", self.within, errors);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::Library;
    use crate::scenario::Loaded;

    #[test]
    fn a_wait_names_one_workload_and_is_done_once() {
        for (step, expected) in [
            ("wait: { deployment: web, within: 1m }", None),
            ("wait: { stateful-set: web }", None),
            ("wait: { within: 1m }", Some("`wait` has no workload")),
            ("wait: { deployment: web, stateful-set: web }", Some("`wait` names two workloads")),
            ("wait: { deployment: web }, eventually: 1m", Some("`wait` is done only once")),
            ("wait: { deployment: web, within: 0s }", Some("a time limit of 0s has already passed")),
        ] {
            let object = "resource: { api-version: v1, kind: Pod, name: a }, expect: { absent: true }";
            let text =
                format!("name: a\nsummary: b\nflow:\n  - {{ id: first, {step} }}\n  - {{ id: last, {object} }}\n");
            let loaded = Loaded::read(&Library::shipped(), "a", "scenario.yaml", text.as_bytes());
            let errors: Vec<String> = loaded.err().into_iter().flatten().map(|it| it.message).collect();
            assert_eq!(errors.first().map(String::as_str), expected, "{step}");
        }
    }
}
