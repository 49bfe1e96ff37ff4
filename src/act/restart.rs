//! `restart`: replaces every pod of a workload.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use time::OffsetDateTime;

use super::{ActError, Done, FIELD_MANAGER, Scope, Workload};

/// A restart changes this annotation of the pod template, so the controller replaces the pods. The value is a time in
/// nanoseconds. If it were in seconds, as in kubectl's own annotation, two restarts within one second would count as
/// one.
const ANNOTATION: &str = "io.parallax/restarted-at";

/// Replaces every pod of a workload, and waits until the new pods are available and the old pods are gone.
///
/// # Errors
///
/// Fails at the deadline, or as soon as one of the new pods is in a state from which it cannot recover.
pub async fn restart(scope: &Scope<'_>, workload: &Workload) -> Result<Done, ActError> {
    let title = workload.title(scope.namespace);
    let at = OffsetDateTime::now_utc().unix_timestamp_nanos().to_string();
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let change = json!({ "spec": { "template": { "metadata": { "annotations": { ANNOTATION: at } } } } });
    let api = workload.api(scope);
    let patched = api.patch(workload.name(), &parameters, &Patch::Merge(&change)).await;
    let patched = patched.map_err(ActError::of(&title, "restart"))?;
    let generation = patched.metadata.generation.unwrap_or(0);
    let is_new = |pod: &Pod| pod.annotations().get(ANNOTATION) == Some(&at);
    workload.settled(scope, generation, is_new).await?;
    let summary = format!("{title} has new pods only");
    Ok(Done { summary, said: json!({ "generation": generation }), ..Done::default() })
}
