//! Sets up one environment: its namespace, secrets, fixtures and vantage pods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::runtime::wait::conditions;
use kube::runtime::watcher;
use kube::{Api, Client};
use parallax_vocab::{RunId, Secret};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::error::ApplyError;
use super::ready::Awaited;
use super::rollout::Part;
use super::unrecoverable::{self, ANOTHER_TRY};
use super::{Applier, Declared, Unready, objects, ready};
use crate::certs::{self, Bundle, CertError, Issuer, random};
use crate::cluster::{self, Ended, service_account_ready, until};
use crate::tokens::{Key, TokenError};
use parallax_language::fixture::{Contributions, Export, ReadyWhen};
use parallax_language::scenario::model::{CLUSTER_AUTHORITY, SERVER_NODE};
use parallax_plan::EnvironmentPlan;

/// The time limit for Kubernetes to create the default ServiceAccount of a new namespace, and for each vantage pod to
/// start running. The images are already on the node, so the limit can be short.
const PODS_WITHIN: Duration = Duration::from_mins(1);
/// The time limit for a vantage pod to start running in a cluster that the harness does not own. The nodes of such a
/// cluster may have to pull the image first.
const PULLED_WITHIN: Duration = Duration::from_mins(3);
/// The time limit for a node to become ready. The start of the cluster waits for the same node with a shorter limit. If
/// the node does not become ready, the error of the cluster's start therefore comes first. That error explains the
/// reason better.
const NODE_WITHIN: Duration = Duration::from_mins(4);
/// The image of a vantage that does not name an image.
const AGENT_IMAGE: &str = "agent";
/// The prefix of the names of vantage pods.
const VANTAGE_PREFIX: &str = "vantage-";

/// Returns the name of the pod in the cluster that belongs to the vantage `vantage`.
pub fn pod_of_vantage(vantage: &str) -> String {
    format!("{VANTAGE_PREFIX}{vantage}")
}

/// An environment whose set-up is complete, with the data that its flows need.
#[derive(Debug)]
pub struct Environment {
    /// The namespace of the environment.
    pub namespace: String,
    /// The certificates of the environment.
    pub certificates: Bundle,
    /// The generated credentials. The outer key is the fixture's id and the name of the credentials; the inner key is
    /// the key in their Secret.
    pub credentials: BTreeMap<(String, String), BTreeMap<String, Secret>>,
    /// The keys with which fixtures sign tokens, by the id of the fixture.
    pub signing_keys: BTreeMap<String, Key>,
    /// The id of the run that has set up the environment.
    pub run: RunId,
    /// The values of the exports that refer to a field of an object, by the fixture's id and the name of the export.
    pub fields: BTreeMap<(String, String), String>,
    /// The UIDs of the objects that the set-up applied for the fixtures. They distinguish objects of the set-up from
    /// objects that a flow creates.
    pub made: BTreeSet<String>,
    /// The name and the address of each vantage pod, by the vantage's name in the plan.
    pub pods: BTreeMap<String, (String, String)>,
    /// The entries of the fixtures' `ready` sections that were not met. If there are any, the flow must not run.
    pub unready: Vec<Unready>,
}

/// The certificates, credentials and keys that are generated before an environment is set up.
#[derive(Debug)]
pub struct Provisioned {
    /// The certificates of the environment.
    pub certificates: Bundle,
    /// The credentials, generated or given. The outer key is the fixture's id and the name of the credentials; the
    /// inner key is the key in their Secret.
    pub credentials: BTreeMap<(String, String), BTreeMap<String, Secret>>,
    /// The keys with which fixtures sign tokens, by the id of the fixture.
    pub signing_keys: BTreeMap<String, Key>,
}

/// The secrets and certificates that the user gives to an environment, so that the harness does not generate them.
#[derive(Debug, Default)]
pub struct Given {
    /// The secrets, by the name of the environment variable from which the harness reads the secret.
    pub secrets: BTreeMap<String, Secret>,
    /// The certificates of authorities that exist already, as PEM, by the id of the fixture.
    pub trusted: BTreeMap<String, String>,
}

/// Issues the certificates of an environment and generates its credentials. Each secret is passed to `redact` before it
/// is used, so that no secret appears in the record.
pub fn prepare(
    plan: &EnvironmentPlan,
    given: Given,
    start: OffsetDateTime,
    redact: &(dyn Fn(&Secret) + Send + Sync),
) -> Result<Provisioned, ApplyError> {
    let signing = plan.fixtures.iter().filter(|(_, it)| it.signing_key);
    let provisioned = Provisioned {
        certificates: Bundle { trusted: given.trusted, ..certs::issue(&plan.fixtures, start)? },
        credentials: credentials(plan, &given.secrets),
        signing_keys: signing.map(|(id, _)| Ok((id.clone(), Key::foreign()?))).collect::<Result<_, TokenError>>()?,
    };
    let keys = provisioned.certificates.leaves.values().map(|leaf| &leaf.key_pem);
    provisioned.credentials.values().flat_map(BTreeMap::values).chain(keys).for_each(redact);
    let issuing = plan.fixtures.values().flat_map(|it| &it.issuing);
    let issuing = issuing.filter_map(|it| provisioned.certificates.issuers.get(&it.authority)).map(Issuer::key_pem);
    issuing.for_each(|key| redact(&key));
    provisioned.signing_keys.values().for_each(|key| redact(&key.private()));
    Ok(provisioned)
}

