//! Vantages in an application's own pod (`attach`). The first step that uses such a vantage places the agent as a guest
//! in the application's container. The agent is removed at the end.
//!
//! The agent is placed again if the workload has replaced its pod. For each pod, this code reads once how the
//! application's own programs resolve names, and which certificates they trust.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use parallax_vocab::question::{Probe, View};
use parallax_vocab::settings::{LIMIT_BYTES, NamedBy, Settings, TOO_LARGE, TrustStore};
use parallax_vocab::{Answer, Cause, Question, Reply};
use tokio::sync::Mutex;

use super::Context;
use super::environment::Stage;
use super::error::RunError;
use super::step::Attempt;
use crate::apply::{Absent, Attached, Outlook, Placing, Terms, can_attach, pod_of};
use crate::cluster::api_message;
use crate::probe::Vantage;
use parallax_images::{Binaries, Cache};
use parallax_language::scenario::model::{AsksAs, AttachVantage, VantageSpec};
use parallax_plan::VariantPlan;

/// The file name of the agent's program.
const PROGRAM: &str = "parallax-agent";
/// The number of agents that this process has placed.
static PLACED: AtomicUsize = AtomicUsize::new(0);
/// The guest asks some questions a second time, with the settings of the application's own programs. This is the time
/// limit of such a question, in milliseconds.
const BESIDE_MS: u64 = 5_000;

/// The guests of an environment. The key says where the guest runs.
#[derive(Debug, Default)]
pub(super) struct Guests {
    open: Mutex<BTreeMap<Place, Arc<Guest>>>,
}

/// Where a guest runs: the workload, the name of the container, and the image of the ephemeral container if one is
/// used. Vantages for which these three values are the same share one guest.
type Place = (String, Option<String>, Option<String>);

fn place_of(spec: &AttachVantage) -> Place {
    (spec.to.clone(), spec.container.clone(), spec.image.clone())
}

/// An agent in an application's container.
#[derive(Debug)]
pub(super) struct Guest {
    vantage: Vantage,
    pod: Pod,
    /// The name of the application's container.
    container: String,
    /// How the application's own programs resolve names, and which certificates they trust. The error says why these
    /// settings are not known.
    settings: Result<Settings, String>,
    placed: Placed,
}

/// An agent that a run has placed in a container of an application, and that the run has to remove.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    namespace: String,
    pod: String,
    uid: Option<String>,
    placing: Arc<Mutex<Placing>>,
}

impl Placed {
    /// Removes the agent, if its pod still exists. Returns a sentence for each thing that remains in the pod, such as
    /// the agent's file.
    async fn remove(&self) -> Vec<String> {
        let placing = self.placing.lock().await;
        match placing.pods().get_opt(&self.pod).await {
            Ok(pod) if pod.as_ref().is_none_or(|it| it.metadata.uid != self.uid) => Vec::new(),
            _ => placing.remove().await,
        }
    }
}

/// Removes the agents that the environments of a namespace have placed; `None` stands for all namespaces of the run.
/// Returns a sentence for each thing that remains in a pod.
pub(super) async fn remove(context: &Context, namespace: Option<&str>) -> Vec<String> {
    let is_meant = |it: &&Placed| namespace.is_none_or(|namespace| it.namespace == namespace);
    let placed: Vec<Placed> = all_of(context).iter().filter(is_meant).cloned().collect();
    futures::future::join_all(placed.iter().map(|it| removed(context, it))).await.concat()
}

/// Removes one agent, and then deletes its entry in the list of placed agents. If the removal fails, or if the user
/// stops the run before the entry is deleted, the clean-up at the end of the run still finds the entry. Returns a
/// sentence for each thing that remains in the pod.
async fn removed(context: &Context, placed: &Placed) -> Vec<String> {
    let left = placed.remove().await;
    if left.is_empty() {
        all_of(context).retain(|other| !Arc::ptr_eq(&other.placing, &placed.placing));
    }
    left
}

/// The list of all agents that a run has placed in containers of applications.
pub(crate) type AllPlaced = SyncMutex<Vec<Placed>>;

