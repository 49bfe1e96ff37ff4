//! Sets up one environment, runs its variants, and takes the environment down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::{join_all, try_join_all};
use futures::stream::FuturesUnordered;
use parallax_vocab::event::Witness;
use parallax_vocab::probes::ReplyFacts;
use parallax_vocab::{Answer, Secret, WitnessKind, millis};

use kube::api::DynamicObject;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::apart::Fresh;
use super::error::RunError;
use super::guests::Guests;
use super::inbound::Inbound;
use super::lives::Lives;
use super::reach::{self, Reach};
use super::reached::Unreached;
use super::reset::{self, Found};
use super::scene::Scene;
use super::slots::Slot;
use super::witness::{Sight, StoreWitness, was_given_by};
use super::{Context, Programs, existing, flow, guests, inputs, name_service, reached, readiness, standing, store};
use crate::apply::{self, Applier, ApplyError, Declared, Provisioned, Unready};
use crate::cluster::Access;
use crate::probe::{AGENT_SESSION, PodSession, Vantage};
use parallax_engine::Written;
use parallax_language::fixture::{Contributions, ReadyWhen};
use parallax_plan::{ClusterPlan, EnvironmentPlan, VariantPlan};

/// The largest number of last log lines that are read from a container outside the cluster or from a node.
pub(super) const LINES_BESIDE: usize = 10_000;
/// The name of the container in which the agent runs, in the pod of a vantage.
pub(super) const AGENT_CONTAINER: &str = "agent";

/// An environment that is ready for flows: its objects and values (`scene`), the open vantages, and the witnesses that
/// report who sent requests to the stores.
pub(super) struct Stage<'a> {
    pub(super) context: &'a Context,
    pub(super) scene: Scene<'a>,
    pub(super) applier: &'a Applier,
    pub(super) outside: Vantage,
    /// Vantages in pods, by the pod's name in the plan.
    pub(super) pods: BTreeMap<String, Vantage>,
    /// The vantages in containers outside the cluster, by the name of their image.
    pub(super) beside: BTreeMap<String, Vantage>,
    /// The witnesses, each with the id of the store's fixture.
    witnesses: Vec<(String, StoreWitness)>,
    /// The ports of Services that a vantage did not reach during the set-up, although a pod of the Service answered the
    /// vantage directly.
    pub(super) unreached: Vec<Unreached>,
    inbound: Inbound,
    /// The agents in the applications' own pods.
    pub(super) guests: Guests,
}

