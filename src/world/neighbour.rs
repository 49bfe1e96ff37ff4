//! Containers that fixtures run outside the cluster under a host name. Such a container represents a system that is not
//! in the cluster, such as a store in an office or a site on the internet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use parallax_vocab::question::Detour;

use crate::certs::Leaf;
use parallax_engine::{ContainerSpec, EngineError, InlineFile, Port, Site};
use parallax_language::fixture::{self, Part};
use parallax_language::scenario::model::CLUSTER_AUTHORITY;

/// A container of a fixture outside the cluster.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// The namespace of the environment that the container belongs to.
    pub namespace: String,
    /// The id of the fixture that declares the container.
    pub fixture: String,
    /// The name that the fixture gives to the container.
    pub name: String,
    /// The host name by which clients outside the cluster reach the container.
    pub host: String,
    /// The TCP ports of the container.
    pub ports: Vec<u16>,
    /// Whether a step of the flow starts the container. Until then, the container does not run.
    pub late: bool,
    /// The container in the engine, with its address. The address can change when the container is started again.
    pub container: parallax_engine::Container,
}

/// The secrets and certificates that may be written into a fixture's container.
#[derive(Debug)]
pub struct Provisioned<'a> {
    /// The secret values, by the name of the credentials and by the key of the value in the credentials.
    pub secrets: BTreeMap<(&'a str, &'a str), &'a str>,
    /// The server certificates of the fixture, by the certificate's name.
    pub leaves: BTreeMap<&'a str, &'a Leaf>,
    /// The root certificates of authorities as PEM, by the authority's fixture id.
    pub roots: BTreeMap<&'a str, &'a str>,
    /// The certificate of the apiserver's authority, as PEM. `None` if the cluster creates the authority itself when it
    /// starts.
    pub cluster_authority: Option<&'a str>,
}

impl Neighbour {
    /// Starts the container of a fixture on a cluster's network. `what` is the name of the container; in the engine,
    /// the id of the run is put before this name. A container that is declared as `late` must exist, but must not run
    /// before a flow starts it. Therefore this function starts such a container and kills it at once.
    pub async fn start(
        site: &Site,
        what: String,
        network: &str,
        image: &str,
        wanted: &fixture::Container,
        provisioned: &Provisioned<'_>,
    ) -> Result<parallax_engine::Container, EngineError> {
        let mut spec = ContainerSpec::new(what, image, network);
        spec.command.clone_from(&wanted.command);
        spec.env.clone_from(&wanted.env);
        let secrets = wanted.secret_env.iter().filter_map(|(name, it)| {
            let value = provisioned.secrets.get(&(it.of.as_str(), it.key.as_str()))?;
            Some((name.clone(), (*value).to_owned()))
        });
        spec.env.extend(secrets);
        let files = wanted.files.iter().filter_map(|(path, it)| {
            if it.certificate == CLUSTER_AUTHORITY {
                let bytes = provisioned.cluster_authority?.as_bytes().to_vec();
                return Some(InlineFile { path: path.clone(), mode: 0o644, bytes });
            }
            let Some(leaf) = provisioned.leaves.get(it.certificate.as_str()) else {
                // If the fixture has no certificate of this name, the name is the id of an authority. Only the root
                // certificate of an authority can be written, and no chain or key.
                let root = provisioned.roots.get(it.certificate.as_str()).filter(|_| it.part == Part::Root)?;
                return Some(InlineFile { path: path.clone(), mode: 0o644, bytes: root.as_bytes().to_vec() });
            };
            let (text, mode) = match it.part {
                Part::Chain => (leaf.chain_pem.as_str(), 0o644),
                Part::Key => (leaf.key_pem.expose(), 0o600),
                Part::Root => (leaf.root_pem.as_str(), 0o644),
            };
            Some(InlineFile { path: path.clone(), mode, bytes: text.as_bytes().to_vec() })
        });
        let texts = wanted.texts.iter().map(|(path, text)| InlineFile {
            path: path.clone(),
            mode: 0o644,
            // The template engine drops the last newline of the text. HAProxy treats a file without a final newline as
            // truncated.
            bytes: format!("{}\n", text.trim_end_matches('\n')).into_bytes(),
        });
        spec.files = files.chain(texts).collect();
        // The other containers on the network find this container by its host name.
        spec.hostname = Some(wanted.host.clone());
        spec.ports = wanted.ports().map(Port::tcp).collect();
        let container = site.start(spec).await?;
        if wanted.late {
            site.engine().kill(&container.name, "SIGKILL").await?;
            site.engine().wait_exit(&container.name).await?;
        }
        Ok(container)
    }

    /// Returns the words for the container in messages to the user.
    pub fn title(&self) -> String {
        format!("container {} of `{}` beside the cluster", self.name, self.fixture)
    }

    /// Returns the redirections through which the harness reaches the container. If the harness connects to the
    /// container's address, the connection goes to a published port on loopback instead.
    pub fn detours(&self) -> impl Iterator<Item = Detour> {
        self.ports.iter().filter_map(|port| {
            let from = SocketAddr::new(self.container.address, *port);
            self.container.tcp(*port).map(|to| Detour { from, to })
        })
    }
}