impl Guests {
    /// Places the guest for a vantage if there is none yet, or if the guest's pod, container or session has ended. The
    /// error says what prevents the agent from running in the pod, and what the user can do to change this.
    async fn come(&self, stage: &Stage<'_>, spec: &AttachVantage) -> Result<(), Absent> {
        let mut open = self.open.lock().await;
        let place = place_of(spec);
        if let Some(guest) = open.get(&place) {
            if guest.is_there(stage).await? {
                return Ok(());
            }
            // The guest's pod, container or session has ended. What is left of the old agent is removed before a new
            // agent is placed.
            if let Some(ended) = open.remove(&place) {
                for remains in removed(stage.context, &ended.placed).await {
                    stage.context.sink.warn(remains);
                }
            }
        }
        open.insert(place, Arc::new(Guest::place(stage, spec).await?));
        Ok(())
    }

    /// The guest for a vantage. `None` if no guest has been placed for it.
    async fn of(&self, spec: &AttachVantage) -> Option<Arc<Guest>> {
        self.open.lock().await.get(&place_of(spec)).map(Arc::clone)
    }

    /// Whether the pod of a vantage (`attach`) has the IP address `address`.
    pub(super) async fn has_address(&self, spec: &AttachVantage, address: &str) -> bool {
        self.of(spec).await.is_some_and(|it| it.has_address(address))
    }

    /// Ends the sessions of all guests.
    pub(super) async fn close(self) {
        for guest in self.open.into_inner().into_values() {
            if let Some(guest) = Arc::into_inner(guest) {
                guest.vantage.close().await;
            }
        }
    }
}

impl Guest {
    async fn place(stage: &Stage<'_>, spec: &AttachVantage) -> Result<Self, Absent> {
        let (context, namespace) = (stage.context, &stage.scene.plan.namespace);
        let client = stage.applier.client();
        let pod = pod_of(client, namespace, &spec.to, spec.container.as_deref()).await?;
        let is_waited_for = !can_attach(&pod, spec.container.as_deref());
        let program = Binaries::of_this_program().map_err(|error| Absent::for_good(error.to_string()))?;
        let program = Cache::open().and_then(|cache| program.find(PROGRAM, "the pod", &cache));
        let program = program.map_err(|error| Absent::for_good(error.to_string()))?;
        let size_mib = tokio::fs::metadata(&program).await.map(|it| it.len() >> 20).unwrap_or_default();
        // Each placed agent gets a name that the run has not used before: an ephemeral container with the agent cannot
        // be removed from its pod, so its name stays in use.
        let number = PLACED.fetch_add(1, Ordering::Relaxed);
        let name = format!("parallax-{}-{number}", context.options.id.as_str());
        let outlook = if is_waited_for { Outlook::NotYet } else { Outlook::Final };
        let mut attached = Attached::of(&pod, spec.container.as_deref(), name, program, Terms::VANTAGE)
            .map_err(|why| Absent { why, outlook })?;
        attached.image = spec.image.as_deref().and_then(|it| stage.applier.image(it)).map(str::to_owned);
        let Attached { pod: pod_name, container, name, .. } = attached.clone();
        context.sink.note(format!(
            "the agent ({size_mib} MiB) comes as file {name} into container {container} of pod {pod_name} in namespace {namespace}, runs there, and is removed at the end"
        ));
        let placed = Placed {
            namespace: namespace.clone(),
            pod: pod_name,
            uid: pod.metadata.uid.clone(),
            placing: Arc::new(Mutex::new(Placing::new(attached, client.clone()))),
        };
        all_of(context).push(placed.clone());
        let announce = |line: &str| context.sink.note(line.split_whitespace().collect::<Vec<_>>().join(" "));
        let begun = placed.placing.lock().await.begin(&announce).await;
        let (session, settings) = match begun {
            Ok(begun) => begun,
            // If the application's container has ended meanwhile, its end is the reason why no agent could be placed.
            // The workload may start the container again, so a later try may succeed.
            Err(why) => match is_same(stage, &pod, &container).await {
                Ok(true) => return Err(Absent::for_good(why)),
                Ok(false) => return Err(Absent { why, outlook: Outlook::NotYet }),
                Err(absent) => return Err(Absent { why, ..absent }),
            },
        };
        Ok(Self { vantage: Vantage::Pod(session), pod, container, settings, placed })
    }

    /// Whether the guest can be asked questions: its session is open, and its container still runs.
    async fn is_there(&self, stage: &Stage<'_>) -> Result<bool, Absent> {
        if !self.vantage.is_open() {
            return Ok(false);
        }
        is_same(stage, &self.pod, &self.container).await
    }

