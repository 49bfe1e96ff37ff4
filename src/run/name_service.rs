//! Waits until the cluster's name service answers the vantage pods, and until its answers contain the present
//! addresses of the environment's Services.
//!
//! Environments that share an existing namespace run one after the other. Their Services have the same names, but
//! other addresses. The name service keeps an answer in its cache for some time (docs/facts.md#coredns-on-k3s). If a
//! flow began before this time is over, it would get the addresses of the previous environment, and a correct system
//! would look broken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::{TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use parallax_vocab::answer::Reply;
use parallax_vocab::question::{DnsQuestion, Probe, Question, View};
use parallax_vocab::{Answer, DnsFault, RunId};

use super::error::RunError;
use super::scene::Scene;
use super::store;
use crate::apply::{ApplyError, RUN_LABEL};
use crate::probe::{Vantage, lives};
use parallax_vocab::Cause;

/// A name that exists in every cluster. If CoreDNS answers a pod's question for this name, the cluster's name service
/// works for the pod.
const KNOWN_NAME: &str = "kubernetes.default.svc.cluster.local";
/// The time limit of each wait for the name service. k3s deploys CoreDNS while the environment is set up. This takes
/// longest on a node that has just started. The limit is also three times as long as name services usually cache an
/// answer.
const WITHIN: Duration = Duration::from_secs(90);
/// The number of questions that are asked at the same time for one name. A name service may have several replicas, each
/// with its own cache, and each question goes to a random replica. If one of two replicas has an old answer, all 16
/// questions go to the other replica only once in 65 536 times.
const QUESTIONS: usize = 16;
/// The run waits for each pair of a vantage pod and a Service. This is the number of pairs that are checked at the
/// same time.
const AT_ONCE: usize = 4;
/// The time limit of one question, in milliseconds.
const QUESTION_MS: u64 = 5_000;
/// The pause between two rounds of questions. The code polls because no event reports that a cache forgets an answer.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Waits until the name service answers a DNS question from this pod.
pub(super) async fn answers(scene: &Scene<'_>, pod: &str, session: &Vantage) -> Result<(), RunError> {
    let question = Probe::Dns(DnsQuestion { name: KNOWN_NAME.to_owned() });
    let bound = store::Bound { within: WITHIN, declared: None, unrecoverable: store::never };
    match store::until(&bound, session, &View::default(), &question, |_| Ok(())).await? {
        None => Ok(()),
        Some(cause) => Err(RunError::Machine {
            what: format!(
                "cluster {}: CoreDNS does not answer pod {pod} in namespace {}: {cause}",
                scene.cluster.name, scene.plan.namespace
            ),
            fix: "`parallax e2e --keep` leaves the cluster standing to look at kube-system".to_owned(),
        }),
    }
}

/// Waits until the name service gives each vantage pod the present addresses of every Service that the run `run` has
/// created in the namespace. Services of others are not checked, because the run does not change their addresses.
pub(super) async fn is_current(
    scene: &Scene<'_>,
    client: &Client,
    run: &RunId,
    pods: &BTreeMap<String, Vantage>,
) -> Result<(), RunError> {
    if pods.is_empty() {
        return Ok(());
    }
    let services: Api<Service> = Api::namespaced(client.clone(), &scene.plan.namespace);
    let listed = services.list(&ListParams::default().labels(&format!("{RUN_LABEL}={run}"))).await;
    let listed = listed.map_err(|source| unread("list its Services", scene, source))?.items;
    let pairs = pods.iter().flat_map(|pod| listed.iter().map(move |service| Ok((pod, service))));
    let each = |(pod, service)| current(scene, client, pod, service);
    stream::iter(pairs).try_for_each_concurrent(AT_ONCE, each).await
}

