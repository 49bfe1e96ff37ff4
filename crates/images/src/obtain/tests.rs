//! Tests of how images are obtained, with a fake engine in memory and with recipes that need no tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use parallax_vocab::EventKind;
use tempfile::TempDir;

use super::*;
use parallax_provision::Tool;

pub(crate) const LOCK: &str = "\
images:
  - { name: k3s, for: the node, reference: 'rancher/k3s:1', recipe: node }
  - { name: pause, for: pods, reference: 'rancher/pause:1', recipe: pause, also: ['rancher/pause:1'], within: k3s }
  - { name: minio, for: the store, reference: 'quay/minio:1', recipe: minio }
  - { name: agent, for: probes, recipe: agent }
";

/// The digest that the fake registry reports for each image.
pub(crate) const OF_THE_REGISTRY: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const ANOTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// How the fake registry answers a pull.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    Serves,
    Refuses,
    IsAway,
}

/// A fake engine in memory: its images by name, and the calls that it received.
pub(crate) struct Engine {
    images: Mutex<BTreeMap<String, String>>,
    /// The names of the images that were loaded from an archive. The engine knows no digest of such an image.
    loaded: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<String>>,
    registry: Registry,
}

/// The config of the image that a registry has under this reference. The image has no layers.
fn config_of(reference: &str) -> Vec<u8> {
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": [] });
    let architecture = archive::architecture();
    let config =
        serde_json::json!({ "author": reference, "architecture": architecture, "os": "linux", "rootfs": rootfs });
    serde_json::to_vec(&config).expect("JSON")
}

impl Engine {
    fn note(&self, what: String) {
        self.asked.lock().expect("not poisoned").push(what);
    }

    fn add(&self, reference: &str) {
        let id = format!("sha256:{}", crate::digest::of_bytes(&config_of(reference)));
        self.images.lock().expect("not poisoned").insert(reference.to_owned(), id);
    }

    pub(crate) fn has(&self, reference: &str) -> bool {
        self.images.lock().expect("not poisoned").contains_key(reference)
    }
}

impl ImageStore for Engine {
    fn image_id<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move { Ok(self.images.lock().expect("not poisoned").get(reference).cloned()) })
    }

    fn digests<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let is_loaded = self.loaded.lock().expect("not poisoned").contains(reference);
        Box::pin(async move { Ok(if is_loaded { Vec::new() } else { vec![OF_THE_REGISTRY.to_owned()] }) })
    }

    fn is_built<'a>(
        &'a self,
        reference: &'a str,
        config: &'a str,
        _layers: &'a [String],
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(
            async move { Ok(self.images.lock().expect("not poisoned").get(reference).is_some_and(|it| it == config)) },
        )
    }

    fn load<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            for tag in tags(archive) {
                self.note(format!("load {}", tag.split(':').next().unwrap_or_default()));
                let id = archive::identity(archive).expect("an archive of ours").id;
                self.loaded.lock().expect("not poisoned").insert(tag.clone());
                self.images.lock().expect("not poisoned").insert(tag, id);
            }
            Ok(())
        })
    }

    fn save<'a>(&'a self, reference: &'a str, to: &'a Path) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.note(format!("save {reference}"));
            let file = fs::File::create(to).map_err(|error| error.to_string())?;
            let (tags, cancel) = ([reference.to_owned()], CancellationToken::new());
            let written = archive::assemble(&tags, &config_of(reference), &[], file, &cancel);
            written.map(drop).map_err(|error| error.to_string())
        })
    }

    fn pull<'a>(
        &'a self,
        reference: &'a str,
        _digest: Option<&'a str>,
        _progress: &'a (dyn Fn(&str) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.note(format!("pull {reference}"));
            match self.registry {
                Registry::Serves => self.add(reference),
                Registry::Refuses => return Err("manifest unknown".to_owned()),
                Registry::IsAway => return Err("no answer within 10 s".to_owned()),
            }
            Ok(())
        })
    }
}

