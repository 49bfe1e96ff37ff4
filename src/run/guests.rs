//! Vantages in an application's own pod (`attach`): places the agent as a guest in the application's container when the
//! first step asks from there, and removes it at the end.
//!
//! The agent is placed again if the workload has replaced its pod. How the application's own programs resolve names and
//! which certificates they trust is read once for each pod.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use parallax_vocab::question::{Probe, View};
use parallax_vocab::settings::{NamedBy, Settings, TrustStore};
use parallax_vocab::{Answer, Cause, Question, Reply};
use tokio::sync::Mutex;

use super::Context;
use super::environment::Stage;
use crate::apply::{Attached, Placing, Terms, pod_of};
use crate::cluster::api_message;
use crate::probe::Vantage;
use parallax_images::{Binaries, Cache};
use parallax_language::scenario::model::{AsksAs, AttachVantage, VantageSpec};
use parallax_plan::VariantPlan;

/// The program of the agent.
const PROGRAM: &str = "parallax-agent";
/// The number of agents that this process has placed.
static PLACED: AtomicUsize = AtomicUsize::new(0);
/// The time limit of a question that is asked a second time in the way of the application, in milliseconds.
const BESIDE_MS: u64 = 5_000;

/// The guests of an environment, by what the vantages declare about the place.
#[derive(Debug, Default)]
pub(super) struct Guests {
    open: Mutex<BTreeMap<Place, Arc<Guest>>>,
}

/// The workload, the container, and the image of an ephemeral container. Vantages that differ only in how they ask share
/// one guest.
type Place = (String, Option<String>, Option<String>);

/// An agent in an application's container.
#[derive(Debug)]
pub(super) struct Guest {
    vantage: Vantage,
    pod: Pod,
    /// The name of the application's container.
    container: String,
    /// How the application's own programs resolve names, and which certificates they trust. The error is the reason why
    /// that is not known.
    settings: Result<Settings, String>,
    placed: Placed,
}

/// What a run has placed in a container of an application, and has to remove.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    namespace: String,
    pod: String,
    uid: Option<String>,
    placing: Arc<Mutex<Placing>>,
}

impl Placed {
    /// Removes the agent, if its pod still exists. Returns a sentence for each part that remains.
    async fn remove(&self) -> Vec<String> {
        let placing = self.placing.lock().await;
        match placing.pods().get_opt(&self.pod).await {
            Ok(pod) if pod.as_ref().is_none_or(|it| it.metadata.uid != self.uid) => Vec::new(),
            _ => placing.remove().await,
        }
    }
}

/// Removes the agents that the environments of a namespace have placed; `None` stands for all namespaces of the run.
/// Returns a sentence for each part that remains.
pub(super) async fn remove(context: &Context, namespace: Option<&str>) -> Vec<String> {
    let is_meant = |it: &mut Placed| namespace.is_none_or(|namespace| it.namespace == namespace);
    let all = || context.guests.lock().unwrap_or_else(PoisonError::into_inner);
    let placed: Vec<Placed> = all().extract_if(.., is_meant).collect();
    futures::future::join_all(placed.iter().map(Placed::remove)).await.concat()
}

/// The list of everything that a run has placed.
pub(crate) type AllPlaced = SyncMutex<Vec<Placed>>;

impl Guests {
    /// The guest for a vantage. Places it if there is none, or if its pod, its container or its session has ended. The
    /// error names what refuses the agent, and what helps.
    pub(super) async fn guest(&self, stage: &Stage<'_>, spec: &AttachVantage) -> Result<Arc<Guest>, String> {
        let mut open = self.open.lock().await;
        let place = (spec.to.clone(), spec.container.clone(), spec.image.clone());
        let namespace = &stage.scene.plan.namespace;
        if let Some(guest) = open.get(&place) {
            if guest.is_there(stage, namespace).await? {
                return Ok(Arc::clone(guest));
            }
            // The pod or the container has ended, and the agent with it.
            if let Some(ended) = open.remove(&place) {
                let all = &stage.context.guests;
                let is_other = |it: &Placed| !Arc::ptr_eq(&it.placing, &ended.placed.placing);
                for remains in ended.placed.remove().await {
                    stage.context.sink.warn(remains);
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).retain(is_other);
            }
        }
        let guest = Arc::new(Guest::place(stage, spec).await?);
        open.insert(place, Arc::clone(&guest));
        Ok(guest)
    }