/// Creates all objects of the plan; objects that do not need each other are created concurrently. Then waits until the
/// vantage pods run. Also waits for the workloads of the fixtures. [`Declared::settled`] decides when a failed workload
/// ends this wait.
pub async fn bring_up(
    applier: &Applier,
    plan: &EnvironmentPlan,
    provisioned: Provisioned,
    run: &RunId,
    authority: &str,
    declared: &Declared<'_>,
) -> Result<Environment, ApplyError> {
    let mut environment = Environment {
        namespace: plan.namespace.clone(),
        certificates: provisioned.certificates,
        credentials: provisioned.credentials,
        signing_keys: provisioned.signing_keys,
        run: run.clone(),
        fields: BTreeMap::new(),
        made: BTreeSet::new(),
        pods: BTreeMap::new(),
        unready: Vec::new(),
    };
    if applier.visit().is_none_or(|it| it.namespace.is_none()) {
        let namespace = objects::namespace(&plan.namespace, run.as_str());
        applier.apply(&namespace, &plan.namespace, "namespace of the environment").await?;
    }
    let pods = vantage_pods(applier, plan, &environment.certificates, authority);
    let workloads = async {
        let objects = apply_all(applier, plan, &environment).await?;
        // No pod starts before its node is ready, and a node takes long if it imports the images for the first time.
        // The time limits for pods therefore begin when the node is ready. The node has its own time limit. In somebody
        // else's cluster, the harness does not wait for nodes: the nodes there have other names, and they already have
        // their images or pull them.
        if applier.visit().is_none() {
            node_ready(applier.client(), SERVER_NODE).await?;
        }
        Ok((objects, unready(applier, &plan.namespace, plan.fixtures.iter(), declared).await?))
    };
    let ((objects, unready), pods) = futures::future::try_join(workloads, pods).await?;
    environment.fields = fields(plan, &objects);
    environment.made = objects.iter().filter_map(|it| it.metadata.uid.clone()).collect();
    environment.pods = pods;
    environment.unready = unready;
    Ok(environment)
}

fn credentials(
    plan: &EnvironmentPlan,
    given: &BTreeMap<String, Secret>,
) -> BTreeMap<(String, String), BTreeMap<String, Secret>> {
    let all = plan.fixtures.iter().flat_map(|(id, it)| it.credentials.iter().map(move |wanted| (id, wanted)));
    all.map(|(id, wanted)| {
        let random = wanted.keys.iter().map(|(key, length)| (key.clone(), random(*length)));
        let inputs = wanted.inputs.iter().filter_map(|(key, it)| Some((key.clone(), given.get(&it.env)?.clone())));
        ((id.clone(), wanted.name.clone()), random.chain(inputs).collect())
    })
    .collect()
}

/// Applies the Secrets and the objects of all fixtures. Returns the objects as the apiserver stored them.
async fn apply_all(
    applier: &Applier,
    plan: &EnvironmentPlan,
    environment: &Environment,
) -> Result<Vec<DynamicObject>, ApplyError> {
    let mut manifests: Vec<(Value, String)> = Vec::new();
    for (id, contributions) in &plan.fixtures {
        for wanted in &contributions.certificates {
            let leaf = &environment.certificates.leaves[&(id.clone(), wanted.name.clone())];
            manifests.push((objects::tls_secret(&wanted.secret, leaf), format!("certificate {id}.{}", wanted.name)));
        }
        for wanted in &contributions.issuing {
            let place = format!("issuing {id}.{}", wanted.name);
            let issuer = environment.certificates.issuers.get(&wanted.authority);
            let issuer = issuer
                .ok_or_else(|| CertError::NoIssuer { certificate: place.clone(), issuer: wanted.authority.clone() })?;
            manifests.push((objects::issuing_secret(&wanted.secret, issuer), place));
        }
        for wanted in &contributions.bundles {
            let roots = wanted.authorities.iter().filter_map(|id| environment.certificates.root_pem(id));
            let roots: String = roots.collect();
            let place = format!("bundle {id}.{}", wanted.name);
            manifests.push((objects::trust_bundle(&wanted.config_map, &roots), place));
        }
        for wanted in &contributions.credentials {
            let values = &environment.credentials[&(id.clone(), wanted.name.clone())];
            let secret = objects::credentials_secret(wanted, values);
            manifests.push((secret, format!("credentials {id}.{}", wanted.name)));
        }
        let objects = contributions.cluster_objects.iter().chain(&contributions.objects);
        manifests.extend(objects.map(|it| (it.manifest.clone(), it.place.clone())));
    }
    // Somebody else's cluster has no edge, so the Services for the edge are not created there.
    for edge in plan.edges.iter().filter(|_| applier.visit().is_none()) {
        manifests.push((objects::edge_service(edge), format!("edge of {}", edge.fixture)));
    }
    in_order(applier, &plan.namespace, &environment.certificates, &manifests).await
}

