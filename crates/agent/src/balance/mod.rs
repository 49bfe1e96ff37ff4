//! `balance`: gives a Service of type `LoadBalancer` its balancer, as a cloud's controller does. It watches the
//! Services and Secrets of its namespace, and configures an HAProxy outside the cluster through HAProxy's runtime API.
//!
//! Annotations of the Service name the ports at which TLS ends, and the Secret with the certificate. A Secret that
//! cannot be served is not published: an event of the Service gives the reason, and the earlier certificate stays in
//! use. When the controller starts, it closes all ports, because it does not know which process opened them.

mod certificate;
mod haproxy;
mod wanted;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{hold, log_error};
use haproxy::Haproxy;
use wanted::Wanted;

/// The pause after a failure of HAProxy or the apiserver. No event of the cluster reports that they answer again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The time limit for resolving the balancer's name.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// The arguments of the controller.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The namespace whose Services it serves
    #[arg(long)]
    namespace: String,
    /// HAProxy's runtime API, `name:port`; the address of the name is the balancer's address
    #[arg(long)]
    haproxy: String,
    /// The ports that HAProxy listens on
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
    /// The address of a node, at which HAProxy reaches the node ports
    #[arg(long)]
    node: IpAddr,
    /// The annotations that list the ports at which TLS ends; the first that a Service has counts
    #[arg(long, value_delimiter = ',', required = true)]
    ports_annotations: Vec<String>,
    /// The annotations that name the Secret with the certificate, in the same order
    #[arg(long, value_delimiter = ',', required = true)]
    secret_annotations: Vec<String>,
    /// When a certificate counts as changed
    #[arg(long, value_enum)]
    reload: Reload,
    /// How a changed certificate replaces the one that is served
    #[arg(long, value_enum)]
    replace: Replace,
    /// How long a listener is away while it is replaced, in milliseconds
    #[arg(long, default_value_t = 0)]
    replace_takes_ms: u64,
    /// The `ipMode` of the Service's status
    #[arg(long)]
    ip_mode: String,
    /// The port that accepts connections once the controller works
    #[arg(long, default_value_t = 8080)]
    ready_port: u16,
}

/// When a certificate counts as changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Reload {
    /// When the content of the Secret is another.
    ByContent,
    /// When the annotation names another Secret.
    ByName,
}

/// How a changed certificate replaces the one that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Replace {
    /// The listener stays and gets the new certificate.
    InPlace,
    /// The listener is removed, and a new one is made.
    NewListener,
}

/// A Secret that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    name: String,
    pem: String,
}

impl Reload {
    /// Whether `wanted` counts as a different certificate from `served`.
    fn differs(self, served: Option<&Served>, wanted: &Served) -> bool {
        served.is_none_or(|served| match self {
            Self::ByContent => served.pem != wanted.pem,
            Self::ByName => served.name != wanted.name,
        })
    }
}

/// Runs the controller until the process gets a signal to stop.
pub(crate) async fn serve(arguments: &Arguments) -> Result<()> {
    // Installs the only TLS provider of the build. kube uses the default provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::try_default().await.context("failed to find the apiserver")?;
    let (host, port) = arguments.haproxy.rsplit_once(':').context("--haproxy is not name:port")?;
    let port = port.parse().context("--haproxy is not name:port")?;
    let (haproxy, address) = tokio::select! {
        reached = reach(host, port, &arguments.ports) => reached,
        stopped = hold::until_signal() => return stopped,
    };
    // The kubelet's probe only checks whether this port accepts connections. The operating system accepts them itself.
    let ready = TcpListener::bind((Ipv4Addr::UNSPECIFIED, arguments.ready_port)).await;
    let _ready = ready.with_context(|| format!("failed to listen at port {}", arguments.ready_port))?;
    let controller = Controller {
        services: Api::namespaced(client.clone(), &arguments.namespace),
        secrets: Api::namespaced(client.clone(), &arguments.namespace),
        recorder: Recorder::new(client, Reporter::from("load-balancer")),
        arguments,
        haproxy,
        address,
    };
    tokio::select! {
        () = controller.run() => Ok(()),
        stopped = hold::until_signal() => stopped,
    }
}

