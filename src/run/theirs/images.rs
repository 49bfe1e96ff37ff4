//! Decides by which reference the nodes of somebody else's cluster get each image. The run cannot bring an image to
//! such a node. Either the node has the image already, or it pulls the image from a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::run::error::RunError;
use parallax_images::{Binaries, Cache, ImageError, Lock, Recipes, Row, list};
use parallax_record::Noted as _;

/// What the user says about the images that the nodes already have (`--images-present`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Present {
    /// The option is not given. The harness then reads from the Node objects which images the nodes have.
    #[default]
    Unknown,
    /// The nodes have every image that only Parallax builds, and that is therefore in no registry.
    All,
    /// The nodes have the images with these names, as `parallax images build` builds them.
    These(BTreeSet<String>),
}

/// The images of images.lock, and what is known about the images that the cluster's nodes have.
#[derive(Debug)]
pub(super) struct Images {
    rows: BTreeMap<String, Row>,
    present: Present,
    /// The references of the images that are on every node, according to the Node objects. A node on which no pods can
    /// be scheduled does not count. `None` if the nodes cannot be listed.
    on_nodes: Option<BTreeSet<String>>,
}

impl Images {
    pub(super) async fn of(recipes: &Recipes, client: &Client, present: Present) -> Result<Self, RunError> {
        let cache = Cache::open()?;
        let lock = Lock::of(recipes, &cache)?;
        let program = PathBuf::from("this program");
        let binaries =
            Binaries::of_this_program().map_err(|source| ImageError::Unreadable { file: program, source })?;
        let rows = list(&lock, &binaries, &cache, None).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        // If the user has no right to list nodes, it is unknown which images the nodes have. The user can name these
        // images by `--images-present`.
        let nodes = nodes.list(&ListParams::default()).await.noted("list the nodes and their images");
        let on_nodes = nodes.map(|it| on_every(&it.items));
        Ok(Self { rows: rows.into_iter().map(|it| (it.name.clone(), it)).collect(), present, on_nodes })
    }

    /// The reference by which the nodes get an image of `images.lock`. The error says why the nodes cannot get this
    /// image.
    pub(super) fn reference(&self, name: &str) -> Result<String, String> {
        let Some(row) = self.rows.get(name) else { return Err(format!("images.lock has no image `{name}`")) };
        let is_there = |reference: &String| self.on_nodes.as_ref().is_some_and(|it| it.contains(&in_full(reference)));
        let given = match &self.present {
            Present::Unknown => false,
            Present::All => row.reference.is_none(),
            Present::These(names) => names.contains(name),
        };
        if given || row.built.as_ref().is_some_and(is_there) {
            let unknown =
                || format!("the tag of image `{name}` is not known: {}", row.unknown.clone().unwrap_or_default());
            return row.built.clone().ok_or_else(unknown);
        }
        if let Some(reference) = &row.reference {
            return Ok(reference.clone());
        }
        let tag = row.built.clone().or_else(|| row.unknown.clone()).unwrap_or_default();
        let where_ = match &self.on_nodes {
            Some(_) => "not every node lists it",
            None => "the user of the kubeconfig may not list nodes",
        };
        Err(format!(
            "image `{name}` is in no registry, because only `parallax images build {name}` makes it ({tag}), and {where_}; \
             load it onto the nodes and say so with --images-present={name}"
        ))
    }
}

/// Returns the image references that are listed by every node on which pods can be scheduled.
fn on_every(nodes: &[Node]) -> BTreeSet<String> {
    let takes_pods = |it: &&Node| it.spec.as_ref().is_none_or(|it| it.unschedulable != Some(true));
    let lists = nodes.iter().filter(takes_pods).map(|node| {
        let images = node.status.iter().flat_map(|it| it.images.iter().flatten());
        images.flat_map(|it| it.names.iter().flatten()).map(|it| in_full(it)).collect::<BTreeSet<String>>()
    });
    lists.reduce(|all, it| all.intersection(&it).cloned().collect()).unwrap_or_default()
}

/// Returns an image reference with its registry. If `reference` contains no registry, the result contains the default
/// registry of containerd.
fn in_full(reference: &str) -> String {
    let first = reference.split('/').next().unwrap_or_default();
    let has_registry = reference.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    match (has_registry, reference.contains('/')) {
        (true, _) => reference.to_owned(),
        (false, true) => format!("docker.io/{reference}"),
        (false, false) => format!("docker.io/library/{reference}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(images: &[&str], unschedulable: bool) -> Node {
        let status = json!({ "images": [{ "names": images }] });
        serde_json::from_value(json!({ "spec": { "unschedulable": unschedulable }, "status": status })).expect("a node")
    }

    #[test]
    fn an_image_is_there_if_every_node_that_takes_pods_lists_it() {
        let nodes = [
            node(&["parallax.local/agent:1", "docker.io/rancher/k3s:1"], false),
            node(&["parallax.local/agent:1"], false),
            node(&[], true),
        ];
        assert_eq!(on_every(&nodes), BTreeSet::from(["parallax.local/agent:1".to_owned()]));
        assert_eq!(on_every(&[]), BTreeSet::new());
        for (short, full) in [
            ("busybox:1", "docker.io/library/busybox:1"),
            ("rancher/k3s:1", "docker.io/rancher/k3s:1"),
            ("localhost/a:1", "localhost/a:1"),
            ("registry:5000/a:1", "registry:5000/a:1"),
        ] {
            assert_eq!(in_full(short), full);
        }
    }

    #[test]
    fn an_image_that_only_we_build_must_be_on_the_nodes() {
        let row = |name: &str, reference: Option<&str>| Row {
            name: name.to_owned(),
            reference: reference.map(str::to_owned),
            built: Some(format!("parallax.local/{name}:1")),
            ..Row::default()
        };
        let rows = [row("agent", None), row("minio", Some("quay.io/minio/minio:2"))];
        let of = |present, on_nodes: Option<&[&str]>| Images {
            rows: rows.iter().map(|it| (it.name.clone(), it.clone())).collect(),
            present,
            on_nodes: on_nodes.map(|it| it.iter().map(|&it| it.to_owned()).collect()),
        };
        let these = |name: &str| Present::These(BTreeSet::from([name.to_owned()]));
        let (built_agent, built_minio) = ("parallax.local/agent:1", "parallax.local/minio:1");
        for (images, agent, minio) in [
            (of(Present::Unknown, Some(&[])), Err("not every node lists it"), "quay.io/minio/minio:2"),
            (of(Present::Unknown, None), Err("may not list nodes"), "quay.io/minio/minio:2"),
            (of(Present::Unknown, Some(&[built_agent, built_minio])), Ok(built_agent), built_minio),
            (of(Present::All, None), Ok(built_agent), "quay.io/minio/minio:2"),
            (of(these("minio"), None), Err("--images-present=agent"), built_minio),
        ] {
            assert_eq!(images.reference("minio").as_deref(), Ok(minio), "{images:?}");
            match agent {
                Ok(reference) => assert_eq!(images.reference("agent").as_deref(), Ok(reference)),
                Err(part) => {
                    let why = images.reference("agent").expect_err(part);
                    assert!(why.contains(part), "{why}");
                }
            }
        }
        assert!(of(Present::All, None).reference("other").is_err());
    }
}