/// Waits until the name service gives one vantage pod the present addresses of one Service.
async fn current(
    scene: &Scene<'_>,
    client: &Client,
    (pod, vantage): (&String, &Vantage),
    service: &Service,
) -> Result<(), RunError> {
    let name = format!("{}.{}.svc.cluster.local", service.name_any(), scene.plan.namespace);
    let question = || {
        let probe = Probe::Dns(DnsQuestion { name: name.clone() });
        vantage.ask(Question { view: View::default(), deadline_ms: QUESTION_MS, probe })
    };
    let began = Instant::now();
    loop {
        // The addresses are read again before each round of questions, because the addresses of a headless Service
        // change with its pods.
        let Some(wanted) = wanted(scene, client, service).await? else { return Ok(()) };
        let answers = try_join_all((0..QUESTIONS).map(|_| question())).await?;
        let Some(seen) = answers.iter().find_map(|it| wanted.contradicts(it)) else { return Ok(()) };
        if began.elapsed() >= WITHIN {
            let (cluster, within) = (&scene.cluster.name, WITHIN.as_secs());
            return Err(RunError::Machine {
                what: format!(
                    "cluster {cluster}: the name service still tells pod {pod} {seen} for {name} after {within} s, and not {wanted}"
                ),
                fix:
                    "look whether the pods of the cluster's name service are well, and how long it may keep an answer \
                      (CoreDNS: `cache` and `ttl` in its Corefile)"
                        .to_owned(),
            });
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// The addresses that the name service must give for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// The answer must contain exactly these addresses: the cluster addresses of the Service.
    All(BTreeSet<IpAddr>),
    /// The answer must contain at least one address, and only addresses from this set: the addresses of the pods of a
    /// headless Service.
    Of(BTreeSet<IpAddr>),
}

impl Wanted {
    /// Returns the addresses or the error in an answer that is not as wanted, in words. `None` if the answer is as
    /// wanted.
    fn contradicts(&self, answer: &Answer) -> Option<String> {
        let given = match &answer.outcome {
            Ok(Reply::Dns(reply)) => reply.addresses.iter().copied().collect(),
            Err(Cause::Dns { fault: DnsFault::NoSuchName | DnsFault::NoAddress, .. }) => BTreeSet::new(),
            Ok(_) => return Some("no DNS answer".to_owned()),
            Err(cause) => return Some(cause.to_string()),
        };
        let holds = match self {
            Self::All(own) => given == *own,
            Self::Of(pods) => given.is_subset(pods) && !given.is_empty(),
        };
        (!holds).then(|| shown(&given))
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(own) => write!(f, "{}", shown(own)),
            Self::Of(pods) => write!(f, "only addresses of its pods ({})", shown(pods)),
        }
    }
}

fn shown(addresses: &BTreeSet<IpAddr>) -> String {
    if addresses.is_empty() {
        return "no address".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the addresses that a Service has now. `None` if nothing says what the name service must answer. This is so
/// for a Service of type `ExternalName`, which has no addresses; for a headless Service without a selector, because
/// somebody else writes its addresses; and for a headless Service without a ready pod.
async fn wanted(scene: &Scene<'_>, client: &Client, service: &Service) -> Result<Option<Wanted>, RunError> {
    let Some(spec) = &service.spec else { return Ok(None) };
    let own = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let own: BTreeSet<IpAddr> = own.filter_map(|it| it.parse().ok()).collect();
    if !own.is_empty() {
        return Ok(Some(Wanted::All(own)));
    }
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    let Some(selector) = spec.selector.clone().filter(|it| is_headless && !it.is_empty()) else { return Ok(None) };
    let labels = selector.into_iter().collect::<Selector>().to_string();
    let pods = lives::pods(client, &scene.plan.namespace, &labels).await;
    let pods = pods.map_err(|source| unread("list the pods of its Services", scene, *source))?;
    // The name service is not asked for a headless Service without a ready pod, because it would keep the empty answer
    // in its cache.
    if !pods.iter().any(lives::is_ready) {
        return Ok(None);
    }
    let ips = pods.iter().filter_map(|it| it.status.as_ref()?.pod_ips.as_ref()).flatten();
    Ok(Some(Wanted::Of(ips.filter_map(|it| it.ip.parse().ok()).collect())))
}

fn unread(doing: &str, scene: &Scene<'_>, source: kube::Error) -> RunError {
    let doing = format!("{doing} (namespace {})", scene.plan.namespace);
    ApplyError::Api { doing, source: Box::new(source) }.into()
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;
    use parallax_vocab::answer::DnsReply;

    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|it| it.parse().expect("an address")).collect()
    }

    #[test]
    fn an_answer_is_old_if_it_has_an_address_that_the_service_has_not() {
        let found = |addresses: &[&str]| {
            let addresses = set(addresses).into_iter().collect();
            Ok(Reply::Dns(DnsReply { addresses, cnames: vec![], ttl_s: 5, searched: None }))
        };
        let failed = |fault: DnsFault| Err(Cause::Dns { fault, detail: "web".to_owned() });
        let own = Wanted::All(set(&["10.43.0.7"]));
        let both = Wanted::All(set(&["10.43.0.7", "fd00::7"]));
        let of = Wanted::Of(set(&["10.42.0.7", "10.42.0.8"]));
        for (wanted, outcome, expected) in [
            (own.clone(), found(&["10.43.0.7"]), None),
            (own.clone(), found(&["10.43.0.6"]), Some("10.43.0.6")),
            (own.clone(), found(&["10.43.0.6", "10.43.0.7"]), Some("10.43.0.6, 10.43.0.7")),
            (own.clone(), failed(DnsFault::NoSuchName), Some("no address")),
            (own, failed(DnsFault::Timeout), Some("dns: timeout (web)")),
            (both, found(&["10.43.0.7"]), Some("10.43.0.7")),
            (of.clone(), found(&["10.42.0.8"]), None),
            (of.clone(), found(&["10.42.0.6", "10.42.0.8"]), Some("10.42.0.6, 10.42.0.8")),
            (of.clone(), failed(DnsFault::NoSuchName), Some("no address")),
        ] {
            let answer = Answer { outcome: outcome.clone(), evidence: Evidence::default() };
            assert_eq!(wanted.contradicts(&answer).as_deref(), expected, "{wanted} {outcome:?}");
        }
        assert_eq!(of.to_string(), "only addresses of its pods (10.42.0.7, 10.42.0.8)");
    }
}