/// Applies objects in groups. The objects of one group are applied concurrently. The next group begins when all objects
/// of this group are applied. Returns the objects as the apiserver stored them.
pub async fn in_order(
    applier: &Applier,
    namespace: &str,
    certificates: &Bundle,
    manifests: &[(Value, String)],
) -> Result<Vec<DynamicObject>, ApplyError> {
    // CRDs are applied first, then the objects that pods need, then all others. If a pod starts before its Secret
    // exists, the pod fails, and the kubelet tries again only after a pause.
    let (kinds, others): (Vec<_>, Vec<_>) = manifests.iter().partition(|(manifest, _)| is_kind(manifest));
    let (needed_by_pods, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(manifest, _)| is_needed_by_pods(manifest));
    let mut objects = Vec::new();
    for together in [kinds, needed_by_pods, others] {
        let with_authorities: Vec<_> = together
            .iter()
            .map(|(manifest, place)| {
                let mut manifest = manifest.clone();
                objects::set_authorities(&mut manifest, certificates);
                (manifest, place)
            })
            .collect();
        let applying = with_authorities.iter().map(|(it, place)| applier.apply(it, namespace, place));
        objects.extend(try_join_all(applying).await?);
        let kinds = together.iter().filter(|(it, _)| is_kind(it)).filter_map(|(it, _)| it["metadata"]["name"].as_str());
        try_join_all(kinds.map(|name| ready::kind(applier.client(), name))).await?;
    }
    Ok(objects)
}

/// Waits concurrently for the entries of `ready` of the given fixtures, except those for a store. The wait ends when
/// each entry has been met or has failed, or earlier if [`Declared::settled`] returns true. Returns the entries that
/// were not met.
pub async fn unready<'a>(
    applier: &Applier,
    namespace: &str,
    fixtures: impl Iterator<Item = (&'a String, &'a Contributions)>,
    declared: &Declared<'_>,
) -> Result<Vec<Unready>, ApplyError> {
    let ready = fixtures.flat_map(|(id, it)| it.ready.iter().map(move |ready| (id, it, ready)));
    let mut waits: FuturesUnordered<_> = ready
        .filter(|(_, _, wanted)| wanted.when != ReadyWhen::Store)
        .map(|(id, fixture, wanted)| async move {
            let client = applier.client();
            let (what, within) = (wanted.id(id), wanted.within.to_duration());
            let counts = |pod: &Pod| declared.counts(pod);
            let declared = declared.of(&what);
            let awaited = |name| Awaited { client, namespace, name, what, within, declared, counts: &counts };
            match &wanted.when {
                ReadyWhen::Deployment(name) => Box::pin(ready::deployment(&awaited(name))).await,
                ReadyWhen::Admission(it) => Box::pin(ready::admission(&awaited(&it.service_account), it)).await,
                ReadyWhen::Objects => {
                    let objects = fixture.cluster_objects.iter().chain(&fixture.objects);
                    let parts: Vec<Part> = objects.filter_map(|it| Part::of(it, namespace)).collect();
                    Box::pin(ready::objects(&awaited(""), &parts)).await
                }
                ReadyWhen::Store => Ok(None),
            }
        })
        .collect();
    let mut unready = Vec::new();
    while let Some(ended) = waits.next().await {
        unready.extend(ended?);
        if declared.settled(&unready) {
            break;
        }
    }
    Ok(unready)
}

/// Waits until a node is ready, for at most [`NODE_WITHIN`]. The wait also ends if the node cannot be observed, for
/// example because the apiserver does not answer any more.
async fn node_ready(client: &Client, name: &str) -> Result<(), ApplyError> {
    let what = || format!("the readiness of node {name}");
    match cluster::node_ready(client.clone(), name, Instant::now() + NODE_WITHIN).await {
        Ended::Met(_) => Ok(()),
        Ended::NotMet(_) => Err(ApplyError::Late { what: what(), within_s: NODE_WITHIN.as_secs() }),
        Ended::Unseen(reason) => Err(ApplyError::Watch { what: what(), reason }),
    }
}

