//! Applies objects of any kind by server-side apply.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Api, Client, Discovery, ResourceExt as _};
use parallax_vocab::RunId;
use serde_json::Value;

use super::error::ApplyError;
use super::objects::RUN_LABEL;
use parallax_language::scenario::target::Which;
use parallax_record::Noted as _;

/// The field manager with which `apply` sets the fields of objects.
const FIELD_MANAGER: &str = "parallax";

/// The time limit for the apiserver to list a kind whose CRD already exists. Usually this takes about a second.
const DISCOVERED_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two requests for a kind that a CRD defines.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The existing objects of one kind that a step selects.
#[derive(Clone, Debug)]
pub struct Names {
    /// The names of the selected objects.
    pub names: Vec<String>,
    /// The namespace in which the events of these objects are recorded.
    pub events: String,
}

/// The settings of a run in somebody else's cluster. In such a cluster, the run changes no object that it has not
/// created.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The id of the run. Each object that the run applies gets this id as a label.
    pub run: RunId,
    /// The existing namespace of all environments. `None` if the run creates its namespaces.
    pub namespace: Option<String>,
}

/// Applies objects of any kind that the cluster has. The kinds are discovered when the applier is created. A kind that
/// is missing at that time is requested again when it is needed.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    kinds: Arc<Discovery>,
    images: Arc<BTreeMap<String, String>>,
    visit: Option<Arc<Visit>>,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").field("images", &self.images).finish_non_exhaustive()
    }
}

impl Applier {
    /// Discovers the cluster's kinds. `images` maps the names in `images.lock` to full image references.
    pub async fn new(client: Client, images: BTreeMap<String, String>) -> Result<Self, ApplyError> {
        let kinds = discovered(&client).await?;
        Ok(Self { client, kinds: Arc::new(kinds), images: Arc::new(images), visit: None })
    }

    /// Does the same as [`Applier::new`], for a run in somebody else's cluster.
    pub async fn visiting(client: Client, images: BTreeMap<String, String>, visit: Visit) -> Result<Self, ApplyError> {
        Ok(Self { visit: Some(Arc::new(visit)), ..Self::new(client, images).await? })
    }

    /// The settings of a run in somebody else's cluster. `None` if the harness started the cluster.
    pub fn visit(&self) -> Option<&Visit> {
        self.visit.as_deref()
    }

    /// The client with which objects are applied.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The full reference of an image, by its name in `images.lock`. `None` if the file has no such image.
    pub fn image(&self, name: &str) -> Option<&str> {
        self.images.get(name).map(String::as_str)
    }

