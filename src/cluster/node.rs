//! Starts the external network (the world) and the nodes of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parallax_vocab::Secret;
use parallax_vocab::question::View;
use serde_json::{Value, json};

use super::access::Access;
use super::agents::{Agent, Agents};
use super::error::ClusterError;
use super::kubeconfig;
use super::own::Own;
use super::version;
use crate::certs::{Issuer, random};
use crate::world::{Neighbour, World, outside};
use parallax_engine::{Bind, Container, ContainerSpec, InlineFile, Network, Port, Ready, Site, available_memory_mib};
use parallax_language::scenario::model::{Discovery, SERVER_NODE};
use parallax_plan::{ClusterPlan, NODE_PORTS, custom_config_map};

/// The port of the apiserver in the node's container.
const API_PORT: u16 = 6443;
/// The log line with which k3s reports that its server is up.
const READY_LINE: &str = "k3s is up and running";
/// The time limit from the start of a node's container until `READY_LINE` appears. The limit is enough for a machine
/// with two cores and a cold disk cache.
pub const UP_WITHIN: Duration = Duration::from_mins(2);
/// The folder on the node in which k3s looks for manifests that it applies (docs/facts.md#paths-and-flags-of-k3s).
const MANIFESTS: &str = "/var/lib/rancher/k3s/server/manifests";
const AIRGAP_IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// The key of the taint that each agent node gets. The taint keeps away pods that do not tolerate it, so a pod runs on
/// an agent node only if its scenario says so.
pub const AGENT_TAINT: &str = "parallax.dev/agent";
/// The path on each node of the file with a token. Agent nodes join the cluster with this token, which is the same on
/// all nodes of the cluster.
const TOKEN: &str = "/etc/parallax/token";
const TOKEN_CHARACTERS: usize = 32;
/// The files with the certificates of the server node's authorities. Each pair is the path on the server node and the
/// path on an agent node. The published k3s image fetches the certificates itself, but a source-built agent node needs
/// the files before it starts (docs/facts.md#source-built-node).
const AUTHORITIES: [(&str, &str); 2] = [
    ("/var/lib/rancher/k3s/server/tls/server-ca.crt", "/var/lib/rancher/k3s/agent/server-ca.crt"),
    ("/var/lib/rancher/k3s/server/tls/client-ca.crt", "/var/lib/rancher/k3s/agent/client-ca.crt"),
];
/// The paths on the server node of the certificate and the key of the apiserver's authority. If the files exist, k3s
/// uses this authority and does not create its own.
const SERVER_AUTHORITY: [&str; 2] =
    ["/var/lib/rancher/k3s/server/tls/server-ca.crt", "/var/lib/rancher/k3s/server/tls/server-ca.key"];
/// The issuer of ServiceAccounts' tokens on k3s (docs/facts.md#issuer-and-discovery).
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUTHENTICATION: &str = "/etc/parallax/authentication.yaml";
const RESOLV_CONF: &str = "/etc/parallax/resolv.conf";

/// The folders in which the node unpacks images and writes the files of its pods. They are removed with the node, so
/// they can be in memory. Memory is faster, because containerd waits for the disk at each step of each container.
const UNPACKED: [&str; 2] = ["/var/lib/rancher/k3s/agent/containerd", "/var/lib/kubelet"];
/// The [`UNPACKED`] folders are kept in memory if at least this much memory is available, in MiB.
const IN_MEMORY_MIB: u64 = 8 * 1024;
/// The space that a node needs for an image, as a multiple of the size of the image's archive. The node stores the
/// archive's layers, the unpacked files, and what the pods write.
const UNPACKED_FACTOR: u64 = 3;

/// The images with which a cluster is started.
#[derive(Clone, Debug)]
pub struct Images {
    /// The reference of the node image.
    pub node: String,
    /// The version of Kubernetes of the node image, as images.lock names it, for example `1.33.13`. `None` if the list
    /// names none.
    pub k8s: Option<String>,
    /// Whether the user chose this version.
    pub is_chosen: bool,
    /// The reference of the image that contains `parallax-agent`. The container of the world runs from this image.
    pub agent: String,
    /// The images of the vantages outside the cluster. The key is the name of the image, and the value is its
    /// reference.
    pub outside: BTreeMap<String, String>,
    /// The paths of image archives for the node's air-gap folder, by image name. A cluster gets only the archives of
    /// the images in its plan and in `everywhere`.
    pub archives: Vec<(String, PathBuf)>,
    /// The names of the images whose archives every node gets, whether the cluster's plan names them or not.
    pub everywhere: BTreeSet<String>,
}

