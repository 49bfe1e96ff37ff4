//! `patch`: changes fields of an object, by merge patch or JSON patch.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

use super::{ActError, Done, FIELD_MANAGER};

/// Patches an object, or one of its subresources. The result says whether the patch changed the object. If `json` is
/// true, the change is a list of operations (a JSON patch), otherwise a merge patch.
pub async fn patch(
    api: &Api<DynamicObject>,
    title: &str,
    name: &str,
    subresource: Option<&str>,
    (change, json): (&Value, bool),
) -> Result<Done, ActError> {
    // By default, the apiserver drops an unknown field, so the patch would change nothing. Strict validation makes an
    // unknown field an error.
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let before = api.get(name).await.map_err(ActError::of(title, "get"))?.metadata.resource_version;
    let patch = if json {
        let operations = serde_json::from_value(change.clone())
            .map_err(|error| ActError::cause(title, format!("the patch cannot be read: {error}")))?;
        Patch::Json(operations)
    } else {
        Patch::Merge(change)
    };
    let patched = match subresource {
        Some(part) => api.patch_subresource(part, name, &parameters, &patch).await,
        None => api.patch(name, &parameters, &patch).await,
    };
    let patched = patched.map_err(ActError::of(title, "patch"))?;
    let changed = patched.metadata.resource_version != before;
    let said = if changed { "is patched" } else { "was as patched already" };
    Ok(Done { summary: format!("{title} {said}"), said: json!({ "changed": changed }), ..Done::default() })
}