    /// Whether the pod from which a vantage asks has this address.
    pub(super) async fn has_address(&self, spec: &AttachVantage, address: &str) -> bool {
        let place = (spec.to.clone(), spec.container.clone(), spec.image.clone());
        self.open.lock().await.get(&place).is_some_and(|it| it.has_address(address))
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
    async fn place(stage: &Stage<'_>, spec: &AttachVantage) -> Result<Self, String> {
        let (context, namespace) = (stage.context, &stage.scene.plan.namespace);
        let client = stage.applier.client();
        let pod = pod_of(client, namespace, &spec.to, spec.container.as_deref()).await?;
        let program = Binaries::of_this_program().map_err(|error| error.to_string())?;
        let program = Cache::open().and_then(|cache| program.find(PROGRAM, "the pod", &cache));
        let program = program.map_err(|error| error.to_string())?;
        let size_mib = tokio::fs::metadata(&program).await.map(|it| it.len() >> 20).unwrap_or_default();
        // Each name is used once in the run, because an ephemeral container stays in its pod.
        let number = PLACED.fetch_add(1, Ordering::Relaxed);
        let name = format!("parallax-{}-{number}", context.options.id.as_str());
        let mut attached = Attached::of(&pod, spec.container.as_deref(), name, program, Terms::VANTAGE)?;
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
        let (session, settings) = placed.placing.lock().await.begin(&announce).await?;
        Ok(Self { vantage: Vantage::Pod(session), pod, container, settings, placed })
    }

    /// Whether questions can still be asked from the pod.
    async fn is_there(&self, stage: &Stage<'_>, namespace: &str) -> Result<bool, String> {
        if !self.vantage.is_open() {
            return Ok(false);
        }
        let pods: Api<Pod> = Api::namespaced(stage.applier.client().clone(), namespace);
        let name = self.pod.metadata.name.as_deref().unwrap_or_default();
        let now = pods.get_opt(name).await.map_err(|error| format!("pod {name}: {}", api_message(&error)))?;
        Ok(now.is_some_and(|now| {
            now.metadata.uid == self.pod.metadata.uid
                && now.metadata.deletion_timestamp.is_none()
                && self.life(&now).is_some_and(|it| Some(it) == self.life(&self.pod))
        }))
    }

    /// The id of the running container of the application. It changes when the container starts again.
    fn life<'p>(&self, pod: &'p Pod) -> Option<&'p str> {
        let mut all = pod.status.iter().flat_map(|it| &it.container_statuses).flatten();
        let of = all.find(|it| it.name == self.container)?;
        of.container_id.as_deref().filter(|_| of.state.as_ref().is_some_and(|it| it.running.is_some()))
    }

    /// Whether the pod has this address.
    fn has_address(&self, address: &str) -> bool {
        let status = self.pod.status.as_ref();
        let all = status.iter().flat_map(|it| &it.pod_ips).flatten().map(|it| it.ip.as_str());
        all.chain(status.and_then(|it| it.pod_ip.as_deref())).any(|it| it == address)
    }

    /// The view with the resolver and the certificates of the application's own programs.
    fn own_view(&self, view: &View) -> Result<View, String> {
        let unknown = |why: &str| format!("how the application's own programs ask is not known: {why}");
        let settings = self.settings.as_ref().map_err(|why| unknown(why))?;
        let mut trust = Vec::new();
        for store in settings.used_stores() {
            match &store.certificates {
                Ok(certificates) => trust.push(certificates.clone()),
                Err(why) if why == parallax_vocab::settings::TOO_LARGE => {
                    return Err(unknown(&format!("{} is {why}", store.path)));
                }
                // A program with such a store trusts nothing in its place.
                Err(_) => {}
            }
        }
        Ok(View { trust, own_resolver: Some(settings.resolver()), ..view.clone() })
    }

    /// Asks a question about a name or a certificate once more, in the way of the application's own programs. Returns
    /// sentences about the answer beside `ours`. Other questions are not asked twice, because they may change something.
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
        let own = Question { view, deadline_ms: question.deadline_ms.min(BESIDE_MS), probe: question.probe.clone() };
        let how = if is_dns { by_resolver(settings) } else { by_stores(settings) };
        match self.vantage.ask(own).await {
            Ok(own) => vec![sentence(&how, &ours.outcome, &own.outcome)],
            Err(error) => vec![format!("the application's own programs ({how}): {error}")],
        }
    }
}