/// The network, the containers and the authorities that exist before a cluster is started.
#[derive(Debug)]
pub struct Surroundings {
    /// The network of the engine to which the cluster's containers are connected.
    pub network: Network,
    /// The containers of fixtures outside the cluster that already run on the network.
    pub neighbours: Vec<Neighbour>,
    /// The authority that issues the apiserver's certificate, if a container outside the cluster must trust this
    /// authority before the cluster starts. If it is `None`, the cluster creates its own authority.
    pub authority: Option<Issuer>,
    /// The root certificates (PEM) of the scenarios' authorities, by the id of the authority. If the plan says that an
    /// agent node trusts one of these authorities, the node gets this certificate instead of the certificate of the
    /// cluster's own authority.
    pub roots: BTreeMap<String, String>,
}

/// Starts the world and the nodes of a cluster. `before` contains the network, the containers and the authorities that
/// already exist. Returns when k3s reports that its server is ready.
pub async fn start(
    site: &Site,
    plan: &ClusterPlan,
    images: &Images,
    before: Surroundings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Access, ClusterError> {
    let Surroundings { network, neighbours, authority, roots } = before;
    let node_what = Own::node_of(plan);
    say("starting the world (name server and edge)");
    let node_name = site.name_of(&node_what);
    let world = World::start(site, plan, &images.agent, &network.name, &node_name, neighbours).await?;
    say("starting the node");
    let token = (!plan.traits.agents.is_empty()).then(|| random(TOKEN_CHARACTERS));
    let mut spec = node_spec(site, &node_what, plan, images, (&network, &world));
    if let Some(token) = &token {
        spec.command.push(format!("--token-file={TOKEN}"));
        spec.files.push(token_file(token));
    }
    if let Some(authority) = &authority {
        let file = |path: &str, mode, text: &str| InlineFile { mode, ..text_file(path, text) };
        let [certificate, key] = SERVER_AUTHORITY;
        spec.files.push(file(certificate, 0o644, authority.root_pem()));
        spec.files.push(file(key, 0o600, authority.key_pem().expose()));
    }
    let wanted = plan.outside_images();
    let wanted = images.outside.iter().filter(|(name, _)| wanted.contains(name.as_str()));
    let wanted = wanted.map(|(name, reference)| (name.clone(), reference.clone())).collect();
    let beside = outside::start(site, &plan.name, &wanted, &network.name, &world);
    let (node, outside) = futures::future::try_join(site.start(spec), beside).await?;
    let cluster = |reason: String| ClusterError::Kubeconfig { cluster: plan.name.clone(), reason };
    let written = site.engine().read_file(&node.name, KUBECONFIG).await?;
    let written = String::from_utf8(written).map_err(|error| cluster(error.to_string()))?;
    let published = node.tcp(API_PORT).ok_or_else(|| cluster(format!("port {API_PORT} is not published")))?;
    let authority = kubeconfig::authority(&written).map_err(cluster)?;
    let on_this_machine = kubeconfig::outside(&written, kubeconfig::met_at(published)).map_err(cluster)?;
    let mut secrets = kubeconfig::secrets(&on_this_machine);
    let agents = match &token {
        Some(token) => start_agents(site, plan, images, (&network, &world, &node), (token, &roots)).await?,
        None => Agents::default(),
    };
    secrets.extend(token);
    let as_json = serde_json::to_string(&on_this_machine).map_err(|error| cluster(error.to_string()))?;
    let client = kubeconfig::client(on_this_machine).await.map_err(cluster)?;
    if let Some(chosen) = images.k8s.as_ref().filter(|_| images.is_chosen) {
        version::check(&client, &plan.name, chosen).await?;
    }
    Ok(Access {
        name: plan.name.clone(),
        client,
        authority,
        issuer: ISSUER.to_owned(),
        outside: View { name_servers: vec![world.name_server()], detours: world.detours(), ..View::default() },
        // Containers on the cluster's network reach the edge at its own address, so their connections need no detours.
        beside: View { name_servers: vec![world.name_server_within()], ..View::default() },
        edge: Some(world.address()),
        // When a packet leaves the cluster, the node replaces the pod's source address with the address of the node.
        egress: Some(node.address),
        own: Some(Arc::new(Own {
            engine: site.engine().clone(),
            name: plan.name.clone(),
            kubeconfig: Secret::new(as_json),
            secrets,
            world,
            node,
            agents,
            outside,
        })),
    })
}

/// Starts the agent nodes, except those that a flow starts later (`late`). The function does not wait until the nodes
/// join the cluster. The caller finds this out from the Node objects.
async fn start_agents(
    site: &Site,
    plan: &ClusterPlan,
    images: &Images,
    (network, world, server): (&Network, &World, &Container),
    (token, roots): (&Secret, &BTreeMap<String, String>),
) -> Result<Agents, ClusterError> {
    let mut authorities = Vec::new();
    for (of_server, of_agent) in AUTHORITIES {
        let bytes = site.engine().read_file(&server.name, of_server).await?;
        authorities.push(InlineFile { path: of_agent.to_owned(), mode: 0o644, bytes });
    }
    let [(_, of_servers), _] = AUTHORITIES;
    let all = plan.traits.agents.iter().map(|agent| {
        // If a step of a flow stops this node and starts it again, the node must keep its files. Therefore the files of
        // a node on which a step acts are never in memory.
        let memory = in_memory(site, plan, images).filter(|_| !plan.acts_on(&agent.name));
        let mut spec = machine_spec(&Own::agent_of(plan, &agent.name), plan, images, (network, world), memory);
        let url = agent.server.clone().unwrap_or_else(|| format!("https://{SERVER_NODE}:{API_PORT}"));
        let taint = format!("--node-taint={AGENT_TAINT}=true:NoSchedule");
        spec.command = ["agent".to_owned(), format!("--server={url}"), format!("--token-file={TOKEN}"), taint].into();
        spec.command.push(format!("--node-name={}", agent.name));
        spec.command.push(format!("--resolv-conf={RESOLV_CONF}"));
        spec.command.extend(plan.traits.kubelet_args.iter().map(|it| format!("--kubelet-arg={it}")));
        spec.files.push(token_file(token));
        spec.files.extend(authorities.iter().cloned());
        if let Some(root) = agent.trust.as_ref().and_then(|it| roots.get(it)) {
            spec.files.retain(|it| it.path != of_servers);
            spec.files.push(text_file(of_servers, root));
        }
        // The node uses the world as its resolver, so that it finds the containers outside the cluster by their host
        // names.
        spec.dns = vec![world.address()];
        (agent.name.clone(), Agent::of(site, spec), agent.late)
    });
    let all: Vec<(String, Agent, bool)> = all.collect();
    let now = all.iter().filter(|(_, _, late)| !late).map(|(_, agent, _)| agent.start());
    futures::future::try_join_all(now).await?;
    Ok(Agents(all.into_iter().map(|(name, agent, _)| (name, agent)).collect()))
}

fn token_file(token: &Secret) -> InlineFile {
    InlineFile { path: TOKEN.to_owned(), mode: 0o600, bytes: token.expose().as_bytes().to_vec() }
}

/// Returns the specification of the server node's container. It contains everything that must exist before the
/// container's first process runs, including the DNS rules.
fn node_spec(
    site: &Site,
    what: &str,
    plan: &ClusterPlan,
    images: &Images,
    (network, world): (&Network, &World),
) -> ContainerSpec {
    let mut spec = machine_spec(what, plan, images, (network, world), in_memory(site, plan, images));
    spec.command = arguments(plan);
    spec.hostname = Some(SERVER_NODE.to_owned());
    spec.ports = vec![Port::tcp(API_PORT)];
    // k3s applies manifests in the order of their file names, and CoreDNS must find its rules when it starts. Therefore
    // the name of this file begins with `00`, so that it comes first.
    let address = |namespace: &str, fixture: &str| address_of(world, namespace, fixture);
    spec.files.push(manifest("00-parallax-coredns-custom", &custom_config_map(plan, &address)));
    if plan.traits.discovery == Some(Discovery::Narrow) {
        // The text is JSON, because JSON is valid YAML.
        spec.files.push(text_file(AUTHENTICATION, &narrow_opening(images.k8s.as_deref()).to_string()));
    }
    spec.ready = Ready::LogLine(READY_LINE.to_owned());
    spec.ready_within = UP_WITHIN;
    spec
}

/// Returns the available memory for the [`UNPACKED`] folders, in MiB. `None` if the folders must be on a disk, because
/// there is too little memory for all nodes of the cluster, or the engine is on another machine.
fn in_memory(site: &Site, plan: &ClusterPlan, images: &Images) -> Option<u64> {
    let available = if site.engine().endpoint().is_local() { available_memory_mib()? } else { return None };
    let archives: u64 = archives_for(plan, images).filter_map(|(_, path)| Some(path.metadata().ok()?.len())).sum();
    let nodes = 1 + plan.traits.agents.len() as u64;
    fits(available, nodes * UNPACKED_FACTOR * (archives >> 20)).then_some(available)
}

/// Whether folders of the size `needed_mib` can be kept in memory. They may take half of the available memory, so that
/// the rest remains for processes.
fn fits(available_mib: u64, needed_mib: u64) -> bool {
    available_mib >= IN_MEMORY_MIB && needed_mib <= available_mib / 2
}

/// Returns the name and the path of each archive that the nodes of the cluster get. Other archives are left out,
/// because a node unpacks every archive that it gets, and some images take gigabytes.
fn archives_for<'a>(plan: &'a ClusterPlan, images: &'a Images) -> impl Iterator<Item = &'a (String, PathBuf)> {
    let named = plan.images();
    let all = images.archives.iter();
    all.filter(move |(name, _)| named.contains(name.as_str()) || images.everywhere.contains(name))
}

/// Returns the specification of a node's container, for a server or an agent node. `memory_mib` is the available memory
/// for the [`UNPACKED`] folders. `None` keeps the folders on a disk.
fn machine_spec(
    what: &str,
    plan: &ClusterPlan,
    images: &Images,
    (network, world): (&Network, &World),
    memory_mib: Option<u64>,
) -> ContainerSpec {
    let mut spec = ContainerSpec::new(what, &images.node, &network.name);
    spec.privileged = true;
    spec.private_cgroup_namespace = true;
    // A node refuses a connection to a Service without endpoints by an ICMP message. By default, the kernel sends only
    // one such message per second to each peer. All clients outside reach the node through one peer, the edge, so most
    // of their connections would wait instead of being refused (docs/facts.md#services-and-addresses). So the limit is
    // switched off.
    spec.sysctls = [("net.ipv4.icmp_ratelimit".to_owned(), "0".to_owned())].into();
    spec.tmpfs = [("/run", ""), ("/var/run", "")].map(|(path, options)| (path.to_owned(), options.to_owned())).into();
    spec.volumes = vec!["/var/lib/rancher/k3s".to_owned()];
    match memory_mib {
        Some(mib) => {
            let options = format!("exec,dev,suid,mode=0755,size={}m", mib / 2);
            spec.tmpfs.extend(UNPACKED.map(|folder| (folder.to_owned(), options.clone())));
        }
        None => spec.volumes.extend(UNPACKED.map(str::to_owned)),
    }
    spec.binds = archives_for(plan, images)
        .map(|(name, path)| Bind {
            host: path.clone(),
            container: format!("{AIRGAP_IMAGES}/{name}.tar"),
            read_only: true,
        })
        .collect();
    spec.files = vec![text_file(RESOLV_CONF, &format!("nameserver {}\n", world.address()))];
    spec
}

/// Returns the address of the first container that a fixture started outside the cluster. `None` if there is no such
/// container.
fn address_of(world: &World, namespace: &str, fixture: &str) -> Option<IpAddr> {
    let mut all = world.neighbours().iter();
    all.find(|it| it.namespace == namespace && it.fixture == fixture).map(|it| it.container.address)
}

/// Returns the arguments of `k3s server`: those that the harness needs, and those of the plan's traits.
fn arguments(plan: &ClusterPlan) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["server", "--disable", "traefik,servicelb,metrics-server,local-storage", "--resolv-conf", RESOLV_CONF]
            .map(str::to_owned)
            .to_vec();
    let mut pass = |flag: &str, values: &[String]| {
        arguments.extend(values.iter().map(|value| format!("{flag}={value}")));
    };
    pass("--node-name", &[SERVER_NODE.to_owned()]);
    pass("--tls-san", &["127.0.0.1".to_owned()]);
    pass("--tls-san", &plan.traits.tls_san);
    let node_ports = format!("service-node-port-range={}-{}", NODE_PORTS.start(), NODE_PORTS.end());
    pass("--kube-apiserver-arg", &[node_ports]);
    let opening = match plan.traits.discovery {
        None | Some(Discovery::None) => Vec::new(),
        Some(Discovery::Narrow) => vec![format!("authentication-config={AUTHENTICATION}")],
        Some(Discovery::Anonymous) => vec!["anonymous-auth=true".to_owned()],
    };
    if !opening.is_empty() {
        // The default URI of the issuer's keys contains the node's address, which need not be in the certificate.
        // Therefore another URI is set (docs/facts.md#issuer-and-discovery).
        pass("--kube-apiserver-arg", &[format!("service-account-jwks-uri={ISSUER}/openid/v1/jwks")]);
    }
    pass("--kube-apiserver-arg", &opening);
    // The flags of the traits come after the harness's own flags. If a flag occurs twice, the last one takes effect.
    pass("--kube-apiserver-arg", &plan.traits.apiserver_args);
    pass("--kube-controller-manager-arg", &plan.traits.controller_manager_args);
    pass("--kubelet-arg", &plan.traits.kubelet_args);
    arguments
}

