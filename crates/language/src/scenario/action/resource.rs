//! `resource`: reads a Kubernetes object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{EventStep, Kinded, Looks, Nature, Rules};
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Read a Kubernetes object, or check that it does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourceStep {
    /// The API version of the object, for example `v1` or `apps/v1`.
    pub api_version: Template,
    /// The kind of the object, for example `Service` or `Deployment`.
    pub kind: Template,
    /// The name of the object.
    pub name: Template,
    /// The namespace of the object. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
}

parts!(ResourceStep { api_version, kind, name, namespace });

impl Kinded for ResourceStep {
    const NATURE: Nature = Nature::look(&["resource", "mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Looks for ResourceStep {
    fn follows(&self) -> bool {
        false
    }

    fn events(&self) -> Option<&EventStep> {
        None
    }
}

impl Rules for ResourceStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Object]
    }
}