/// Waits until HAProxy can be reached, and resets it. Returns HAProxy and its address. The cluster's DNS may start
/// after this process. If this process ended because of that, Kubernetes would restart it with growing pauses.
async fn reach(host: &str, port: u16, ports: &[u16]) -> (Haproxy, IpAddr) {
    loop {
        let reached = async {
            let addresses = parallax_probe::resolve(host, RESOLVE_LIMIT).await;
            let addresses = addresses.map_err(|cause| anyhow::anyhow!("failed to resolve {host}: {cause}"))?;
            let address = *addresses.first().with_context(|| format!("{host} has no address"))?;
            let haproxy = Haproxy::at(address, port);
            haproxy.reset(ports).await?;
            Ok::<_, anyhow::Error>((haproxy, address))
        };
        match reached.await {
            Ok(reached) => return reached,
            Err(why) => log_error(&format!("{why:#}")),
        }
        // No event reports that the name server or HAProxy answers, so the code polls.
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

struct Controller<'a> {
    services: Api<Service>,
    secrets: Api<Secret>,
    recorder: Recorder,
    arguments: &'a Arguments,
    haproxy: Haproxy,
    address: IpAddr,
}

/// The work that the controller has done. The remaining work follows from it.
#[derive(Default)]
struct Done {
    /// The UID of the Service that has the balancer.
    owner: Option<String>,
    served: Option<Served>,
    open: Vec<wanted::Port>,
    /// The last event of each Service, by the Service's UID. It prevents a repetition of the same event.
    said: BTreeMap<String, String>,
}

/// The ports that a Service requests, and the certificate for them.
struct Order {
    ports: Vec<wanted::Port>,
    certificate: Option<Served>,
}

impl Controller<'_> {
    /// Adjusts the balancer after each change of a Service or a Secret.
    async fn run(&self) {
        let mut done = Done::default();
        let mut changes = std::pin::pin!(stream::select(changes(&self.services), changes(&self.secrets)));
        let mut again = false;
        loop {
            tokio::select! {
                change = changes.next() => if change.is_none() { return },
                // No event reports that HAProxy or the apiserver answers again, so the code polls.
                () = tokio::time::sleep(AGAIN_AFTER), if again => {}
            }
            again = self.adjust(&mut done).await.inspect_err(|why| log_error(&format!("{why:#}"))).is_err();
        }
    }

    async fn adjust(&self, done: &mut Done) -> Result<()> {
        let listed = self.services.list(&ListParams::default()).await.context("failed to list Services")?;
        let type_of = |it: &Service| it.spec.as_ref().and_then(|it| it.type_.clone());
        let mut balanced: Vec<Service> =
            listed.items.into_iter().filter(|it| type_of(it).as_deref() == Some("LoadBalancer")).collect();
        // A balancer has only one Service. The oldest Service gets it.
        balanced.sort_by_key(|it| (it.metadata.creation_timestamp.clone(), it.metadata.name.clone()));
        let is_there = |uid: &String| balanced.iter().any(|it| it.metadata.uid.as_ref() == Some(uid));
        if done.owner.as_ref().is_some_and(|uid| !is_there(uid)) {
            self.withdraw(done).await?;
        }
        for service in &balanced {
            let uid = service.metadata.uid.clone().unwrap_or_default();
            let ensured = match self.order(service).await? {
                Err(why) => Err(why),
                Ok(_) if done.owner.as_ref().is_some_and(|owner| *owner != uid) => {
                    Err("the balancer belongs to another Service".to_owned())
                }
                Ok(order) => {
                    done.owner = Some(uid.clone());
                    self.carry_out(service, order, done).await?;
                    Ok(())
                }
            };
            self.say(service, &uid, ensured, done).await?;
        }
        Ok(())
    }

    /// The order of a Service. The inner error says what is wrong with the Service.
    async fn order(&self, service: &Service) -> Result<Result<Order, String>> {
        let annotations =
            wanted::spelling(service, &self.arguments.ports_annotations, &self.arguments.secret_annotations);
        let Wanted { ports, secret } = match Wanted::of(service, annotations, &self.arguments.ports) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Err(why)),
        };
        let Some(name) = secret else { return Ok(Ok(Order { ports, certificate: None })) };
        let found = self.secrets.get_opt(&name).await.with_context(|| format!("failed to get Secret {name}"))?;
        let Some(found) = found else { return Ok(Err(format!("secrets \"{name}\" not found"))) };
        let checked = certificate::pem(&found).map_err(|why| format!("secret \"{name}\": {why}"));
        Ok(checked.map(|pem| Order { ports, certificate: Some(Served { name, pem }) }))
    }

    /// Makes the balancer execute the order of a Service.
    async fn carry_out(&self, service: &Service, order: Order, done: &mut Done) -> Result<()> {
        if let Some(wanted) = &order.certificate
            && self.arguments.reload.differs(done.served.as_ref(), wanted)
        {
            if done.served.is_some() && self.arguments.replace == Replace::NewListener {
                self.away(done, Duration::from_millis(self.arguments.replace_takes_ms)).await?;
            }
            self.haproxy.certificate(&wanted.pem, done.served.is_none()).await?;
            done.served = order.certificate;
        }
        if done.open != order.ports {
            for port in done.open.iter().filter(|it| !order.ports.contains(it)) {
                self.haproxy.close(port.number).await?;
            }
            for port in &order.ports {
                self.haproxy.backend(port, self.arguments.node).await?;
                self.haproxy.tls(port).await?;
            }
            done.open = order.ports;
        }
        for port in &done.open {
            self.haproxy.open(port.number).await?;
        }
        self.pause(service, done).await?;
        self.status(service).await
    }

    /// If the Service requests a pause, closes all open ports for that time, and writes the measured length of the
    /// pause into the Service. The length is not exact, because HAProxy and this process need time. Therefore this
    /// process measures it with a clock that is independent of the clients.
    async fn pause(&self, service: &Service, done: &Done) -> Result<()> {
        let Some(text) = wanted::pause_ms(service) else { return Ok(()) };
        let asked_ms =
            text.parse().with_context(|| format!("{} is not a number: {text}", wanted::PAUSE_MS_ANNOTATION))?;
        let closed = self.away(done, Duration::from_millis(asked_ms)).await?;
        for port in &done.open {
            self.haproxy.open(port.number).await?;
        }
        let paused_ms = closed.elapsed().as_millis().to_string();
        let written = json!({ "metadata": { "annotations": {
            wanted::PAUSE_ANNOTATION: wanted::PAUSE_OVER, wanted::PAUSED_MS_ANNOTATION: paused_ms,
        } } });
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let written = self.services.patch(name, &PatchParams::default(), &Patch::Merge(&written)).await;
        written.map(drop).with_context(|| format!("failed to write how long Service {name} was paused"))
    }

    /// Closes all open ports. After `how_long`, returns the time from which the ports were closed.
    async fn away(&self, done: &Done, how_long: Duration) -> Result<Instant> {
        for port in &done.open {
            self.haproxy.close(port.number).await?;
        }
        let closed = Instant::now();
        // The pause itself is the purpose, so a sleep is correct here.
        tokio::time::sleep(how_long).await;
        Ok(closed)
    }

    /// Removes the balancer's state for a Service that is gone.
    async fn withdraw(&self, done: &mut Done) -> Result<()> {
        for port in &done.open {
            self.haproxy.close(port.number).await?;
        }
        if done.served.is_some() {
            self.haproxy.no_certificate().await?;
        }
        *done = Done::default();
        Ok(())
    }

    /// Writes the balancer's address into the Service's status.
    async fn status(&self, service: &Service) -> Result<()> {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let status = json!({ "status": { "loadBalancer": { "ingress": [
            { "ip": self.address.to_string(), "ipMode": self.arguments.ip_mode },
        ] } } });
        let written = service.status.as_ref().and_then(|it| it.load_balancer.as_ref());
        let written = written.and_then(|it| it.ingress.as_ref()).and_then(|it| it.first());
        if written.is_some_and(|it| it.ip.as_deref() == Some(&self.address.to_string())) {
            return Ok(());
        }
        let done = self.services.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await;
        done.map(drop).with_context(|| format!("failed to write the status of Service {name}"))
    }

    /// Records an event of the Service, in the words of Kubernetes' own service controller. If it equals the last
    /// event, it is not recorded again.
    async fn say(&self, service: &Service, uid: &str, ensured: Result<(), String>, done: &mut Done) -> Result<()> {
        let (reason, type_, note) = match ensured {
            Ok(()) => ("EnsuredLoadBalancer", EventType::Normal, "Ensured load balancer".to_owned()),
            Err(why) => {
                let note = format!("Error syncing load balancer: failed to ensure load balancer: {why}");
                ("SyncLoadBalancerFailed", EventType::Warning, note)
            }
        };
        if done.said.get(uid) == Some(&note) {
            return Ok(());
        }
        self.publish(service, (reason, type_, &note)).await?;
        done.said.insert(uid.to_owned(), note);
        Ok(())
    }

    async fn publish(&self, service: &Service, (reason, type_, note): (&str, EventType, &str)) -> Result<()> {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.to_owned()),
            action: "EnsureLoadBalancer".to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, &service.object_ref(&())).await.context("failed to record an event")
    }
}

/// A stream with one item for each change of an object of this kind, and for each new attempt of the watch.
fn changes<K>(api: &Api<K>) -> impl Stream<Item = ()> + use<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api.clone(), watcher::Config::default()).default_backoff().map(|event| {
        if let Err(why) = event {
            log_error(&format!("a watch ended: {why}"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_new_by_its_content_or_by_its_name() {
        let served = |name: &str, pem: &str| Served { name: name.to_owned(), pem: pem.to_owned() };
        let first = served("one", "1");
        for (wanted, by_content, by_name) in
            [(served("one", "1"), false, false), (served("one", "2"), true, false), (served("two", "1"), false, true)]
        {
            assert_eq!(Reload::ByContent.differs(Some(&first), &wanted), by_content, "{wanted:?}");
            assert_eq!(Reload::ByName.differs(Some(&first), &wanted), by_name, "{wanted:?}");
        }
        assert!(Reload::ByContent.differs(None, &first) && Reload::ByName.differs(None, &first));
    }
}