    /// Whether the guest's pod has the IP address `address`.
    fn has_address(&self, address: &str) -> bool {
        let status = self.pod.status.as_ref();
        let all = status.iter().flat_map(|it| &it.pod_ips).flatten().map(|it| it.ip.as_str());
        all.chain(status.and_then(|it| it.pod_ip.as_deref())).any(|it| it == address)
    }

    /// A copy of `view`, with the resolver and the trusted certificates of the application's own programs.
    fn own_view(&self, view: &View) -> Result<View, String> {
        let unknown = |why: &str| format!("how the application's own programs ask is not known: {why}");
        let settings = self.settings.as_ref().map_err(|why| unknown(why))?;
        let trust = trusted(settings).map_err(|why| unknown(&why))?;
        Ok(View { trust, own_resolver: Some(settings.resolver()), ..view.clone() })
    }

    /// Asks a DNS or TLS question a second time, with the settings of the application's own programs. Returns
    /// sentences that compare this answer with `ours`, the answer with the harness's settings. Other questions are not
    /// asked twice, because they may change something.
    pub(super) async fn beside(&self, question: &Question, ours: &Answer) -> Vec<String> {
        let is_dns = match &question.probe {
            Probe::Dns(_) => true,
            Probe::Tls(_) => false,
            _ => return Vec::new(),
        };
        let view = match self.own_view(&question.view) {
            Ok(view) => view,
            Err(why) => return vec![why],
        };
        let Ok(settings) = &self.settings else { return Vec::new() };
        let own = Question { view, deadline_ms: BESIDE_MS, probe: question.probe.clone() };
        let how = if is_dns { by_resolver(settings) } else { by_stores(settings) };
        match self.vantage.ask(own).await {
            Ok(own) => vec![sentence(&how, &ours.outcome, &own.outcome)],
            Err(error) => vec![format!("the application's own programs ({how}): {error}")],
        }
    }
}

/// Whether a pod still exists, and its container has neither ended nor restarted since `pod` was read.
async fn is_same(stage: &Stage<'_>, pod: &Pod, container: &str) -> Result<bool, Absent> {
    let pods: Api<Pod> = Api::namespaced(stage.applier.client().clone(), &stage.scene.plan.namespace);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let now = pods.get_opt(name).await;
    let now = now.map_err(|error| Absent::by(&error, format!("pod {name}: {}", api_message(&error))))?;
    Ok(now.is_some_and(|now| {
        now.metadata.uid == pod.metadata.uid
            && now.metadata.deletion_timestamp.is_none()
            && life(&now, container).is_some_and(|it| Some(it) == life(pod, container))
    }))
}

/// The id that the container runtime gave a container of a pod, if the container runs. The id changes when the
/// container starts again.
fn life<'p>(pod: &'p Pod, container: &str) -> Option<&'p str> {
    let mut all = pod.status.iter().flat_map(|it| &it.container_statuses).flatten();
    let of = all.find(|it| it.name == container)?;
    of.container_id.as_deref().filter(|_| of.state.as_ref().is_some_and(|it| it.running.is_some()))
}

/// The contents of the trust stores that the application's programs use. It is an error if a trust store is too large
/// to be part of a question.
fn trusted(settings: &Settings) -> Result<Vec<String>, String> {
    let mut trust = Vec::new();
    for store in settings.used_stores() {
        match &store.certificates {
            Ok(certificates) => trust.push(certificates.clone()),
            Err(why) if why == TOO_LARGE => return Err(format!("{} is {why}", store.path)),
            // The trust store cannot be read, so a program that uses it trusts no certificate from it either.
            Err(_) => {}
        }
    }
    // One frame carries the contents of all trust stores, so their total size is limited, too.
    if trust.iter().map(|it| it.len() as u64).sum::<u64>() > LIMIT_BYTES {
        let paths: Vec<&str> = settings.used_stores().map(|it| it.path.as_str()).collect();
        return Err(format!("{} are together larger than {} KiB", paths.join(" and "), LIMIT_BYTES >> 10));
    }
    Ok(trust)
}

/// Removes from a question what the record does not need: the client certificate with its private key, and the
/// certificates that the application trusts, which may be hundreds.
pub(super) fn for_the_record(question: &mut Question) {
    question.view.identity = None;
    if question.view.own_resolver.is_some() {
        question.view.trust.clear();
    }
}

fn all_of(context: &Context) -> std::sync::MutexGuard<'_, Vec<Placed>> {
    context.guests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns one sentence that compares two results of the same question: `own` with the settings of the application's
