//! Obtains the images of a run: decides which images the plan needs, and where each of them is needed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::error::RunError;
use super::machine::{Machine, Toolchains};
use super::{Context, OnRequest, skipped};
use crate::cluster;
use parallax_engine::Engine;
use parallax_images::{
    Binaries, Cache, ImageError, K3s, Lock, NODE, Obtained, Recipes, Registries, Request, Want, obtain as obtain_all,
    unbuilt_on_request,
};
use parallax_plan::Plan;
use parallax_record::Sink;
use parallax_vocab::System;

/// The name of the image with the agent. The external network (the world) runs from the same image.
pub(super) const AGENT: &str = "agent";
/// The images that a node built from source needs in its air-gap folder. The published node image contains its own
/// copies.
const OF_THE_NODE: [&str; 2] = ["coredns", "pause"];

/// The images that were obtained for a run: the images with which its clusters start, and the reference of each image.
#[derive(Debug)]
pub(super) struct Supplied {
    pub(super) cluster: cluster::Images,
    /// Whether the node image is the published k3s, and not the image built from source.
    pub(super) published: bool,
    /// The full image references, which are inserted into manifests. The key is the name of the image.
    pub(super) references: BTreeMap<String, String>,
}

impl Supplied {
    /// Which node the clusters run, in words.
    pub(super) fn node(&self) -> String {
        let form = if self.published { "published k3s" } else { "source-built node" };
        let chosen = self.cluster.k8s.as_ref().filter(|_| self.cluster.is_chosen);
        chosen.map_or_else(|| form.to_owned(), |version| format!("{form}, Kubernetes {version}"))
    }
}

/// The images that a plan needs. Each entry says who needs the image: the engine (`engine`), a node, which gets the
/// image as an archive (`archive`), or both.
pub fn wants(plan: &Plan) -> Vec<Want> {
    let want = |name: &str, engine, archive| Want { name: name.to_owned(), engine, archive };
    let mut wanted = vec![want(NODE, true, false), want(AGENT, true, true)];
    wanted.extend(OF_THE_NODE.map(|name| want(name, false, true)));
    let mut outside = plan.outside_images();
    outside.extend(plan.container_images());
    let within = plan.images();
    let named = within.union(&outside).filter(|name| **name != AGENT);
    wanted.extend(named.map(|name| want(name, outside.contains(name), within.contains(name))));
    wanted
}

