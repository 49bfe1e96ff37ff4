//! `delete`: deletes a Kubernetes object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alters, Kinded, Nature, Reach, Rules, Touched};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Delete one Kubernetes object, and wait until it and the objects that it owns are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeleteStep {
    /// The API version of the object, for example `v1` or `apps/v1`.
    pub api_version: Template,
    /// The kind of the object, for example `Pod` or `Deployment`.
    pub kind: Template,
    /// The name of the object.
    pub name: Template,
    /// The namespace of the object. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// The time limit of the step. The default is 3m. If the object still exists at the limit, the error says what
    /// blocks the deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

parts!(DeleteStep { api_version, kind, name, namespace, within });

impl Kinded for DeleteStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 3_000;
}

impl Alters for DeleteStep {
    fn reach(&self) -> Reach<'_> {
        let touched = vec![Touched::named(self.namespace.as_ref(), &self.kind, &self.name)];
        Reach { touched, node: None, beside: None, starts: false, waits: true, applied: &[], within: self.within }
    }
}

impl Rules for DeleteStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.within("delete", self.within, errors);
    }
}
