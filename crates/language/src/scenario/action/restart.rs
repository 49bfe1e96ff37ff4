//! `restart`: replaces the pods of a workload.

use schemars::JsonSchema;
use serde::Deserialize;

use super::workload::{self, Workload};
use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Replace every pod of a Deployment or `StatefulSet`, as `kubectl rollout restart` does. Wait until the new pods are
/// available and the old pods are gone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "RestartStep")]
struct RestartFile {
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

/// Replaces every pod of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RestartFile")]
pub struct RestartStep {
    /// The workload whose pods are replaced.
    pub workload: Workload,
    /// The namespace of the workload. The default is the variant's namespace.
    pub namespace: Option<Template>,
    /// The time limit of the step. `None` means the default of 3m.
    pub within: Option<Span>,
}

written_as!(RestartStep, RestartFile);
parts!(RestartStep { workload as "", namespace, within });

impl TryFrom<RestartFile> for RestartStep {
    type Error = String;

    fn try_from(file: RestartFile) -> Result<Self, String> {
        let RestartFile { deployment, stateful_set, namespace, within } = file;
        Ok(Self { workload: Workload::of(deployment, stateful_set)?, namespace, within })
    }
}

impl Kinded for RestartStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 5_000;
    const ONE_OF: &'static [OneOf] = &[workload::named_once("RestartStep")];
}

impl Alters for RestartStep {
    fn reach(&self) -> Reach<'_> {
        Reach {
            touched: vec![self.workload.touched(self.namespace.as_ref())],
            node: None,
            beside: None,
            starts: false,
            waits: true,
            applied: &[],
            within: self.within,
        }
    }
}

impl Rules for RestartStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("restart", self.within, errors);
    }
}
