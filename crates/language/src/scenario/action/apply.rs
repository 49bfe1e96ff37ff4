//! `apply`: applies Kubernetes objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::nature::AT_ONCE_MS;
use super::{Alters, Effect, Kinded, Nature, Reach, Rules, Touched};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::target::Which;
use crate::scenario::template::Tree;

/// Apply Kubernetes objects (server-side apply), and wait until the vantages in pods reach the applied Services: at the
/// cluster address, and for type `NodePort` also at each ready node. The step waits for a TCP port only if a ready pod
/// of the Service answers the vantage directly, and for at most 20s. So a Service without a working pod does not delay
/// the step. Services of type `LoadBalancer` are not waited for.
///
/// The step does not wait for pods, because a scenario may show a pod that never becomes ready. A `wait` step waits for
/// a Deployment or `StatefulSet`. If an object is a `CustomResourceDefinition`, the next object can already have the
/// new kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApplyStep {
    /// The objects to apply. An object without a namespace goes into the variant's namespace. A container's `image`
    /// without registry and tag is a name in `images/images.lock`; that image is then on the node.
    pub objects: Vec<Tree>,
}

parts!(ApplyStep { objects });

impl Kinded for ApplyStep {
    const NATURE: Nature = Nature { effect: Effect::Applies, ..Nature::act() };
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Alters for ApplyStep {
    fn reach(&self) -> Reach<'_> {
        let touched = self.objects.iter().filter_map(|object| {
            let word = |pointer: &str| object.value().pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let (kind, name) = (word("/kind")?, word("/metadata/name")?);
            Some(Touched { namespace: word("/metadata/namespace"), kind, which: Which::Name(name) })
        });
        let touched = touched.collect();
        Reach { touched, node: None, beside: None, starts: false, waits: false, applied: &self.objects, within: None }
    }
}

impl Rules for ApplyStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        for (index, object) in self.objects.iter().map(Tree::value).enumerate() {
            let at = format!("/apply/objects/{index}");
            for key in ["apiVersion", "kind"] {
                if !object[key].is_string() {
                    errors
                        .push(judge.key_error(&at, format!("the object has no `{key}`")).fix(format!("add `{key}:`")));
                }
            }
            if !object["metadata"]["name"].is_string() {
                let error = judge.key_error(&at, "the object has no name".to_owned());
                errors.push(error.fix("add `metadata: { name: … }`"));
            }
        }
        if self.objects.is_empty() {
            let error = judge.key_error("/apply/objects", "`apply` has no objects".to_owned());
            errors.push(error.fix("add at least one object"));
        }
    }
}