/// A provider of tools that fails in every call. The recipes of these tests need no tool, so no call may happen.
struct NoTools;

impl Tools for NoTools {
    fn ensure(&self, tool: Tool) -> BoxFuture<'_, Result<std::path::PathBuf, String>> {
        Box::pin(async move { Err(format!("was asked for: {tool}")) })
    }
}

/// The names that the image has in an archive, from its `manifest.json`.
fn tags(archive: &Path) -> Vec<String> {
    let mut tar = tar::Archive::new(fs::File::open(archive).expect("opens"));
    let manifest = tar.entries().expect("a tar").next().expect("an entry").expect("whole");
    let manifest: serde_json::Value = serde_json::from_reader(manifest).expect("JSON");
    let tags = manifest[0]["RepoTags"].as_array().expect("a list");
    tags.iter().map(|tag| tag.as_str().expect("text").to_owned()).collect()
}

/// The images of [`LOCK`] that a run needs. Each of them is needed in the engine, as an archive, or in both places.
pub(crate) fn wants() -> Vec<Want> {
    let want = |name: &str, engine, archive| Want { name: name.to_owned(), engine, archive };
    vec![want("k3s", true, false), want("pause", false, true), want("minio", false, true), want("agent", true, true)]
}

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) lock: Lock,
    pub(crate) cache: Cache,
    pub(crate) engine: Engine,
    registries: Registries,
    said: Arc<Mutex<Vec<String>>>,
}

impl Machine {
    pub(crate) fn new(registry: Registry) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["node", "pause", "minio", "agent"] {
            let recipe = folder.path().join(name);
            fs::create_dir(&recipe).expect("made");
            let text = format!("summary: x\nlayers:\n  - links: {{ {name}: target }}\n");
            fs::write(recipe.join("recipe.yaml"), text).expect("written");
        }
        Self {
            lock: Lock::parse(folder.path(), LOCK).expect("valid"),
            cache: Cache::at(folder.path().join("cache")).expect("opens"),
            engine: Engine { images: Mutex::default(), loaded: Mutex::default(), asked: Mutex::default(), registry },
            registries: Registries::default(),
            said: Arc::default(),
            folder,
        }
    }

    /// Obtains the images of a run. Returns a line `name: source` for each image, sorted.
    pub(crate) async fn obtain(&self, policy: K3s) -> Result<Vec<String>, ImageError> {
        let obtained = self.obtain_these(policy, &wants()).await?;
        let form = |image: &Obtained| if image.published { "published" } else { "built" };
        Ok(obtained
            .values()
            .map(|image| {
                let source = image.source.to_string();
                let source = source.split(" in ").next().unwrap_or_default();
                format!("{}: {}, {source}", image.name, form(image))
            })
            .collect())
    }

    pub(crate) fn binaries(&self) -> Binaries {
        Binaries::beside(self.folder.path())
    }

    pub(crate) async fn obtain_these(
        &self,
        policy: K3s,
        wanted: &[Want],
    ) -> Result<BTreeMap<String, Obtained>, ImageError> {
        let request = Request {
            lock: &self.lock,
            policy,
            binaries: &self.binaries(),
            cache: &self.cache,
            store: &self.engine,
            tools: &NoTools,
            registries: &self.registries,
        };
        let said = self.said.clone();
        let sink = Sink::new(move |event| {
            let text = match event {
                EventKind::Note { text } | EventKind::Warning { text } => text,
                EventKind::SetupEnded { id, error: Some(error), .. } => format!("{id}: {}", error.what),
                _ => return,
            };
            said.lock().expect("not poisoned").push(text);
        });
        obtain(&request, wanted, &sink, CancellationToken::new()).await
    }

    /// The calls that the fake engine received since the last call of this function, sorted.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.engine.asked.lock().expect("not poisoned"));
        asked.sort();
        asked
    }
}

