//! `scale`: a number of replicas.

use schemars::JsonSchema;
use serde::Deserialize;

use super::workload::{self, Workload};
use super::{Kinded, Nature, OneOf, Rules, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// Set the number of replicas of a Deployment or `StatefulSet`, and wait until there are that many, all available.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ScaleStep")]
struct ScaleFile {
    /// Name of the Deployment.
    #[serde(default)]
    deployment: Option<Template>,
    /// Name of the `StatefulSet`.
    #[serde(default)]
    stateful_set: Option<Template>,
    /// Its namespace; the variant's where absent.
    #[serde(default)]
    namespace: Option<Template>,
    /// How many there are to be.
    #[schemars(range(max = 100))]
    replicas: u16,
    /// How long it may take; 60s where absent.
    #[serde(default)]
    within: Option<Span>,
}

/// Set the number of replicas of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ScaleFile")]
pub struct ScaleStep {
    /// The workload.
    pub workload: Workload,
    /// Its namespace; the variant's where absent.
    pub namespace: Option<Template>,
    /// How many there are to be.
    pub replicas: u16,
    /// How long it may take.
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
    const ONE_OF: Option<OneOf> = Some(workload::named_once("ScaleStep"));
}

impl Rules for ScaleStep {
    fn within(&self) -> Option<Span> {
        self.within
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("scale", self.within, errors);
    }
}
