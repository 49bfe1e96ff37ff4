//! Applies manifests: those of CoreDNS, and every file in k3s's manifests folder, including files that are added
//! later.
//!
//! The code does what k3s's deploy controller does. A file is applied again when it changes. If a file is removed, its
//! objects stay. A file `NAME.skip` excludes `NAME`. If an object cannot be applied, for example because its kind or
//! its namespace does not exist yet, the node tries the object again as long as it runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Client, discovery};
use serde_json::Value;
use walkdir::WalkDir;

use crate::paths;
use crate::say::say;

/// The field manager of all objects that this node applies (server-side apply).
const MANAGER: &str = "parallax-node";
/// The namespace of an object that needs a namespace, but whose manifest gives none.
const DEFAULT_NAMESPACE: &str = "default";
/// The pause between two readings of the manifests folder, if all objects are applied.
const RESCAN: Duration = Duration::from_secs(1);
/// The pause before objects that could not be applied are tried again.
const RETRY: Duration = Duration::from_millis(100);
/// The largest number of files that are read from the manifests folder.
const FILES_LIMIT: usize = 1000;

/// An object that is still to be applied. `origin` is the manifest file of the object, or a name for an object without
/// a file.
struct Pending {
    origin: String,
    object: Value,
}

/// The modification time and the length of a file. If one of them differs, the file has changed.
type Stamp = (Option<SystemTime>, u64);

/// Applies objects. It remembers the state of each file of the manifests folder, so that only changed files are applied
/// again.
pub(crate) struct Deployer {
    client: Client,
    kinds: HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)>,
    seen: BTreeMap<PathBuf, Stamp>,
    pending: Vec<Pending>,
    reported: BTreeSet<String>,
}

impl Deployer {
    /// A deployer that has read no file yet.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, kinds: HashMap::new(), seen: BTreeMap::new(), pending: Vec::new(), reported: BTreeSet::new() }
    }

    /// Adds objects that do not come from a file. `origin` is the name of these objects in messages.
    pub(crate) fn add(&mut self, origin: &str, objects: Vec<Value>) {
        self.pending.extend(objects.into_iter().map(|object| Pending { origin: origin.to_owned(), object }));
    }

    /// Makes one pass: reads new and changed files, and tries to apply all objects that are still to be applied.
    /// Returns the number of objects that could not be applied.
    pub(crate) async fn pass(&mut self) -> usize {
        self.scan();
        for pending in std::mem::take(&mut self.pending) {
            if let Err(error) = self.apply(&pending.object).await {
                self.report_once(format!("{}: {} is not applied yet: {error}", pending.origin, title(&pending.object)));
                self.pending.push(pending);
            }
        }
        self.pending.len()
    }

    /// Applies manifests pass by pass, until the node stops.
    pub(crate) async fn run(mut self) {
        loop {
            let left = self.pass().await;
            tokio::time::sleep(if left == 0 { RESCAN } else { RETRY }).await;
        }
    }

    fn scan(&mut self) {
        match files(Path::new(paths::MANIFESTS)) {
            Ok(found) => {
                for (path, stamp) in found {
                    if self.seen.insert(path.clone(), stamp) != Some(stamp) {
                        self.load(&path);
                    }
                }
            }
            Err(error) => self.report_once(format!("cannot list {}: {error}", paths::MANIFESTS)),
        }
    }

    fn load(&mut self, path: &Path) {
        let origin = path.display().to_string();
        self.pending.retain(|pending| pending.origin != origin);
        let objects = std::fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| objects(&text));
        match objects {
            Ok(objects) => self.add(&origin, objects),
            Err(error) => self.report_once(format!("cannot read the manifest {origin}: {error}")),
        }
    }

    async fn apply(&mut self, object: &Value) -> Result<(), String> {
        let (kind, name) = identity(object)?;
        let (resource, capabilities) = self.kind(kind).await?;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE);
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, &resource),
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
        };
        let params = PatchParams::apply(MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(object)).await.map(drop).map_err(reason)
    }

    async fn kind(&mut self, kind: GroupVersionKind) -> Result<(ApiResource, ApiCapabilities), String> {
        if let Some(known) = self.kinds.get(&kind) {
            return Ok(known.clone());
        }
        let found = discovery::pinned_kind(&self.client, &kind).await.map_err(reason)?;
        self.kinds.insert(kind, found.clone());
        Ok(found)
    }

    /// Prints `line`, unless it was printed before. Objects that cannot be applied are tried ten times a second.
    /// Without this check, their messages would be repeated each time.
    fn report_once(&mut self, line: String) {
        if !self.reported.contains(&line) {
            say(&line);
            self.reported.insert(line);
        }
    }
}

