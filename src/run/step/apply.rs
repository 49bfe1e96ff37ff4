//! `apply`: objects into the cluster.

use parallax_vocab::Cause;

use super::{Attempt, Tried};
use crate::apply::ApplyError;
use crate::judge::Judgement;
use crate::run::error::RunError;

pub(super) async fn run(it: &Attempt<'_>) -> Result<Tried, RunError> {
    for object in it.step.apply.iter().flat_map(|apply| &apply.objects) {
        let object = it.value(object)?;
        match it.stage.applier.apply(&object, &it.stage.scene.plan.namespace, it.place).await {
            Ok(_) => {}
            Err(ApplyError::Refused { resource, source, .. }) => {
                let cause = Cause::Resource { resource, detail: source.to_string() };
                return Ok(Tried::judged(Judgement { matchers: Vec::new(), cause: Some(cause) }));
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(Tried::default())
}