impl Stage<'_> {
    /// Tells the witness of a store that from now on the store may present the certificate `der` (in DER form).
    pub(super) fn trust_also(&self, fixture: &str, certificate: &str, der: &[u8]) {
        let store = self.scene.plan.fixtures.get(fixture).and_then(|it| it.store.as_ref());
        if store.is_some_and(|it| it.certificate.as_deref() == Some(certificate)) {
            let of = self.witnesses.iter().filter(|(id, _)| id == fixture);
            of.for_each(|(_, witness)| witness.trust_also(der.to_vec()));
        }
    }

    /// Reads what the container that a fixture started outside the cluster has logged so far. Returns only the lines
    /// whose time satisfies `counts`.
    pub(super) async fn written_beside(
        &self,
        fixture: &str,
        counts: impl Fn(OffsetDateTime) -> bool,
    ) -> Result<Written, String> {
        let own = self.scene.cluster.own("read what containers beside it write").map_err(|why| why.to_string())?;
        own.written_beside((&self.scene.plan.namespace, fixture), LINES_BESIDE, counts).await
    }

    /// Reads what a node has logged so far. Returns only the lines whose time satisfies `counts`.
    pub(super) async fn written_by_node(
        &self,
        node: &str,
        counts: impl Fn(OffsetDateTime) -> bool,
    ) -> Result<Written, String> {
        let own = self.scene.cluster.own("read what its nodes write").map_err(|why| why.to_string())?;
        own.written_by_node(node, LINES_BESIDE, counts).await
    }

    /// Whether an object existed before the time `first`, at which the environment's first flow began. This is so if
    /// the set-up applied the object, or if its creation time is earlier than `first`. Creation times are in whole
    /// seconds, so an object that was created in the same second as `first` counts as newer.
    pub(super) fn had(&self, object: &DynamicObject, first: OffsetDateTime) -> bool {
        let made = object.metadata.creation_timestamp.as_ref().map(|it| it.0.as_second());
        let by_set_up = object.metadata.uid.as_ref().is_some_and(|it| self.scene.environment.made.contains(it));
        by_set_up || made.is_some_and(|at| at < first.unix_timestamp())
    }

    /// Whether the trace of a store was interrupted after `began` (a time since the Unix epoch), for example because
    /// the store ended.
    pub(super) fn a_trace_broke_since(&self, began: Duration) -> bool {
        self.witnesses.iter().any(|(_, witness)| !witness.watched_since(began))
    }

    /// Whether this environment may run another flow after the present one.
    pub(super) fn several_flows(&self) -> bool {
        self.scene.plan.variants.len() > 1 || self.context.options.standing.is_some()
    }

    /// The certificates that the scenario's first outside vantage trusts, as PEM. If there is no outside vantage, the
    /// root certificates of all authorities are returned.
    pub(super) fn outside_trust(&self) -> Vec<String> {
        let scenario = &self.scene.plan.variants[0].variant.scenario;
        if let Some(vantage) = scenario.vantages.values().find(|it| it.outside.is_some()) {
            return self.scene.view(vantage).trust;
        }
        let issuers = self.scene.environment.certificates.issuers.values();
        issuers.map(|it| it.root_pem().to_owned()).collect()
    }

    /// Whether a store without a witness gave the answer. In this case, no trace will show the answered request.
    fn is_of_an_unwatched_store(&self, answer: &Answer) -> bool {
        let unwatched = self.scene.stores().filter(|(id, _)| self.witnesses.iter().all(|(it, _)| it != id));
        let leaves = unwatched.filter_map(|(id, store)| self.scene.leaf(id, store));
        was_given_by(answer, leaves.map(|it| it.serial.as_str()))
    }

    /// Finds out from the trace of the store that answered where the request came from, and whether it came from the
    /// vantage `from`. A request that complete traces do not show did not come from `from`. Returns `None` if the
    /// traces do not show where it came from, for example because a trace was interrupted. Waits for the traces for at
    /// most `within`.
    pub(super) async fn witness(
        &self,
        variant: &VariantPlan,
        from: &str,
        answer: &Answer,
        within: Duration,
    ) -> Option<Witness> {
        let reply = answer.reply()?;
        let ReplyFacts { request_id, is_refusal_to_show: refused, .. } = reply.facts();
        let id = request_id?;
        if self.is_of_an_unwatched_store(answer) {
            return None;
        }
        let began = Duration::from_millis(answer.evidence.started_unix_ms);
        let asked =
            self.witnesses.iter().map(|(store, witness)| async move { (store.as_str(), witness.of(id, within).await) });
        let mut asked: FuturesUnordered<_> = asked.collect();
        if asked.is_empty() {
            return None;
        }
        let mut unknown = false;
        let seen = loop {
            match asked.next().await {
                Some((store, Sight::Seen(traced))) => break Some((store, traced)),
                Some((_, Sight::Unknown)) => unknown = true,
                Some((_, Sight::Missing)) => {}
                None => break None,
            }
        };
        let Some((store, traced)) = seen else {
            // The answer may come from a store without a witness. Then no trace can show the request, and its absence
            // proves nothing.
            let silent = unknown
                || self.scene.stores().any(|(id, _)| self.witnesses.iter().all(|(witnessed, _)| witnessed != id));
            // A trace may have been interrupted after the request was sent, for example by a restart of the store.
            // Then, too, the absence of the request proves nothing.
            if silent || self.witnesses.iter().any(|(_, witness)| !witness.watched_since(began)) {
                return None;
            }
            return Some(Witness {
                source: "nowhere that its trace shows".to_owned(),
                host: String::new(),
                agrees: false,
                request: None,
            });
        };
        let node = variant.pods.get(from).and_then(|pod| self.scene.plan.pods.get(pod)?.node.as_deref());
        let egress = self.scene.cluster.egress_of(node).map(|it| it.to_string());
        let outside = self.scene.address_beside(store).is_some();
        // A pod's request to a balancer outside the cluster leaves the cluster, so the store sees the node's address.
        // If kube-proxy sends the request to the store directly, the store sees the pod's address.
        let met = answer.evidence.peer.map(|it| it.ip());
        let mut fixtures = self.scene.plan.fixtures.keys();
        let through = met.is_some() && fixtures.any(|fixture| self.scene.address_beside(fixture) == met);
        let from_the_node = egress.as_ref() == Some(&traced.source);
        let attached = variant.variant.scenario.vantages.get(from).and_then(|it| it.attach.as_ref());
        let is_of_guest = match attached {
            Some(spec) => self.guests.has_address(spec, &traced.source).await,
            None => false,
        };
        let agrees = match variant.pods.get(from) {
            inside if outside => (inside.is_some() || attached.is_some()) == from_the_node,
            None if attached.is_some() => is_of_guest || through && from_the_node,
            Some(pod) => {
                let own = self.scene.environment.pods.get(pod).map(|(_, address)| address.as_str());
                own == Some(traced.source.as_str()) || through && from_the_node
            }
            None => self.inbound.has(&traced.source, &self.scene, self.applier.client()).await,
        };
        let request = refused.then_some(traced.arrived);
        Some(Witness { source: traced.source, host: traced.host, agrees, request })
    }
}

