//! `scale`: changes the number of replicas of a workload.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{ActError, Done, FIELD_MANAGER, Scope, Workload};

/// Sets a workload's number of replicas, and waits until exactly that many pods exist and all of them are available.
pub async fn scale(scope: &Scope<'_>, workload: &Workload, replicas: u16) -> Result<Done, ActError> {
    let title = workload.title(scope.namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let change = json!({ "spec": { "replicas": replicas } });
    let api = workload.api(scope);
    let patched = api.patch(workload.name(), &parameters, &Patch::Merge(&change)).await;
    let patched = patched.map_err(ActError::of(&title, "scale"))?;
    let generation = patched.metadata.generation.unwrap_or(0);
    workload.settled(scope, generation, |_| true).await?;
    Ok(Done {
        summary: format!("{title} has {replicas} replicas"),
        said: json!({ "replicas": replicas }),
        ..Done::default()
    })
}
