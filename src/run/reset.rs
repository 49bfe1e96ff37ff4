//! Cleans up between two variants of one environment. The objects that a flow created are removed, and the contents of
//! the stores are restored. So the next flow begins in the same state as the first.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use parallax_probe::contents::{self, Contents};

use super::environment::Stage;
use super::error::RunError;
use super::existing;
use super::side_effects::SideEffects;
use super::store::{self, Refusal, repeated};
use crate::act::{self, ActError, Scope};
use crate::apply::ApplyError;
use parallax_language::fixture::Store;

/// The time limit for the deletion of an object that a flow created. If the deletion takes longer, no further variant
/// can use the environment.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// The contents that the stores of an environment had before the environment's first flow.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The contents of each store, by the id of the store's fixture.
    stores: BTreeMap<String, Contents>,
}

impl Found {
    /// Reads the contents of the stores. The result is empty if no further flow can use the environment, because then
    /// nothing needs to be restored.
    pub(super) async fn of(stage: &Stage<'_>) -> Result<Self, RunError> {
        if !stage.several_flows() {
            return Ok(Self::default());
        }
        let own = stage.scene.stores().filter(|(_, store)| store.prefix.is_none());
        let looks = own.map(|(fixture, store)| async move {
            let access =
                stage.scene.access(fixture, store).map_err(|why| failed(stage, fixture, "no access", why.into()))?;
            let found = repeated(|| contents::contents(stage.scene.pinned(fixture, store), &access)).await;
            let found = found.map_err(|cause| failed(stage, fixture, "what it holds cannot be seen", cause.into()))?;
            Ok::<_, RunError>((fixture.to_owned(), found))
        });
        Ok(Self { stores: try_join_all(looks).await?.into_iter().collect() })
    }

    /// Removes the objects that a flow created, and restores the contents of the stores. If something cannot be
    /// restored, the result is an error, because the verdict of the next variant would depend on what this flow left.
    pub(super) async fn put_back(&self, stage: &Stage<'_>, effects: &SideEffects) -> Result<(), RunError> {
        if let Some(title) = effects.changed().first() {
            let what = format!("{title} existed before the flow applied it, and its earlier state is unknown");
            return Err(RunError::Left { namespace: stage.scene.plan.namespace.clone(), what });
        }
        delete_created(stage, effects, Which::All).await?;
        if effects.wrote() {
            existing::put_back(&stage.scene).await?;
            let stores = stage.scene.stores();
            try_join_all(stores.map(|(fixture, store)| self.store_put_back(stage, fixture, store))).await?;
        }
        Ok(())
    }

    async fn store_put_back(&self, stage: &Stage<'_>, fixture: &str, store: &Store) -> Result<(), RunError> {
        let Some(found) = self.stores.get(fixture) else { return Ok(()) };
        let access =
            stage.scene.access(fixture, store).map_err(|why| failed(stage, fixture, "no access", why.into()))?;
        let lost = repeated(|| contents::restore(stage.scene.pinned(fixture, store), &access, found)).await;
        let not = "what a flow left in it cannot be taken away";
        let lost = lost.map_err(|cause| failed(stage, fixture, not, cause.into()))?;
        if lost.is_empty() {
            Ok(())
        } else {
            Err(failed(stage, fixture, "a flow changed what was in it", lost.join(", ").into()))
        }
    }
}

/// Removes the cluster-scoped objects that a flow created, so that they do not affect other environments.
pub(super) async fn wide_taken_away(stage: &Stage<'_>, effects: &SideEffects) -> Result<(), RunError> {
    delete_created(stage, effects, Which::ClusterScoped).await
}

/// Which objects of a flow are deleted: all that the flow created, or only a part of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Only cluster-scoped objects, because other environments see them. The apiserver says which kinds are
    /// cluster-scoped.
    ClusterScoped,
}

/// Deletes objects that a flow created, the newest first.
async fn delete_created(stage: &Stage<'_>, effects: &SideEffects, which: Which) -> Result<(), RunError> {
    let own = &stage.scene.plan.namespace;
    for object in effects.made().into_iter().rev() {
        let (Some(types), Some(name)) = (&object.types, &object.metadata.name) else { continue };
        let applier = stage.applier;
        if which == Which::ClusterScoped && !applier.is_cluster_scoped(&types.api_version, &types.kind).await? {
            continue;
        }
        let namespace = object.metadata.namespace.as_ref().unwrap_or(own);
        let (title, api) = applier.locate(&types.api_version, &types.kind, namespace, name).await?;
        let asked = |source| ApplyError::Api { doing: format!("get {title}"), source: Box::new(source) };
        // Skip an object that the flow deleted itself. Also skip an object of the same name with another UID, because
        // another client has created it.
        let there = api.get_opt(name).await.map_err(asked)?;
        if there.is_none_or(|it| it.metadata.uid != object.metadata.uid) {
            continue;
        }
        let scope = Scope { cluster: stage.scene.cluster, namespace, within: GONE_WITHIN };
        match Box::pin(act::delete(&scope, &api, &title, name)).await {
            Ok(_) => {}
            Err(ActError::Cause(cause)) => {
                return Err(RunError::Left { namespace: own.clone(), what: format!("{title}: {cause}") });
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

fn failed(stage: &Stage<'_>, fixture: &str, doing: &str, why: Refusal) -> RunError {
    store::failed(&stage.scene.plan.namespace, fixture, &format!("between two variants: {doing}"), why)
}