/// Whether the object is a CRD, which defines a kind that other objects may have.
fn is_kind(manifest: &Value) -> bool {
    manifest["kind"].as_str() == Some("CustomResourceDefinition")
}

/// Whether a pod may fail to start if this object does not exist yet.
fn is_needed_by_pods(manifest: &Value) -> bool {
    let kinds = ["ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    manifest["kind"].as_str().is_some_and(|kind| kinds.contains(&kind))
}

async fn vantage_pods(
    applier: &Applier,
    plan: &EnvironmentPlan,
    certificates: &Bundle,
    authority: &str,
) -> Result<BTreeMap<String, (String, String)>, ApplyError> {
    let client = applier.client();
    let what = "the default ServiceAccount";
    match service_account_ready(client.clone(), &plan.namespace, Instant::now() + PODS_WITHIN).await {
        Ended::Met(_) => {}
        Ended::NotMet(_) => {
            return Err(ready::not_ready(client, &plan.namespace, what, PODS_WITHIN, "it does not exist").await);
        }
        Ended::Unseen(reason) => return Err(ApplyError::Watch { what: what.to_owned(), reason }),
    }
    // Kubernetes creates the ServiceAccount `default` itself, so the harness never applies it.
    for account in plan.service_accounts.iter().filter(|name| *name != "default") {
        applier.apply(&objects::service_account(account), &plan.namespace, "ServiceAccount of a vantage").await?;
    }
    let pods = plan.pods.iter().map(|(vantage, spec)| async move {
        let name = pod_of_vantage(vantage);
        let place = format!("vantage {vantage}");
        let image = spec.image.as_deref().unwrap_or(AGENT_IMAGE);
        let no_image = || ApplyError::NoImage { place: place.clone(), image: image.to_owned() };
        let reference = applier.image(image).ok_or_else(no_image)?;
        let root = |id: &String| match id.as_str() {
            CLUSTER_AUTHORITY => Some(authority),
            id => certificates.root_pem(id),
        };
        let bundle: String = spec.ca_bundle.iter().filter_map(root).collect();
        if !bundle.is_empty() {
            applier.apply(&objects::ca_bundle(&name, &bundle), &plan.namespace, &place).await?;
        }
        let mut pod = objects::agent_pod(&name, reference, spec);
        // In somebody else's cluster, a pod with only the agent complies with the profile `restricted`. A pod with
        // another image is not changed, because its programs may need root.
        if applier.visit().is_some() && spec.image.is_none() {
            objects::restrict(&mut pod);
        }
        applier.apply(&pod, &plan.namespace, &place).await?;
        let within = if applier.visit().is_some() { PULLED_WITHIN } else { PODS_WITHIN };
        if applier.visit().is_none() {
            node_ready(client, spec.node.as_deref().unwrap_or(SERVER_NODE)).await?;
        }
        let api: Api<Pod> = Api::namespaced(client.clone(), &plan.namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let unrecoverable = unrecoverable::pod(client.clone(), &plan.namespace, only, |_| true, ANOTHER_TRY, None);
        let running = until(&api, &name, conditions::is_pod_running(), Instant::now() + within);
        let ended = tokio::select! {
            ended = running => ended,
            why = unrecoverable => return Err(ready::cannot_be_ready(client, &plan.namespace, &place, why).await),
        };
        match ended {
            Ended::Met(pod) => {
                let address = pod.and_then(|it| it.status).and_then(|it| it.pod_ip).unwrap_or_default();
                Ok((vantage.clone(), (name, address)))
            }
            Ended::NotMet(_) => {
                let reason = "its pod does not run";
                Err(ready::not_ready(client, &plan.namespace, &place, within, reason).await)
            }
            Ended::Unseen(reason) => Err(ApplyError::Watch { what: place, reason }),
        }
    });
    Ok(try_join_all(pods).await?.into_iter().collect())
}

/// Returns the values of those exports that refer to a field of an object. The values are read from the applied
/// objects. The key of the result is the fixture's id and the name of the export.
fn fields(plan: &EnvironmentPlan, applied: &[DynamicObject]) -> BTreeMap<(String, String), String> {
    let mut fields = BTreeMap::new();
    for (id, contributions) in &plan.fixtures {
        for (export, value) in &contributions.exports {
            let Export::Field { api_version, kind, name, pointer } = value else { continue };
            let of_kind = |it: &&DynamicObject| {
                it.types.as_ref().is_some_and(|types| types.api_version == *api_version && types.kind == *kind)
                    && it.metadata.name.as_ref() == Some(name)
            };
            let value = applied.iter().find(of_kind).and_then(|it| it.data.pointer(pointer));
            let text = match value {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => continue,
            };
            fields.insert((id.clone(), export.clone()), text);
        }
    }
    fields
}