#[test]
fn the_note_about_the_node_image_names_the_published_one_only_if_there_is_one() {
    let built = "clusters run a node image built from k3s's upstream parts";
    for (form, published, expected) in [
        (Form::Published, Some("rancher/k3s:1"), "clusters run the published rancher/k3s:1".to_owned()),
        (Form::Built, Some("rancher/k3s:1"), format!("{built}, not the published rancher/k3s:1")),
        (Form::Built, None, built.to_owned()),
    ] {
        assert_eq!(node_image(form, published), expected);
    }
}

#[tokio::test]
async fn offline_everything_is_built_once_and_then_needs_no_network() {
    let machine = Machine::new(Registry::IsAway);
    let built = ["agent: built, built", "k3s: built, built", "minio: built, built", "pause: built, built"];
    assert_eq!(machine.obtain(K3s::Auto).await.expect("built"), built);
    assert_eq!(machine.asked().first().map(String::as_str), Some("load parallax.local/agent"));
    let said = machine.said.lock().expect("not poisoned").clone();
    assert_eq!(said.iter().filter(|text| text.starts_with("no image registry is in reach")).count(), 1, "{said:?}");
    assert!(said.iter().any(|text| text.contains("not the published rancher/k3s:1")), "{said:?}");

    let warm = Machine { registries: Registries::default(), ..machine };
    let at_hand = [
        "agent: built, from engine",
        "k3s: built, from engine",
        "minio: built, from cache",
        "pause: built, from cache",
    ];
    assert_eq!(warm.obtain(K3s::Auto).await.expect("at hand"), at_hand);
    assert!(warm.asked().is_empty(), "a warm run asks nothing of registries");
}

#[tokio::test]
async fn with_a_registry_the_published_set_is_used_and_the_agent_is_built() {
    let machine = Machine::new(Registry::Serves);
    let pulled = [
        "agent: built, built",
        "k3s: published, pulled",
        "minio: published, pulled",
        "pause: published, comes with k3s",
    ];
    assert_eq!(machine.obtain(K3s::Auto).await.expect("pulled"), pulled);
    let asked = ["load parallax.local/agent", "pull quay/minio:1", "pull rancher/k3s:1", "save quay/minio:1"];
    assert_eq!(machine.asked(), asked);
    let again = machine.obtain(K3s::Published).await.expect("at hand");
    assert_eq!(again[1..], ["k3s: published, from engine", "minio: published, from engine", pulled[3]]);
    assert!(machine.asked().is_empty(), "what was saved is in the cache");
}

#[tokio::test]
async fn published_offline_is_an_error_and_never_a_substitute() {
    for registry in [Registry::IsAway, Registry::Refuses] {
        let machine = Machine::new(registry);
        machine.obtain(K3s::Built).await.expect("the built set is at hand");
        let error = machine.obtain(K3s::Published).await.expect_err("no registry");
        // Only a registry that answers can say that the image does not exist. If no registry answers, the error must
        // not claim that the image does not exist.
        let said = matches!(error, ImageError::NotPublished { .. });
        let away = matches!(error, ImageError::Unreachable { .. });
        assert!(if registry == Registry::Refuses { said } else { away }, "{error}");
        assert!(!error.is_usage());
        assert!(error.failure().fix.is_some_and(|fix| fix.contains("--k3s auto")));
    }
}

#[tokio::test]
async fn built_asks_no_registry_though_there_is_one() {
    let machine = Machine::new(Registry::Serves);
    machine.engine.add("rancher/k3s:1");
    let sources = machine.obtain(K3s::Built).await.expect("built");
    assert!(sources.iter().all(|source| source.contains(": built, built")), "{sources:?}");
    assert!(!machine.asked().iter().any(|asked| asked.starts_with("pull")));
}

