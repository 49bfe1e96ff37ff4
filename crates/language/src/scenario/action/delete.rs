//! `delete`: a Kubernetes object that goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Delete one Kubernetes object and wait until it is gone, what it owns included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeleteStep {
    /// `v1`, `apps/v1`, …
    pub api_version: Template,
    /// `Pod`, `Deployment`, …
    pub kind: Template,
    /// Its name.
    pub name: Template,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// How long it may take; 60s where absent. Past it, what blocks it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

parts!(DeleteStep { api_version, kind, name, namespace, within });

impl Kinded for DeleteStep {
    const NATURE: Nature = Nature::act();
}

impl Rules for DeleteStep {
    fn within(&self) -> Option<Span> {
        self.within
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("delete", self.within, errors);
    }
}