/// The state that the environments of one cluster share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The lock for environments whose flows apply cluster-scoped objects: only one such environment runs at a time.
    wide: Mutex<()>,
    /// The number of environments of the cluster that have not ended.
    open: AtomicUsize,
}

impl Shared {
    pub(super) fn of(plan: &ClusterPlan) -> Self {
        Self { wide: Mutex::new(()), open: AtomicUsize::new(plan.environments.len()) }
    }

    /// Counts an environment as ended. Returns whether it was the last environment of the cluster.
    pub(super) fn ended(&self) -> bool {
        self.open.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Sets up an environment, runs its variants one after the other, and reports how each variant ended. If the
/// environment cannot be set up, only its own variants end with an error.
pub(super) async fn run(
    context: &Context,
    applier: &Applier,
    cluster: &Access,
    plan: &EnvironmentPlan,
    provisioned: Option<Provisioned>,
    shared: &Shared,
) {
    // Other environments would see the cluster-scoped objects of a flow. Therefore environments whose flows apply such
    // objects run one after the other, including their set-up.
    let _alone = if plan.applies_wide() { Some(shared.wide.lock().await) } else { None };
    let _slot = context.environments.take(plan.priority).await;
    let setting_up = context.jobs.take(plan.priority).await;
    if context.verdicts.none_begins(&plan.variants) {
        shared.ended();
        return;
    }
    let began = Instant::now();
    let mut silent = false;
    let result = Box::pin(in_environment(context, applier, cluster, plan, provisioned, setting_up)).await;
    if let Err((first, error)) = result {
        silent = error.is_silence();
        let error = error.with_evidence(applier.client()).await;
        for variant in &plan.variants[first..] {
            context.verdicts.fail(&variant.id, &error, millis(began.elapsed()));
        }
    }
    // In a cluster of the harness that is about to be removed, the guests disappear with their containers. In any
    // other cluster, they must be removed here.
    if !cluster.is_own() || context.options.keep {
        for remains in guests::remove(context, Some(&plan.namespace)).await {
            context.sink.warn(remains);
        }
    }
    let is_last = shared.ended();
    // The namespace of a cluster's last environment is not deleted, because the cluster is removed as a whole. The
    // deletion is also not requested if the apiserver has just failed to answer. In a cluster that the harness does not
    // own, `run::theirs` removes the namespace.
    if cluster.is_own() && !context.options.keep && !silent && !is_last {
        // The deletion frees resources of the node, such as memory, for the environments that follow.
        if let Err(error) = apply::take_down(applier, &plan.namespace).await {
            context.sink.warn(error.to_string());
        }
    }
}

/// Sets up the environment and runs its variants. The error contains the index of the first variant that has no
/// verdict.
async fn in_environment(
    context: &Context,
    applier: &Applier,
    cluster: &Access,
    plan: &EnvironmentPlan,
    provisioned: Option<Provisioned>,
    setting_up: Slot,
) -> Result<(), (usize, RunError)> {
    let setup = context.sink.setup(
        format!("environment/{}", plan.namespace),
        format!("namespace {} with {} fixtures", plan.namespace, plan.fixtures.len()),
    );
    setup.progress("certificates, secrets and fixtures");
    let declared = readiness::declared(plan);
    let environment = async {
        let provisioned = match provisioned {
            Some(provisioned) => provisioned,
            None => prepare(context, plan)?,
        };
        apply::bring_up(applier, plan, provisioned, &context.options.id, &cluster.authority, &declared).await
    };
    let environment = match environment.await {
        Ok(environment) => environment,
        Err(error) => {
            setup.failed(error.failure());
            return Err((0, error.into()));
        }
    };
    let scene = Scene { plan, environment: &environment, cluster };
    if context.options.keep {
        reach::keep_authorities(context, &scene);
    }
    if !scene.environment.unready.is_empty() {
        setup.done(readiness::not_ready(&scene.environment.unready));
        readiness::judge(context, &scene, &scene.environment.unready);
        stand_unready(context, applier, &scene, &scene.environment.unready).await;
        return Ok(());
    }
    setup.progress("sessions, name service and stores");
    let stage = match stage(context, applier, scene, &declared).await {
        Ok(Ok(stage)) => stage,
        Ok(Err((scene, unready))) => {
            setup.done(readiness::not_ready(&unready));
            readiness::judge(context, &scene, &unready);
            stand_unready(context, applier, &scene, &unready).await;
            return Ok(());
        }
        Err(error) => {
            let error = error.with_evidence(applier.client()).await;
            setup.failed(error.failure());
            return Err((0, error));
        }
    };
    setup.done("ready");
    drop(setting_up);
    if readiness::came(context, &stage.scene) {
        return Ok(());
    }
    let (lives, found, fresh) = futures::future::try_join3(Lives::of(&stage), Found::of(&stage), Fresh::of(&stage))
        .await
        .map_err(|it| (0, it))?;
    if let Some(standing) = &context.options.standing {
        standing::serve(&stage, standing, (lives, &found, &fresh)).await.map_err(|it| (0, it))?;
        join_all(stage.pods.into_values().chain(stage.beside.into_values()).map(Vantage::close)).await;
        return Ok(());
    }
    let mut apart = fresh.first();
    for (number, variant) in plan.variants.iter().enumerate() {
        if context.verdicts.none_begins(&plan.variants[number..]) {
            break;
        }
        let effects = flow::run(&stage, variant, &lives, &apart).await.map_err(|error| (number, error))?;
        if number + 1 < plan.variants.len() {
            let next = async {
                found.put_back(&stage, &effects).await?;
                fresh.next(&stage).await
            };
            apart = Box::pin(next).await.map_err(|error| (number + 1, error))?;
        } else if !context.options.keep
            && let Err(error) = Box::pin(reset::wide_taken_away(&stage, &effects)).await
        {
            context.sink.warn(error.to_string());
        }
    }
    join_all(stage.pods.into_values().chain(stage.beside.into_values()).map(Vantage::close)).await;
    stage.guests.close().await;
    Ok(())
}

/// Serves the user's requests for an environment that is kept (`parallax up`) although a part of it is not ready.
/// Returns when the user ends the environment. Does nothing in a run that does not serve requests.
async fn stand_unready(context: &Context, applier: &Applier, scene: &Scene<'_>, unready: &[Unready]) {
    if let Some(standing) = &context.options.standing {
        let (reach, why) = (Reach::of_cluster(context, scene), readiness::not_ready(unready));
        let why = format!("no step can run: {why}; `parallax down`, then `parallax up` again");
        standing::serve_unready(standing, &reach, &why, (applier.client(), scene, &context.redactor)).await;
    }
}

/// Generates the certificates and credentials of an environment. Each secret is passed to the redactor before it is
/// used, so that no secret appears in the record.
pub(super) fn prepare(context: &Context, plan: &EnvironmentPlan) -> Result<Provisioned, ApplyError> {
    let redact = |secret: &Secret| context.redactor.register(secret);
    apply::prepare(plan, inputs::read(&context.options, plan)?, context.start, &redact)
}

/// Opens the vantages, and waits until the stores are ready and each vantage pod reaches them. If a store does not
/// become ready, returns the scene and the entries of the fixtures' `ready` sections that were not met.
async fn stage<'a>(
    context: &'a Context,
    applier: &'a Applier,
    scene: Scene<'a>,
    declared: &Declared<'_>,
) -> Result<Result<Stage<'a>, (Scene<'a>, Vec<Unready>)>, RunError> {
    let sessions = scene.environment.pods.iter().map(|(vantage, (pod, _))| async {
        let client = applier.client().clone();
        // The future is boxed, so that the buffers of the streams do not enlarge every future that awaits it.
        let session =
            Box::pin(PodSession::open(client, &scene.plan.namespace, pod, Some(AGENT_CONTAINER), &AGENT_SESSION))
                .await?;
        let session = Vantage::Pod(session);
        name_service::answers(&scene, pod, &session).await?;
        Ok::<_, RunError>((vantage.clone(), session))
    });
    let beside = scene.plan.outside.iter().map(|image| async {
        let own = scene.cluster.own("ask from a container beside it")?;
        Ok::<_, RunError>((image.clone(), own.vantage(image).await?))
    });
    let stores: Vec<store::Wanted<'_>> =
        scene.plan.fixtures.iter().flat_map(|(fixture, it)| wanted(fixture, it)).collect();
    let awaited = |fixture: &str| stores.iter().any(|it| it.fixture == fixture);
    for (fixture, _) in scene.stores().filter(|(fixture, it)| it.prefix.is_none() && !awaited(fixture)) {
        let namespace = &scene.plan.namespace;
        context
            .sink
            .note(format!("store {fixture} in namespace {namespace} declares no readiness: the run does not wait for it, and no trace confirms who sends it requests"));
    }
    let ready = async {
        let unready = stores_unready(applier, &scene, &stores, declared).await?;
        let witnesses = if unready.is_empty() { witnesses(&scene, &stores).await? } else { Vec::new() };
        Ok((witnesses, unready))
    };
    let (pods, beside, (witnesses, unready)) =
        futures::future::try_join3(try_join_all(sessions), try_join_all(beside), ready).await?;
    let pods: BTreeMap<String, Vantage> = pods.into_iter().collect();
    let beside: BTreeMap<String, Vantage> = beside.into_iter().collect();
    if !unready.is_empty() {
        join_all(pods.into_values().chain(beside.into_values()).map(Vantage::close)).await;
        return Ok(Err((scene, unready)));
    }
    // An existing namespace, unlike a new one, may have had Services of the same names before. The cluster's name
    // service may still have their addresses in its cache, so the run waits until the name service gives the new
    // addresses.
    if let Some(visit) = applier.visit().filter(|it| it.namespace.is_some()) {
        name_service::is_current(&scene, applier.client(), &visit.run, &pods).await?;
    }
    existing::begin(context, &scene).await?;
    let unreached = reached::by(context, &scene, applier.client(), &pods).await?;
    let inbound = Inbound::default();
    let outside = match context.options.programs {
        Programs::Apart => Vantage::Apart,
        Programs::Unconfined => Vantage::Outside,
    };
    let guests = Guests::default();
    Ok(Ok(Stage { context, scene, applier, outside, pods, beside, witnesses, unreached, inbound, guests }))
}