#[tokio::test]
async fn a_built_image_is_never_in_the_engine_under_the_published_name() {
    let machine = Machine::new(Registry::Refuses);
    let wanted = [Want { name: "pause".into(), engine: true, archive: true }];
    let obtained = machine.obtain_these(K3s::Auto, &wanted).await.expect("built");
    let pause = &obtained["pause"];
    assert!(machine.engine.has(&pause.reference) && !machine.engine.has("rancher/pause:1"));
    let archive = pause.archive.as_ref().expect("an archive was wanted");
    assert_eq!(tags(archive), [pause.reference.as_str(), "rancher/pause:1"], "a node knows it by that name");
    assert!(pause.id.starts_with("sha256:"));
}

#[tokio::test]
async fn an_archive_that_somebody_changed_is_built_again() {
    let machine = Machine::new(Registry::IsAway);
    machine.obtain(K3s::Auto).await.expect("built");
    let images = fs::read_dir(machine.cache.root().join("images")).expect("listed").flatten();
    let minio = images.map(|it| it.path()).find(|it| it.to_string_lossy().contains("/minio-")).expect("there");
    let before = fs::read(&minio).expect("read");
    let mut changed = before.clone();
    *changed.last_mut().expect("not empty") ^= 1;
    fs::write(&minio, changed).expect("written");
    let sources = machine.obtain(K3s::Auto).await.expect("built");
    assert!(sources.contains(&"minio: built, built".to_owned()), "{sources:?}");
    assert_eq!(fs::read(&minio).expect("read"), before);
    let said = machine.said.lock().expect("not poisoned").clone();
    assert_eq!(said.iter().filter(|it| it.contains("in the image cache was changed")).count(), 1, "{said:?}");
}

#[tokio::test]
async fn an_image_in_the_engine_must_be_the_one_that_the_lock_pins() {
    for (digest, registry, expected) in [
        (OF_THE_REGISTRY, Registry::IsAway, "minio: published, from engine"),
        (ANOTHER, Registry::Serves, "minio: published, pulled"),
        (ANOTHER, Registry::IsAway, "minio: built, built"),
    ] {
        let mut machine = Machine::new(registry);
        let lock = LOCK.replace("'quay/minio:1'", &format!("'quay/minio:1', digest: '{digest}'"));
        machine.lock = Lock::parse(machine.folder.path(), &lock).expect("valid");
        machine.engine.add("quay/minio:1");
        let sources = machine.obtain(K3s::Auto).await.expect("obtained");
        assert!(sources.contains(&expected.to_owned()), "{digest}: {sources:?}");
        let said = machine.said.lock().expect("not poisoned").clone();
        let refused = said.iter().any(|it| it.contains("the engine's quay/minio:1 is not the image"));
        assert_eq!(refused, digest == ANOTHER, "{said:?}");
    }
}

#[tokio::test]
async fn a_published_image_without_a_digest_is_reported_with_the_one_that_the_engine_knows() {
    let unpinned = |lock: &str, machine: &mut Machine| {
        machine.lock = Lock::parse(machine.folder.path(), lock).expect("valid");
    };
    let pinned = LOCK.replace("'quay/minio:1'", &format!("'quay/minio:1', digest: '{OF_THE_REGISTRY}'"));
    for (lock, reported) in [(LOCK, true), (pinned.as_str(), false)] {
        let mut machine = Machine::new(Registry::Serves);
        unpinned(lock, &mut machine);
        machine.obtain(K3s::Auto).await.expect("obtained");
        let said = machine.said.lock().expect("not poisoned").clone();
        let line = format!("quay/minio:1 is pinned by its tag only; its digest in the engine is {OF_THE_REGISTRY}");
        assert_eq!(said.contains(&line), reported, "{said:?}");
        let rows = crate::list(&machine.lock, &machine.binaries(), &machine.cache, Some(&machine.engine)).await;
        let rows = rows.expect("listed");
        let by_tag: Vec<&str> =
            rows.iter().filter(|row| row.is_pinned_by_tag_only()).map(|row| row.name.as_str()).collect();
        assert_eq!(by_tag, if reported { vec!["k3s", "pause", "minio"] } else { vec!["k3s", "pause"] });
        assert_eq!(rows[2].held, [OF_THE_REGISTRY], "the engine has it");
        assert!(rows[3].held.is_empty(), "the agent is not published");
    }
}