fn all_of(context: &Context) -> std::sync::MutexGuard<'_, Vec<Placed>> {
    context.guests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what the application's own programs get beside what a question with our settings got.
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
        // If the system has no file, words stand in place of its path.
        let named = if store.path.starts_with('/') { format!("{by} {}", store.path) } else { store.path.clone() };
        match &store.certificates {
            Ok(_) => named,
            Err(why) => format!("{named}: {why}"),
        }
    };
    let stores: Vec<String> = settings.used_stores().map(name).collect();
    if stores.is_empty() { "no trusted certificates".to_owned() } else { stores.join(", ") }
}

/// An open vantage of a step.
pub(super) enum Seat<'a> {
    /// A vantage that exists as long as the environment.
    Own(&'a Vantage),
    /// A guest in an application's own pod, and whose settings it uses.
    Guest(Arc<Guest>, Option<AsksAs>),
}

impl Seat<'_> {
    /// The view of a question from here. `view` is the view that the scenario declares.
    pub(super) fn view(&self, view: View) -> Result<View, String> {
        match self {
            Self::Guest(guest, Some(AsksAs::Application)) => guest.own_view(&view),
            Self::Own(_) | Self::Guest(_, None) => Ok(view),
        }
    }

    /// What the application's own programs get for the same question, if it was asked with our settings.
    pub(super) async fn beside(&self, question: &Question, ours: &Answer) -> Vec<String> {
        match self {
            Self::Guest(guest, None) => guest.beside(question, ours).await,
            Self::Own(_) | Self::Guest(_, Some(AsksAs::Application)) => Vec::new(),
        }
    }

    /// Removes from a question what the record does not need: the private key of a client's certificate, and the
    /// application's trusted certificates, which may be hundreds.
    pub(super) fn for_the_record(&self, question: &mut Question) {
        question.view.identity = None;
        if let Self::Guest(_, Some(AsksAs::Application)) = self {
            question.view.trust.clear();
        }
    }
}

impl Stage<'_> {
    /// The open vantage with the id `id` in the scenario of a variant. The error says why there is none in an
    /// application's own pod.
    pub(super) async fn vantage(&self, variant: &VariantPlan, id: &str) -> Result<Seat<'_>, String> {
        if let Some(pod) = variant.pods.get(id) {
            return Ok(Seat::Own(self.pods.get(pod).expect("the plan makes a pod for every pod vantage")));
        }
        let spec = variant.variant.scenario.vantages.get(id);
        if let Some(spec) = spec.and_then(|it| it.attach.as_ref()) {
            let guest = self.guests.guest(self, spec).await.map_err(|why| format!("vantage `{id}`: {why}"))?;
            return Ok(Seat::Guest(guest, spec.asks_as));
        }
        Ok(Seat::Own(match spec.and_then(VantageSpec::outside_image) {
            Some(image) => self.beside.get(image).expect("a session is opened for each image that is named"),
            None => &self.outside,
        }))
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
}
