//! `resource`: a look at a Kubernetes object.

use super::{Attempt, Tried};
use crate::judge;
use crate::run::error::RunError;

pub(super) async fn run(it: &Attempt<'_>) -> Result<Tried, RunError> {
    let Some(resource) = &it.step.resource else { return Err(it.wrong("it names no object".to_owned())) };
    let namespace = resource.namespace.as_deref().unwrap_or(&it.stage.scene.plan.namespace);
    let name = it.text(&resource.name)?;
    let (what, object) = it.stage.applier.get(&resource.api_version, &resource.kind, namespace, &name).await?;
    let judgement = judge::judge_object(&what, it.expect()?.as_ref(), object.as_ref());
    Ok(Tried { other: object, ..Tried::judged(judgement) })
}
