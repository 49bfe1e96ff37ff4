//! `scale`: sets the number of replicas of a workload.

use schemars::JsonSchema;
use serde::Deserialize;

use super::workload::{self, Workload};
use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::number::{Number, within};
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Set the number of replicas of a Deployment or `StatefulSet`, and wait until exactly that many replicas are
/// available.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ScaleStep")]
struct ScaleFile {
    /// The name of the Deployment.
    #[serde(default)]
    deployment: Option<Template>,
    /// The name of the `StatefulSet`.
    #[serde(default)]
    stateful_set: Option<Template>,
    /// The namespace of the workload. The default is the variant's namespace.
    #[serde(default)]
    namespace: Option<Template>,
    /// The number of replicas.
    #[schemars(schema_with = "within::<0, 100>")]
    replicas: Number<u16, Template>,
    /// The time limit of the step. The default is 3m.
    #[serde(default)]
    within: Option<Span>,
}

/// Sets the number of replicas of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ScaleFile")]
pub struct ScaleStep {
    /// The workload that is scaled.
    pub workload: Workload,
    /// The namespace of the workload. The default is the variant's namespace.
    pub namespace: Option<Template>,
    /// The number of replicas.
    pub replicas: Number<u16, Template>,
    /// The time limit of the step. `None` means the default of 3m.
    pub within: Option<Span>,
}

written_as!(ScaleStep, ScaleFile);
parts!(ScaleStep { workload as "", namespace, replicas, within });

impl TryFrom<ScaleFile> for ScaleStep {
    type Error = String;

    fn try_from(file: ScaleFile) -> Result<Self, String> {
        let ScaleFile { deployment, stateful_set, namespace, replicas, within } = file;
        Ok(Self { workload: Workload::of(deployment, stateful_set)?, namespace, replicas, within })
    }
}

impl Kinded for ScaleStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 5_000;
    const ONE_OF: &'static [OneOf] = &[workload::named_once("ScaleStep")];
}

impl Alters for ScaleStep {
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

impl Rules for ScaleStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("scale", self.within, errors);
    }
}