    /// Applies one object. If the manifest contains no namespace, the object is created in `namespace`. `place` says
    /// where the object is declared, for error messages. Returns the object as the cluster stored it.
    pub async fn apply(&self, manifest: &Value, namespace: &str, place: &str) -> Result<DynamicObject, ApplyError> {
        let mut manifest = manifest.clone();
        super::objects::set_images(&mut manifest, &self.images);
        if let Some(visit) = &self.visit {
            super::objects::set_run(&mut manifest, visit.run.as_str());
        }
        let object: DynamicObject = serde_json::from_value(manifest)
            .map_err(|error| ApplyError::NotAnObject { place: place.to_owned(), reason: error.to_string() })?;
        let name = object.metadata.name.clone().ok_or_else(|| ApplyError::NotAnObject {
            place: place.to_owned(),
            reason: "metadata.name is missing".to_owned(),
        })?;
        let (resource, capabilities) = self.kind(&object, place).await?;
        let own_namespace = namespace;
        let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
        let api = self.api(&resource, &capabilities, namespace);
        if let Some(visit) = &self.visit {
            let is_own = namespace == own_namespace && capabilities.scope == Scope::Namespaced;
            if !is_own || visit.namespace.is_some() {
                let title = title(&capabilities, &resource.kind, namespace, &name);
                refuse_others(&api, &name, visit, &title).await?;
            }
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
        applied.map_err(|source| {
            let title = title(&capabilities, &resource.kind, namespace, &name);
            ApplyError::refused(title, place, Box::new(source))
        })
    }

    /// Gets one object, and the title of the object for messages: the kind, the name, and the namespace if the kind is
    /// namespaced. The object is `None` if it does not exist.
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

    /// The API for the kind of one object, and the title of the object for messages.
    pub async fn locate(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(String, Api<DynamicObject>), ApplyError> {
        let (resource, capabilities) = self.capabilities(api_version, kind).await?;
        let title = title(&capabilities, kind, namespace, name);
        Ok((title, self.api(&resource, &capabilities, namespace)))
    }

    /// Does the same as [`Applier::locate`], for a step that changes or deletes the object. In somebody else's cluster,
    /// an object outside the environment's namespace `own` must be one that this run has created.
    pub async fn locate_to_change(
        &self,
        (api_version, kind): (&str, &str),
        (namespace, own): (&str, &str),
        name: &str,
    ) -> Result<(String, Api<DynamicObject>), ApplyError> {
        let (resource, capabilities) = self.capabilities(api_version, kind).await?;
        let title = title(&capabilities, kind, namespace, name);
        let api = self.api(&resource, &capabilities, namespace);
        if let Some(visit) = &self.visit
            && (capabilities.scope == Scope::Cluster || namespace != own)
        {
            refuse_others(&api, name, visit, &title).await?;
        }
        Ok((title, api))
    }

    /// Whether the kind is cluster-scoped, according to the cluster.
    pub async fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> Result<bool, ApplyError> {
        Ok(self.capabilities(api_version, kind).await?.1.scope == Scope::Cluster)
    }

    /// The API resource of a kind, with its scope and the operations that the apiserver supports for it.
    pub(super) async fn capabilities(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<(ApiResource, ApiCapabilities), ApplyError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self.resolve(&GroupVersionKind::gvk(group, version, kind)).await;
        found.map_err(|source| ApplyError::Api { doing: format!("find the kind {kind} of {api_version}"), source })
    }

    /// The names of the existing objects of a kind, and the namespace in which their events are recorded. `None` if the
    /// cluster does not have the kind.
    pub async fn names(&self, kind: &str, namespace: &str, which: &Which) -> Result<Option<Names>, ApplyError> {
        let Some((resource, capabilities)) = self.recommended(kind).await? else { return Ok(None) };
        let api = self.api(&resource, &capabilities, namespace);
        let only = match which {
            Which::Name(name) => ListParams::default().fields(&format!("metadata.name={name}")),
            Which::Labels(labels) => ListParams::default().labels(labels),
        };
        let found = api.list_metadata(&only).await.map_err(|source| ApplyError::Api {
            doing: format!("list {} in namespace {namespace}", resource.plural),
            source: Box::new(source),
        })?;
        // Events of cluster-scoped objects are recorded in the namespace `default`.
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

    /// Finds a kind by its name alone. If the kind is unknown, the kinds are discovered again, because a CRD may have
    /// added it after the last discovery.
    async fn recommended(&self, kind: &str) -> Result<Option<(ApiResource, ApiCapabilities)>, ApplyError> {
        let of = |kinds: &Discovery| kinds.groups_alphabetical().iter().find_map(|group| group.recommended_kind(kind));
        if let Some(found) = of(&self.kinds) {
            return Ok(Some(found));
        }
        Ok(of(&discovered(&self.client).await?))
    }

    /// Finds a kind. If a CRD added the kind after the discovery, the apiserver is asked for this kind. The apiserver
    /// lists such a kind only a moment after the CRD is established. Therefore, if a CRD defines the kind, the request
    /// is repeated.
    async fn resolve(&self, gvk: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities), Box<kube::Error>> {
        if let Some(found) = self.kinds.resolve_gvk(gvk) {
            return Ok(found);
        }
        let began = Instant::now();
        let ask = || kube::discovery::pinned_kind(&self.client, gvk);
        let mut tried = ask().await;
        if tried.as_ref().is_err_and(is_unknown) && self.is_defined(gvk).await {
            while tried.as_ref().is_err_and(is_unknown) && began.elapsed() < DISCOVERED_WITHIN {
                // No event reports that the apiserver now lists the kind, so the code polls.
                tokio::time::sleep(AGAIN_AFTER).await;
                tried = ask().await;
            }
        }
        tried.map_err(Box::new)
    }

    /// Whether a CRD defines the kind. The result is false if the user has no right to list CRDs.
    async fn is_defined(&self, gvk: &GroupVersionKind) -> bool {
        let all: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let found = all.list(&ListParams::default()).await.noted("list the kinds that were added");
        found.is_some_and(|found| {
            found.items.iter().map(|it| &it.spec).any(|it| {
                let serves = it.versions.iter().any(|version| version.served && version.name == gvk.version);
                it.group == gvk.group && it.names.kind == gvk.kind && serves
            })
        })
    }

    fn api(&self, resource: &ApiResource, capabilities: &ApiCapabilities, namespace: &str) -> Api<DynamicObject> {
        match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }
}

/// Fails if an object with this name exists and this run has not created it.
async fn refuse_others(api: &Api<DynamicObject>, name: &str, visit: &Visit, title: &str) -> Result<(), ApplyError> {
    let found = api.get_opt(name).await;
    let found = found.map_err(|source| ApplyError::Api { doing: format!("get {title}"), source: Box::new(source) })?;
    let Some(found) = found else { return Ok(()) };
    let of_this_run = found.labels().get(RUN_LABEL).is_some_and(|it| it == visit.run.as_str());
    if of_this_run { Ok(()) } else { Err(ApplyError::NotOurs { title: title.to_owned() }) }
}

/// Whether an error means that the apiserver does not have the requested kind, or its group.
pub(crate) fn is_unknown(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 404,
        kube::Error::Discovery(_) => true,
        _ => false,
    }
}

/// Asks the apiserver for all kinds of the cluster.
pub(super) async fn discovered(client: &Client) -> Result<Discovery, ApplyError> {
    let kinds = Discovery::new(client.clone()).run_aggregated().await;
    kinds.map_err(|source| ApplyError::Api {
        doing: "ask which kinds the cluster has".to_owned(),
        source: Box::new(source),
    })
}

/// The title of an object for messages. It contains the namespace if the kind is namespaced.
fn title(capabilities: &ApiCapabilities, kind: &str, namespace: &str, name: &str) -> String {
    match capabilities.scope {
        Scope::Cluster => format!("{kind} {name}"),
        Scope::Namespaced => format!("{kind} {name} in namespace {namespace}"),
    }
}