#[tokio::test]
async fn an_image_in_the_engine_must_be_the_one_that_was_built() {
    let machine = Machine::new(Registry::IsAway);
    let wanted = [Want { name: "k3s".into(), engine: true, archive: false }];
    let built = &machine.obtain_these(K3s::Auto, &wanted).await.expect("built")["k3s"];
    let (tag, id) = (built.reference.clone(), built.id.clone());
    assert_eq!(machine.asked(), ["load parallax.local/node", "pull rancher/k3s:1"]);
    // Another user of the engine gives the tag to another image. The right image must be loaded again from the cache.
    machine.engine.add(&tag);
    let again = &machine.obtain_these(K3s::Built, &wanted).await.expect("loaded")["k3s"];
    assert_eq!((&again.id, again.source.to_string().as_str()), (&id, "from cache"));
    assert_eq!(machine.asked(), ["load parallax.local/node"]);
    let said = machine.said.lock().expect("not poisoned").clone();
    assert!(said.iter().any(|it| it.contains("is not the image that was built here")), "{said:?}");
    // The archive is gone from the cache, and another user gives the tag to another image. The image must be built
    // again.
    for file in fs::read_dir(machine.cache.root().join("images")).expect("listed") {
        fs::remove_file(file.expect("readable").path()).expect("removed");
    }
    machine.engine.add(&tag);
    let again = &machine.obtain_these(K3s::Built, &wanted).await.expect("built")["k3s"];
    assert_eq!(again.id, id);
    assert_eq!(machine.asked(), ["load parallax.local/node"]);
}

#[tokio::test]
async fn one_changed_line_builds_one_image() {
    let machine = Machine::new(Registry::IsAway);
    machine.obtain(K3s::Auto).await.expect("built");
    let recipe = machine.folder.path().join("minio/recipe.yaml");
    let text = fs::read_to_string(&recipe).expect("read").replace("target", "elsewhere");
    fs::write(&recipe, text).expect("written");
    let sources = machine.obtain(K3s::Auto).await.expect("built");
    let built: Vec<_> = sources.iter().filter(|source| source.ends_with(", built")).collect();
    assert_eq!(built, ["minio: built, built"]);
}

#[tokio::test]
async fn a_fault_ends_the_others_and_leaves_nothing_half_done() {
    let machine = Machine::new(Registry::IsAway);
    let recipe = machine.folder.path().join("node/recipe.yaml");
    fs::write(recipe, "summary: x\nlayers: [{ debian: { suite: trixie, packages: [] } }]\n").expect("written");
    let error = machine.obtain(K3s::Auto).await.expect_err("no tool");
    assert_eq!(error.to_string(), "image k3s cannot be built without mmdebstrap: was asked for: mmdebstrap");
    let said = machine.said.lock().expect("not poisoned").clone();
    assert!(said.contains(&format!("image/k3s: {error}")), "{said:?}");
    let left = fs::read_dir(machine.cache.root().join("tmp")).expect("listed").count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn images_of_earlier_recipes_are_outdated_and_no_others() {
    let machine = Machine::new(Registry::IsAway);
    let built = machine.obtain(K3s::Built).await.expect("the built set is at hand");
    assert!(!built.is_empty());
    let lock = &machine.lock;
    let rows = crate::list(lock, &machine.binaries(), &machine.cache, None).await.expect("is listed");
    let current: Vec<String> = rows.iter().filter_map(|row| row.built.clone()).collect();
    let old: Vec<String> =
        current.iter().map(|it| format!("{}0", &it[..it.len() - 1])).filter(|it| !current.contains(it)).collect();
    assert!(!old.is_empty());
    let all: Vec<String> = current.iter().chain(&old).cloned().collect();
    assert_eq!(crate::Present::of(lock, &machine.binaries(), &machine.cache).outdated(&all), old);
}