/// The manifests in a folder and its subfolders, in the order of their names, each with its modification time and
/// length.
fn files(folder: &Path) -> std::io::Result<Vec<(PathBuf, Stamp)>> {
    let mut found = Vec::new();
    // Symbolic links are followed, because the files of a mounted ConfigMap are symbolic links.
    for entry in WalkDir::new(folder).follow_links(true) {
        let entry = match entry {
            Ok(entry) => entry,
            // Three errors are expected here: an entry of the manifests folder was removed in the meantime, an entry is
            // a broken link, or an entry is a link to one of its parent folders.
            Err(error)
                if error.depth() > 0 && !error.path().is_some_and(|path| path.is_dir() && !path.is_symlink()) =>
            {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !entry.file_type().is_dir() && is_manifest(entry.path()) && found.len() < FILES_LIMIT {
            let Ok(metadata) = entry.metadata() else { continue };
            found.push((entry.into_path(), (metadata.modified().ok(), metadata.len())));
        }
    }
    found.sort();
    Ok(found)
}

fn is_manifest(path: &Path) -> bool {
    let manifest = path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
    let mut skip = path.as_os_str().to_owned();
    skip.push(".skip");
    manifest && !Path::new(&skip).exists()
}

/// The Kubernetes objects in the text of a manifest. The text may contain several YAML documents. Empty documents are
/// skipped, and a `List` is split into its objects.
fn objects(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for document in documents {
        let list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match document {
            Value::Null => {}
            Value::Object(mut map) if list && map.contains_key("items") => {
                let items = map.remove("items").unwrap_or_default();
                objects.extend(items.as_array().cloned().unwrap_or_default());
            }
            object => objects.push(object),
        }
    }
    for object in &objects {
        identity(object)?;
    }
    Ok(objects)
}

fn identity(object: &Value) -> Result<(GroupVersionKind, String), String> {
    let text = |value: &Value, field: &str| {
        value.as_str().map(str::to_owned).ok_or_else(|| format!("an object without {field}"))
    };
    let version = text(&object["apiVersion"], "apiVersion")?;
    let kind = text(&object["kind"], "kind")?;
    let name = text(&object["metadata"]["name"], "metadata.name")?;
    let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
    Ok((GroupVersionKind::gvk(group, version, &kind), name))
}

/// The apiserver's own message, if the error contains one; otherwise the text of the error.
fn reason(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

fn title(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", word(&object["kind"]), word(&object["metadata"]["name"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_become_objects() {
        let text = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# nothing here\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}\n";
        let found = objects(text).expect("valid");
        assert_eq!(found.iter().map(title).collect::<Vec<_>>(), ["Namespace a", "Deployment b"]);
        let (kind, _) = identity(&found[1]).expect("complete");
        assert_eq!((kind.group.as_str(), kind.version.as_str()), ("apps", "v1"));
    }

    #[test]
    fn strings_stay_strings() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  mode: \"0644\"\n  on: \"true\"\n";
        let found = objects(text).expect("valid");
        assert_eq!(found[0]["data"]["mode"], "0644");
        assert_eq!(found[0]["data"]["on"], "true");
    }

    #[test]
    fn an_incomplete_object_is_refused() {
        for (text, named) in [
            ("kind: A\nmetadata: {name: a}\n", "apiVersion"),
            ("apiVersion: v1\nmetadata: {name: a}\n", "kind"),
            ("apiVersion: v1\nkind: A\n", "metadata.name"),
            ("a: [", "line"),
        ] {
            let error = objects(text).expect_err(named);
            assert!(error.contains(named), "{text:?}: {error}");
        }
    }

    #[test]
    fn files_come_in_order_and_skips_are_honoured() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("more")).expect("folder");
        for name in ["b.yaml", "a.yml", "c.yaml", "c.yaml.skip", "notes.txt", "more/d.json"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        for (link, to) in
            [("nowhere.yaml", "none"), ("itself.yaml", "itself.yaml"), ("more/back", ".."), ("e.yaml", "b.yaml")]
        {
            std::os::unix::fs::symlink(to, folder.path().join(link)).expect("linked");
        }
        let found = files(folder.path()).expect("listed");
        let names: Vec<_> = found.iter().filter_map(|(path, _)| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "e.yaml", "d.json"]);
    }
}