/// Returns what to wait for: the fixture's store, once for each entry of its `ready` section that waits for the store.
fn wanted<'a>(fixture: &'a str, it: &'a Contributions) -> impl Iterator<Item = store::Wanted<'a>> {
    let ready = it.ready.iter().filter(|ready| ready.when == ReadyWhen::Store);
    ready.filter_map(move |ready| it.store.as_ref().map(|store| store::Wanted { fixture, store, ready }))
}

/// Waits concurrently for all stores, until it is known which entries of the `ready` sections are met. The wait ends
/// earlier if an entry fails and no break declares this failure, or if all declared failures were seen
/// ([`Declared::settled`]). Returns the entries that were not met.
async fn stores_unready(
    applier: &Applier,
    scene: &Scene<'_>,
    stores: &[store::Wanted<'_>],
    declared: &Declared<'_>,
) -> Result<Vec<Unready>, RunError> {
    let waits =
        stores.iter().map(|it| store::ready(scene, applier.client(), it, declared.of(&it.ready.id(it.fixture))));
    let mut waits: FuturesUnordered<_> = waits.collect();
    let mut unready = Vec::new();
    while let Some(ended) = waits.next().await {
        unready.extend(ended?);
        if declared.settled(&unready) {
            break;
        }
    }
    Ok(unready)
}

/// Opens the trace of each store that has a witness. Each witness in the result comes with the id of the store's
/// fixture.
async fn witnesses(scene: &Scene<'_>, stores: &[store::Wanted<'_>]) -> Result<Vec<(String, StoreWitness)>, RunError> {
    let opened = try_join_all(stores.iter().map(|it| async {
        let (id, wanted) = (it.fixture, it.store);
        let failed = |why| store::failed(&scene.plan.namespace, id, "its trace cannot be followed", why);
        if wanted.witness == WitnessKind::None {
            return Ok(None);
        }
        let access = scene.access(id, wanted).map_err(|why| failed(why.into()))?;
        let view = scene.pinned(id, wanted);
        // The store opens its trace only when it has something to show: a request, or a keep-alive. The harness sends a
        // request, because the wait for a keep-alive would take longer.
        let opening = StoreWitness::open(wanted.witness, view, &access);
        let (opened, ()) = tokio::join!(opening, store::nudge(scene, id, wanted));
        Ok::<_, RunError>(opened.map_err(|cause| failed(cause.into()))?.map(|witness| (id.to_owned(), witness)))
    }))
    .await?;
    Ok(opened.into_iter().flatten().collect())
}