/// own programs, and `ours` with the settings of the harness. `how` describes the settings of the application.
fn sentence(how: &str, ours: &Result<Reply, Cause>, own: &Result<Reply, Cause>) -> String {
    let addresses = |of: &Result<Reply, Cause>| match of {
        Ok(Reply::Dns(dns)) => shown(&dns.addresses),
        Ok(_) => "accept the certificate".to_owned(),
        Err(cause) => cause.to_string(),
    };
    let (ours_says, own_says) = (addresses(ours), addresses(own));
    let same = ours.is_ok() && ours_says == own_says;
    let programs = format!("the application's own programs ({how})");
    match (own, same) {
        (Ok(Reply::Dns(_)), true) => format!("{programs} get the same: {own_says}"),
        (Ok(Reply::Dns(_)), false) => format!("{programs} get {own_says}, and DNS gives {ours_says}"),
        (Ok(_), true) => format!("{programs} accept the certificate, too"),
        (Ok(_), false) => format!("{programs} accept the certificate, although `trust` does not"),
        (Err(_), _) => format!("{programs} fail: {own_says}"),
    }
}

fn shown(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn by_resolver(settings: &Settings) -> String {
    let sources = settings.sources();
    if sources.is_empty() { "/etc/hosts, then DNS".to_owned() } else { format!("hosts: {}", sources.join(" ")) }
}

fn by_stores(settings: &Settings) -> String {
    let name = |store: &TrustStore| {
        let by = match store.named_by {
            NamedBy::System => "system",
            NamedBy::Folder => "folder",
            by => by.variable().unwrap_or_default(),
        };
        // If the system has no file of trusted certificates, `path` contains words instead of a path.
        let named = if store.path.starts_with('/') { format!("{by} {}", store.path) } else { store.path.clone() };
        match &store.certificates {
            Ok(_) => named,
            Err(why) => format!("{named}: {why}"),
        }
    };
    let stores: Vec<String> = settings.used_stores().map(name).collect();
    if stores.is_empty() { "no trusted certificates".to_owned() } else { stores.join(", ") }
}

/// A vantage from which a step can send its questions.
pub(super) enum Seat<'a> {
    /// A vantage that exists as long as the environment.
    Own(&'a Vantage),
    /// A guest in an application's own pod. `AsksAs` says whose settings the questions use. `None` means the settings
    /// of the harness.
    Guest(Arc<Guest>, Option<AsksAs>),
}

impl Seat<'_> {
    /// The view that a question from this vantage uses. `view` is the view that the scenario declares.
    pub(super) fn view(&self, view: View) -> Result<View, String> {
        match self {
            Self::Guest(guest, Some(AsksAs::Application)) => guest.own_view(&view),
            Self::Own(_) | Self::Guest(_, None) => Ok(view),
        }
    }

    /// The guest, if this vantage is a guest whose questions use the settings of the harness. `None` otherwise.
    pub(super) fn as_ours(&self) -> Option<Arc<Guest>> {
        match self {
            Self::Guest(guest, None) => Some(Arc::clone(guest)),
            Self::Own(_) | Self::Guest(_, Some(AsksAs::Application)) => None,
        }
    }
}

impl Stage<'_> {
    /// If the vantage with the id `id` is in an application's own pod, places the agent there, unless the agent is
    /// there already. The error contains the id of the vantage.
    pub(super) async fn guest_comes(&self, variant: &VariantPlan, id: &str) -> Result<(), Absent> {
        let spec = variant.variant.scenario.vantages.get(id);
        let Some(spec) = spec.and_then(|it| it.attach.as_ref()) else { return Ok(()) };
        let named = |absent: Absent| Absent { why: format!("vantage `{id}`: {absent}"), ..absent };
        self.guests.come(self, spec).await.map_err(named)
    }

    /// The vantage with the id `id` in the scenario of a variant. It is an error if the vantage is in an application's
    /// own pod and no agent is there. [`Self::guest_comes`] places the agent.
    pub(super) async fn vantage(&self, variant: &VariantPlan, id: &str) -> Result<Seat<'_>, String> {
        if let Some(pod) = variant.pods.get(id) {
            return Ok(Seat::Own(self.pods.get(pod).expect("the plan makes a pod for every pod vantage")));
        }
        let spec = variant.variant.scenario.vantages.get(id);
        if let Some(spec) = spec.and_then(|it| it.attach.as_ref()) {
            let guest = self.guests.of(spec).await;
            let guest = guest.ok_or_else(|| format!("vantage `{id}`: no agent is in the application's pod"))?;
            return Ok(Seat::Guest(guest, spec.asks_as));
        }
        Ok(Seat::Own(match spec.and_then(VantageSpec::outside_image) {
            Some(image) => self.beside.get(image).expect("a session is opened for each image that is named"),
            None => &self.outside,
        }))
    }
}

