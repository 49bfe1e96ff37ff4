//! Starts the fixtures' containers outside a cluster. The containers start before the cluster, because CoreDNS must
//! know their addresses when it starts.

use std::collections::BTreeMap;

use futures::future::join_all;
use parallax_vocab::event::Failure;

use crate::apply::{ApplyError, Provisioned};
use crate::certs::Issuer;
use crate::run::error::RunError;
use crate::run::images::Supplied;
use crate::run::{Context, environment};
use crate::world::{self, Neighbour};
use parallax_language::fixture::{Authority, Container, KeyType};
use parallax_language::scenario::model::CLUSTER_AUTHORITY;
use parallax_plan::{ClusterPlan, EnvironmentPlan};

/// The containers outside a cluster, and the certificates and credentials of their environments.
#[derive(Default)]
pub(super) struct Beside {
    /// The containers outside the cluster that have been started.
    pub(super) standing: Vec<Neighbour>,
    /// The certificates and credentials of each environment, by its namespace. An error says why the environment cannot
    /// be set up.
    pub(super) provisioned: BTreeMap<String, Result<Provisioned, Failure>>,
}

impl Beside {
    /// The root certificates of all authorities as PEM, by the id of the authority.
    pub(super) fn roots(&self) -> BTreeMap<String, String> {
        let known = self.provisioned.values().flatten();
        let issuers = known.flat_map(|it| &it.certificates.issuers);
        issuers.map(|(id, issuer)| (id.clone(), issuer.root_pem().to_owned())).collect()
    }
}

/// Creates the authority of a cluster's apiserver, if a container outside the cluster trusts this authority. Such a
/// container starts before the cluster, so it needs the authority's certificate before k3s would create one. Returns
/// `None` if no container needs the certificate.
pub(super) fn authority(context: &Context, plan: &ClusterPlan) -> Result<Option<Issuer>, ApplyError> {
    let trusted = plan.containers().any(|(_, it)| it.files.values().any(|it| it.certificate == CLUSTER_AUTHORITY));
    if !trusted {
        return Ok(None);
    }
    let wanted = Authority {
        common_name: format!("k3s-server-ca of {}", plan.name),
        intermediate: false,
        self_signed: false,
        key: KeyType::EcdsaP256,
    };
    let issuer = Issuer::create(CLUSTER_AUTHORITY, &wanted, context.start)?;
    context.redactor.register(&issuer.key_pem());
    Ok(Some(issuer))
}

/// Issues the certificates of the environments that have containers, then starts the containers of all environments
/// concurrently. If an agent node trusts an authority, the certificates of every environment are issued, because the
/// node gets root certificates when it starts. If a container does not start, only its environment fails.
pub(super) async fn start(
    context: &Context,
    plan: &ClusterPlan,
    supplied: &Supplied,
    network: &str,
    authority: Option<&Issuer>,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Beside {
    let trusted = plan.traits.agents.iter().any(|it| it.trust.is_some());
    let with = plan.environments.iter();
    let with = with.filter(|it| trusted || it.fixtures.values().any(|it| !it.containers.is_empty()));
    let all = with.map(|environment| async move {
        say("preparing the containers outside the cluster");
        (environment, of_environment(context, &plan.name, environment, supplied, (network, authority)).await)
    });
    let mut beside = Beside::default();
    for (environment, started) in join_all(all).await {
        let provisioned = started.map(|(provisioned, standing)| {
            beside.standing.extend(standing);
            provisioned
        });
        beside.provisioned.insert(environment.namespace.clone(), provisioned.map_err(|error| error.failure()));
    }
    beside
}

async fn of_environment(
    context: &Context,
    cluster: &str,
    plan: &EnvironmentPlan,
    supplied: &Supplied,
    (network, authority): (&str, Option<&Issuer>),
) -> Result<(Provisioned, Vec<Neighbour>), RunError> {
    let provisioned = environment::prepare(context, plan)?;
    let mut standing = Vec::new();
    for (fixture, wanted) in in_order(plan) {
        let image = supplied.references.get(&wanted.image).ok_or_else(|| ApplyError::NoImage {
            place: format!("container {} of fixture {fixture}", wanted.name),
            image: wanted.image.clone(),
        })?;
        let what = format!("{cluster}-{}-{fixture}-{}", plan.namespace, wanted.name);
        let own = of_fixture(fixture, &provisioned, authority);
        let started = Neighbour::start(context.site(), what, network, image, wanted, &own);
        standing.push(Neighbour {
            namespace: plan.namespace.clone(),
            fixture: fixture.clone(),
            name: wanted.name.clone(),
            host: wanted.host.clone(),
            ports: wanted.ports().collect(),
            late: wanted.late,
            container: started.await?,
        });
    }
    Ok((provisioned, standing))
}

/// The containers of an environment in the order of their start. If a file of one container contains the host name of
/// another container, the other container starts first, because some programs look up a name only when they start.
fn in_order(plan: &EnvironmentPlan) -> Vec<(&String, &Container)> {
    let all = plan.fixtures.iter().flat_map(|(id, it)| it.containers.iter().map(move |container| (id, container)));
    let mut left: Vec<(&String, &Container)> = all.collect();
    let names = |it: &Container, other: &Container| it.texts.values().any(|text| text.contains(&other.host));
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let free = |it: &Container| !left.iter().any(|(_, other)| other.host != it.host && names(it, other));
        // If each remaining container would have to wait for another container, the first container in the list starts
        // next.
        let next = left.iter().position(|(_, it)| free(it)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

/// The secrets and certificates of one fixture, in the form from which the files in its containers are filled.
fn of_fixture<'a>(fixture: &str, all: &'a Provisioned, authority: Option<&'a Issuer>) -> world::Provisioned<'a> {
    let credentials = all.credentials.iter().filter(|((id, _), _)| id == fixture);
    let secrets = credentials.flat_map(|((_, name), values)| {
        values.iter().map(move |(key, value)| ((name.as_str(), key.as_str()), value.expose()))
    });
    let leaves = all.certificates.leaves.iter().filter(|((id, _), _)| id == fixture);
    world::Provisioned {
        secrets: secrets.collect(),
        roots: all.certificates.issuers.iter().map(|(id, it)| (id.as_str(), it.root_pem())).collect(),
        leaves: leaves.map(|((_, name), leaf)| (name.as_str(), leaf)).collect(),
        cluster_authority: authority.map(Issuer::root_pem),
    }
}