/// Builds the images in `names` from their recipes. If `names` is empty, builds all images that have a recipe.
pub async fn build_images(
    recipes: &Recipes,
    names: &[String],
    machine: &Machine,
    provision: bool,
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, Obtained>, ImageError> {
    let supplies = Supplies::of(recipes, provision, sink)?;
    let request = supplies.request(K3s::Built, &machine.engine);
    parallax_images::build(&request, names, sink, cancel).await
}

/// Obtains the images for a later run of a plan. If a published image cannot be obtained, it is left out with a note.
/// The scenarios that need this image cannot run, so their other images are left out, too. `wanted` computes which
/// images of the plan are needed, and where; for a run, this is [`wants`]. With [`OnRequest::OnlyBuilt`], an image
/// that is built only on request is left out in the same way, unless it is built already.
pub async fn fetch(
    recipes: &Recipes,
    (policy, engine, provision): (K3s, &Engine, bool),
    (plan, wanted): (&Plan, fn(&Plan) -> Vec<Want>),
    on_request: OnRequest,
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, Obtained>, ImageError> {
    let supply = async |wanted: &[Want], sink: &Sink| {
        supply_of(recipes, policy, engine, provision, wanted, sink, cancel.clone()).await
    };
    let has = async |name: &str| supply(&[published(name)], &Sink::silent()).await.map(drop);
    let mut lacking = skipped::lacking(plan, &only_published(recipes)?, has).await?;
    if on_request == OnRequest::OnlyBuilt {
        lacking.extend(skipped::on_request(unbuilt(recipes, policy, engine, plan).await?));
    }
    for (name, lack) in &lacking {
        sink.note(format!("{name} is left out, and scenarios that require it cannot run: {}", lack.failure.what));
    }
    supply(&wanted(&skipped::without(plan, &lacking)), sink).await
}

/// Obtains the images in `wanted` as `images.lock` declares them. Each image comes from the first source that has it,
/// for example the cache or a registry.
pub async fn supply_of(
    recipes: &Recipes,
    policy: K3s,
    engine: &Engine,
    provision: bool,
    wanted: &[Want],
    sink: &Sink,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, Obtained>, ImageError> {
    let supplies = Supplies::of(recipes, provision, sink)?;
    let request = supplies.request(policy, engine);
    obtain_all(&request, wanted, sink, cancel).await
}

/// The images of which the user chose a version that has no recipe, so that only a registry has it.
pub(super) fn only_published(recipes: &Recipes) -> Result<Vec<&'static str>, ImageError> {
    Ok(Lock::listed(recipes)?.only_published(recipes.versions()).collect())
}

/// The images of a plan that are built only on request, and are not built yet.
pub(super) async fn unbuilt(
    recipes: &Recipes,
    policy: K3s,
    engine: &Engine,
    plan: &Plan,
) -> Result<Vec<String>, ImageError> {
    let supplies = Supplies::of(recipes, false, &Sink::silent())?;
    unbuilt_on_request(&supplies.request(policy, engine), &wants(plan)).await
}

/// The sources of images, and the tools that build images.
struct Supplies {
    cache: Cache,
    lock: Lock,
    /// Parallax's own static programs, which become layers of images.
    binaries: Binaries,
    tools: Toolchains,
    registries: Registries,
}

impl Supplies {
    fn of(recipes: &Recipes, provision: bool, sink: &Sink) -> Result<Self, ImageError> {
        let cache = Cache::open()?;
        let program = PathBuf::from("this program");
        Ok(Self {
            lock: Lock::of(recipes, &cache)?,
            binaries: Binaries::of_this_program().map_err(|source| ImageError::Unreadable { file: program, source })?,
            cache,
            tools: Toolchains { provision, sink: sink.clone() },
            registries: Registries::default(),
        })
    }

    fn request<'a>(&'a self, policy: K3s, store: &'a Engine) -> Request<'a> {
        Request {
            lock: &self.lock,
            policy,
            binaries: &self.binaries,
            cache: &self.cache,
            store,
            tools: &self.tools,
            registries: &self.registries,
        }
    }
}

/// A request for a published image that has no recipe. A node needs this image as an archive in its air-gap folder. The
/// engine needs the image of the node itself.
fn published(name: &str) -> Want {
    Want { name: name.to_owned(), engine: name == NODE, archive: name != NODE }
}

/// Obtains a published image that has no recipe. Progress and failure are not reported, because a failure is not an
/// error of the run, but a reason to skip scenarios.
pub(super) async fn obtain_published(context: &Context, machine: &Machine, name: &str) -> Result<(), ImageError> {
    let options = &context.options;
    let (wanted, sink, cancel) = ([published(name)], Sink::silent(), context.cancel.clone());
    let supplied =
        supply_of(&options.recipes, options.k3s, &machine.engine, options.provision, &wanted, &sink, cancel).await;
    supplied.map(drop)
}

/// The version of Kubernetes of the node image, as the list of images names it; `None` if it names none.
fn k8s_of(recipes: &Recipes) -> Result<Option<String>, ImageError> {
    Ok(Lock::listed(recipes)?.entry(NODE)?.named_version().map(str::to_owned))
}

/// Obtains the images that a plan needs.
pub(super) async fn obtain(context: &Context, machine: &Machine, plan: &Plan) -> Result<Supplied, RunError> {
    let options = &context.options;
    let obtained = supply_of(
        &options.recipes,
        options.k3s,
        &machine.engine,
        options.provision,
        &wants(plan),
        &context.sink,
        context.cancel.clone(),
    )
    .await?;
    let reference = |name: &str| obtained.get(name).map(|it| it.reference.clone()).unwrap_or_default();
    let archives = obtained.values().filter_map(|it| it.archive.clone().map(|archive| (it.name.clone(), archive)));
    Ok(Supplied {
        cluster: cluster::Images {
            node: reference(NODE),
            k8s: k8s_of(&options.recipes)?,
            is_chosen: options.recipes.versions().get(System::K8s).is_some(),
            agent: reference(AGENT),
            outside: plan.outside_images().into_iter().map(|name| (name.to_owned(), reference(name))).collect(),
            archives: archives.collect(),
            everywhere: OF_THE_NODE.into_iter().chain([AGENT]).map(str::to_owned).collect(),
        },
        published: obtained.get(NODE).is_some_and(|it| it.published),
        references: obtained.iter().map(|(name, it)| (name.clone(), it.reference.clone())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Versions;

    use super::*;

    #[test]
    fn the_version_of_kubernetes_is_known_also_where_the_user_names_none() {
        let project = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(project.path().join("images")).expect("made");
        let text = "extends: shipped\nimages:\n  - { name: k3s, for: x, reference: 'x/k3s:1', version: 1.33.13, versions: [{ version: \
                    1.34.4, reference: 'x/k3s:2' }] }";
        std::fs::write(project.path().join("images/images.lock"), text).expect("written");
        let own = Recipes::of(project.path());
        assert_eq!(k8s_of(&own).expect("listed").as_deref(), Some("1.33.13"));
        let other = own.at(Versions::default().with(System::K8s, "1.34.4"));
        assert_eq!(k8s_of(&other).expect("listed").as_deref(), Some("1.34.4"));
    }
}