impl Attempt<'_> {
    /// If the step sends its question from an application's own pod, places the agent there, unless the agent is there
    /// already.
    pub(super) async fn guest_comes(&self) -> Result<(), RunError> {
        let Some(from) = self.step.from.as_deref() else { return Ok(()) };
        let (place, step) = (self.place, &self.step.id);
        let failed = |absent| RunError::Guest { place: place.to_owned(), step: step.clone(), absent };
        self.stage.guest_comes(self.variant, from).await.map_err(failed)
    }
}

impl Deref for Seat<'_> {
    type Target = Vantage;

    fn deref(&self) -> &Vantage {
        match self {
            Self::Own(vantage) => vantage,
            Self::Guest(guest, _) => &guest.vantage,
        }
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::answer::DnsReply;
    use parallax_vocab::{DnsFault, TlsFault};

    use super::*;

    #[test]
    fn what_the_application_gets_is_told_beside_ours() {
        let dns = |address: &str| {
            let addresses = vec![address.parse().expect("an address")];
            Ok(Reply::Dns(DnsReply { addresses, cnames: Vec::new(), ttl_s: 0, searched: None }))
        };
        let none = || Err(Cause::Dns { fault: DnsFault::NoSuchName, detail: "x".to_owned() });
        let untrusted = || Err(Cause::Tls { fault: TlsFault::UnknownAuthority, detail: "y".to_owned() });
        for (ours, own, says) in [
            (dns("10.0.0.1"), dns("10.0.0.1"), "get the same: 10.0.0.1"),
            (dns("10.0.0.1"), dns("192.0.2.1"), "get 192.0.2.1, and DNS gives 10.0.0.1"),
            (none(), dns("192.0.2.1"), "get 192.0.2.1, and DNS gives dns"),
            (dns("10.0.0.1"), none(), "fail: dns"),
            (none(), untrusted(), "fail: tls"),
        ] {
            let said = sentence("how", &ours, &own);
            assert!(said.starts_with("the application's own programs (how) ") && said.contains(says), "{said}");
        }
    }

    #[test]
    fn the_stores_that_count_are_named() {
        let store = |named_by, certificates| TrustStore { named_by, path: "/f".to_owned(), certificates };
        let of = |stores| by_stores(&Settings { stores, ..Settings::default() });
        assert_eq!(of(Vec::new()), "no trusted certificates");
        let gone = || Err("no such file".to_owned());
        assert_eq!(of(vec![store(NamedBy::SslCertFile, gone())]), "SSL_CERT_FILE /f: no such file");
        let both = vec![store(NamedBy::System, Ok(String::new())), store(NamedBy::Folder, Ok(String::new()))];
        assert_eq!(of(both), "system /f, folder /f");
    }

    #[test]
    fn stores_that_do_not_fit_into_a_question_together_are_refused() {
        let store = |named_by, path: &str, bytes: u64| {
            let certificates = Ok("x".repeat(usize::try_from(bytes).expect("small")));
            TrustStore { named_by, path: path.to_owned(), certificates }
        };
        let of = |system, folder| {
            let stores = vec![store(NamedBy::System, "/a", system), store(NamedBy::Folder, "/b", folder)];
            trusted(&Settings { stores, ..Settings::default() }).map(|it| it.len())
        };
        assert_eq!(of(LIMIT_BYTES - 1, 1), Ok(2));
        assert_eq!(of(LIMIT_BYTES, 1), Err("/a and /b are together larger than 700 KiB".to_owned()));
    }

    #[test]
    fn a_container_that_started_again_is_another_one() {
        let pod = |id: &str, state: &str| -> Pod {
            let status = serde_json::json!({ "name": "app", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "containerID": id, "state": { state: {} } });
            serde_json::from_value(serde_json::json!({ "status": { "containerStatuses": [status] } })).expect("a pod")
        };
        assert_eq!(life(&pod("a", "running"), "app"), Some("a"));
        assert_eq!(life(&pod("a", "terminated"), "app"), None);
        assert_eq!(life(&pod("a", "running"), "proxy"), None);
    }
}
