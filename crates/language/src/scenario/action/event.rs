//! `event`: an object's events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::target::EventTarget;
use crate::scenario::template::Template;
/// Look at the events that Kubernetes recorded of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventStep {
    /// Kind and name, or kind and labels: `Deployment/minio`, `Pod/app=minio`.
    pub of: Template,
    /// Only events of this reason: `FailedMount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Template>,
    /// The object's namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
}

parts!(EventStep { of, reason, namespace });

impl Kinded for EventStep {
    const NATURE: Nature = Nature::look(&["resource", "mismatch"]);
}

impl Rules for EventStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Events]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if !self.of.is_open()
            && let Err(fix) = EventTarget::parse(&self.of)
        {
            let error = judge.error("/event/of", format!("`{}` is no object with events", self.of.as_str()));
            errors.push(error.fix(fix));
        }
    }
}