/// Returns a configuration of the apiserver that allows anonymous requests only to the two paths of the issuer's
/// documents (docs/facts.md#issuer-and-discovery). `k8s` is the version of Kubernetes; `None` if it is not known.
fn narrow_opening(k8s: Option<&str>) -> Value {
    json!({
        "apiVersion": format!("apiserver.config.k8s.io/{}", if k8s.is_some_and(is_before_1_34) { "v1beta1" } else { "v1" }),
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": true,
            "conditions": [{ "path": "/.well-known/openid-configuration" }, { "path": "/openid/v1/jwks" }],
        },
    })
}

/// Whether a version of Kubernetes is older than 1.34.
fn is_before_1_34(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
    (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(u32::MAX)) < (1, 34)
}

fn manifest(name: &str, object: &Value) -> InlineFile {
    // The text is JSON, because JSON is valid YAML.
    text_file(&format!("{MANIFESTS}/{name}.yaml"), &object.to_string())
}

fn text_file(path: &str, text: &str) -> InlineFile {
    InlineFile { path: path.to_owned(), mode: 0o644, bytes: text.as_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apiserver_gets_a_configuration_that_its_version_knows() {
        for (version, expected) in [
            (None, "apiserver.config.k8s.io/v1"),
            (Some("1.33.13"), "apiserver.config.k8s.io/v1beta1"),
            (Some("1.9.1"), "apiserver.config.k8s.io/v1beta1"),
            (Some("1.34.0"), "apiserver.config.k8s.io/v1"),
            (Some("1.100.0"), "apiserver.config.k8s.io/v1"),
            (Some("2.0.0"), "apiserver.config.k8s.io/v1"),
            (Some("x"), "apiserver.config.k8s.io/v1"),
        ] {
            assert_eq!(narrow_opening(version)["apiVersion"], expected, "{version:?}");
        }
    }

    #[test]
    fn folders_in_memory_leave_half_of_it_to_processes() {
        let cases = [
            ("little is needed", 8_192, 0, true),
            ("half is needed", 16_384, 8_192, true),
            ("more than half is needed", 16_384, 8_193, false),
            ("too little is available for anything", 8_191, 0, false),
        ];
        for (case, available, needed, expected) in cases {
            assert_eq!(fits(available, needed), expected, "{case}");
        }
    }
}
