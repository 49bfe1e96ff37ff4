//! Server-side apply of any object.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Api, Client, Discovery};
use serde_json::Value;

use super::error::ApplyError;
use parallax_language::scenario::target::Which;

/// The field manager under which everything is applied.
const FIELD_MANAGER: &str = "parallax";

/// Objects that are there.
#[derive(Clone, Debug)]
pub struct Names {
    /// Their names.
    pub names: Vec<String>,
    /// The namespace of their events.
    pub events: String,
}

/// Applies objects of any kind that the cluster knew when this was made.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    kinds: Arc<Discovery>,
    images: Arc<BTreeMap<String, String>>,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").field("images", &self.images).finish_non_exhaustive()
    }
}

impl Applier {
    /// Asks the cluster which kinds it has. `images` maps names of images.lock to references.
    pub async fn new(client: Client, images: BTreeMap<String, String>) -> Result<Self, ApplyError> {
        let kinds = Discovery::new(client.clone()).run_aggregated().await;
        let kinds = kinds.map_err(|source| ApplyError::Api {
            doing: "ask which kinds the cluster has".to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { client, kinds: Arc::new(kinds), images: Arc::new(images) })
    }

    /// The client it applies with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The reference of an image of images.lock.
    pub fn image(&self, name: &str) -> Option<&str> {
        self.images.get(name).map(String::as_str)
    }

    /// Applies one object; without a namespace of its own it goes into `namespace`. Returns it as the cluster holds it.
    pub async fn apply(&self, manifest: &Value, namespace: &str, place: &str) -> Result<DynamicObject, ApplyError> {
        let mut manifest = manifest.clone();
        super::objects::set_images(&mut manifest, &self.images);
        let object: DynamicObject = serde_json::from_value(manifest)
            .map_err(|error| ApplyError::NotAnObject { place: place.to_owned(), reason: error.to_string() })?;
        let name = object.metadata.name.clone().ok_or_else(|| ApplyError::NotAnObject {
            place: place.to_owned(),
            reason: "metadata.name is missing".to_owned(),
        })?;
        let (resource, capabilities) = self.kind(&object, place).await?;
        let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
        let api = self.api(&resource, &capabilities, namespace);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
        applied.map_err(|source| {
            let title = title(&capabilities, &resource.kind, namespace, &name);
            ApplyError::refused(title, place, Box::new(source))
        })
    }

    /// Gets one object, with its name in words: kind, name, and the namespace where the kind lives in one.
    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(String, Option<Value>), ApplyError> {
        let doing = || format!("get {kind} {name} in namespace {namespace}");
        let (title, api) = self.locate(api_version, kind, namespace, name).await?;
        let object =
            api.get_opt(name).await.map_err(|source| ApplyError::Api { doing: doing(), source: Box::new(source) })?;
        let as_json = object.map(serde_json::to_value).transpose().map_err(kube::Error::SerdeError);
        let as_json = as_json.map_err(|source| ApplyError::Api { doing: doing(), source: Box::new(source) })?;
        Ok((title, as_json))
    }

    /// The API of one object's kind, with the object's name in words.
    pub async fn locate(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(String, Api<DynamicObject>), ApplyError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let (resource, capabilities) = self
            .resolve(&GroupVersionKind::gvk(group, version, kind))
            .await
            .map_err(|source| ApplyError::Api { doing: format!("find the kind {kind} of {api_version}"), source })?;
        let title = title(&capabilities, kind, namespace, name);
        Ok((title, self.api(&resource, &capabilities, namespace)))
    }

    /// The names of the objects of a kind that are there, and the namespace in which events of them are recorded; none
    /// where the cluster knows no such kind.
    pub async fn names(&self, kind: &str, namespace: &str, which: &Which) -> Result<Option<Names>, ApplyError> {
        let groups = self.kinds.groups_alphabetical();
        let Some((resource, capabilities)) = groups.iter().find_map(|group| group.recommended_kind(kind)) else {
            return Ok(None);
        };
        let api = self.api(&resource, &capabilities, namespace);
        let only = match which {
            Which::Name(name) => ListParams::default().fields(&format!("metadata.name={name}")),
            Which::Labels(labels) => ListParams::default().labels(labels),
        };
        let found = api.list_metadata(&only).await.map_err(|source| ApplyError::Api {
            doing: format!("list {} in namespace {namespace}", resource.plural),
            source: Box::new(source),
        })?;
        // What lives in no namespace has its events in this one.
        let events = if capabilities.scope == Scope::Cluster { "default" } else { namespace };
        let names = found.items.into_iter().filter_map(|it| it.metadata.name).collect();
        Ok(Some(Names { names, events: events.to_owned() }))
    }

    async fn kind(&self, object: &DynamicObject, place: &str) -> Result<(ApiResource, ApiCapabilities), ApplyError> {
        let types = object.types.as_ref().ok_or_else(|| ApplyError::NotAnObject {
            place: place.to_owned(),
            reason: "apiVersion and kind are missing".to_owned(),
        })?;
        let gvk = GroupVersionKind::try_from(types)
            .map_err(|error| ApplyError::NotAnObject { place: place.to_owned(), reason: error.to_string() })?;
        let found = self.resolve(&gvk).await;
        found.map_err(|source| {
            let resource = format!("kind {} of {}", gvk.kind, gvk.api_version());
            ApplyError::refused(resource, place, source)
        })
    }

    /// Kinds that came after the discovery (from a CRD) are asked for one by one.
    async fn resolve(&self, gvk: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities), Box<kube::Error>> {
        match self.kinds.resolve_gvk(gvk) {
            Some(found) => Ok(found),
            None => kube::discovery::pinned_kind(&self.client, gvk).await.map_err(Box::new),
        }
    }

    fn api(&self, resource: &ApiResource, capabilities: &ApiCapabilities, namespace: &str) -> Api<DynamicObject> {
        match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }
}

/// An object's name in words, with its namespace where its kind lives in one.
fn title(capabilities: &ApiCapabilities, kind: &str, namespace: &str, name: &str) -> String {
    match capabilities.scope {
        Scope::Cluster => format!("{kind} {name}"),
        Scope::Namespaced => format!("{kind} {name} in namespace {namespace}"),
    }
}
