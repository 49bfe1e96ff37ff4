//! `event`: reads the events of a Kubernetes object.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Kinded, Looks, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::target::{Aimed, EventTarget};
use crate::scenario::template::Template;
/// Read the events that Kubernetes recorded for an object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventStep {
    /// The kind and the name of the object, or its kind and labels: `Deployment/minio`, `Pod/app=minio`.
    pub of: Aimed<EventTarget>,
    /// Read only events with this reason: `FailedMount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Template>,
    /// The namespace of the object. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
}

parts!(EventStep { of, reason, namespace });

impl Kinded for EventStep {
    const NATURE: Nature = Nature::look(&["resource", "mismatch"]);
    const TYPICAL_MS: u64 = 900;
}

impl Looks for EventStep {
    fn follows(&self) -> bool {
        true
    }

    fn events(&self) -> Option<&EventStep> {
        Some(self)
    }
}

impl Rules for EventStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Events]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if let Some(Err(fix)) = self.of.written() {
            let error = judge.error("/event/of", format!("`{}` is not a valid target of `event`", self.of.text()));
            errors.push(error.fix(fix));
        }
    }
}
