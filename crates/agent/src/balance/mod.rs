//! `balance`: implements Services of type `LoadBalancer`, as a cloud's controller does. It watches the Services and
//! Secrets of one namespace, and configures an HAProxy outside the cluster through HAProxy's runtime API.
//!
//! The annotations of a Service contain the ports at which TLS ends, and the name of the Secret with the certificate.
//! If HAProxy could not serve the certificate of the Secret, the earlier certificate stays in use, and an event of the
//! Service gives the reason. When the controller starts, it closes all ports, because an earlier controller may have
//! opened them.

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

/// The pause before the next attempt after HAProxy or the apiserver failed. Neither of them reports when it works
/// again, so the controller tries again after each pause.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The time limit for resolving HAProxy's host name.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// The command-line arguments of the controller.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The namespace whose Services of type LoadBalancer this controller serves
    #[arg(long)]
    namespace: String,
    /// The address of HAProxy's runtime API, as `name:port`. The IP address of this name becomes the external address
    /// of the Service
    #[arg(long)]
    haproxy: String,
    /// The ports that HAProxy can listen on, separated by commas; a Service may use only these
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
    /// The IP address of a node; HAProxy connects to the node ports of the Services at this address
    #[arg(long)]
    node: IpAddr,
    /// The names of the annotations that list the ports at which TLS ends, separated by commas. Clouds use different
    /// names; the first one that the Service has is used
    #[arg(long, value_delimiter = ',', required = true)]
    ports_annotations: Vec<String>,
    /// The names of the annotations that contain the name of the certificate's Secret, separated by commas, in the same
    /// order as --ports-annotations
    #[arg(long, value_delimiter = ',', required = true)]
    secret_annotations: Vec<String>,
    /// What makes a certificate count as changed: the content of its Secret, or the Secret's name
    #[arg(long, value_enum)]
    reload: Reload,
    /// How a changed certificate replaces the served one: on the open port, or by closing and opening the port
    #[arg(long, value_enum)]
    replace: Replace,
    /// With `--replace new-listener`: the time for which the port is closed, in milliseconds
    #[arg(long, default_value_t = 0)]
    replace_takes_ms: u64,
    /// The `ipMode` that the controller writes into the status of the Service: VIP or Proxy
    #[arg(long)]
    ip_mode: String,
    /// The port that accepts connections once the controller works, for the kubelet's readiness probe
    #[arg(long, default_value_t = 8080)]
    ready_port: u16,
}

/// When a certificate counts as changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Reload {
    /// The certificate counts as changed if the content of its Secret changes
    ByContent,
    /// The certificate counts as changed only if the annotation contains the name of another Secret
    ByName,
}

/// How a changed certificate replaces the one that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Replace {
    /// The port stays open, and HAProxy gets the new certificate
    InPlace,
    /// The port is closed for a time, and opened again with the new certificate
    NewListener,
}

/// The certificate that HAProxy serves: the name of its Secret, and the PEM text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    name: String,
    pem: String,
}

impl Reload {
    /// Whether the `wanted` certificate counts as changed, compared with the `served` one. The first certificate always
    /// counts as changed.
    fn differs(self, served: Option<&Served>, wanted: &Served) -> bool {
        served.is_none_or(|served| match self {
            Self::ByContent => served.pem != wanted.pem,
            Self::ByName => served.name != wanted.name,
        })
    }
}

/// Runs the controller until the process gets a signal to stop.
pub(crate) async fn serve(arguments: &Arguments) -> Result<()> {
    // The crate `kube` uses the TLS provider of the process, so a provider must be installed first. The build
    // contains only aws-lc-rs.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::try_default().await.context("failed to find the apiserver")?;
    let (host, port) = arguments.haproxy.rsplit_once(':').context("--haproxy is not name:port")?;
    let port = port.parse().context("--haproxy is not name:port")?;
    let (haproxy, address) = tokio::select! {
        reached = reach(host, port, &arguments.ports) => reached,
        stopped = hold::until_signal() => return stopped,
    };
    let ready = TcpListener::bind((Ipv4Addr::UNSPECIFIED, arguments.ready_port)).await;
    let ready = ready.with_context(|| format!("failed to listen at port {}", arguments.ready_port))?;
    let controller = Controller {
        services: Api::namespaced(client.clone(), &arguments.namespace),
        secrets: Api::namespaced(client.clone(), &arguments.namespace),
        client,
        arguments,
        haproxy,
        address,
    };
    tokio::select! {
        () = controller.run() => Ok(()),
        () = answer_probes(&ready) => Ok(()),
        stopped = hold::until_signal() => stopped,
    }
}

/// Accepts and closes each connection of the kubelet's readiness probe. Without this, the queue of the listener is full
/// after 129 probes, and the pod is not ready any more although the controller works.
async fn answer_probes(listener: &TcpListener) {
    loop {
        if let Err(why) = listener.accept().await {
            log_error(&format!("the readiness probe's connection was not accepted: {why}"));
            // After an error such as a lack of file descriptors, no event reports that `accept` works again.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Waits until HAProxy can be reached, and resets it. Returns HAProxy and its IP address. The wait is needed because
/// the cluster's DNS may start after this process. If this process ended with an error instead of waiting, Kubernetes
/// would restart it with growing pauses.
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
        // No event reports that the cluster's DNS or HAProxy can be reached, so the code polls.
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

struct Controller<'a> {
    services: Api<Service>,
    secrets: Api<Secret>,
    client: Client,
    arguments: &'a Arguments,
    haproxy: Haproxy,
    address: IpAddr,
}

/// What the controller has already set up in HAProxy. The work that remains is the difference between this state and
/// the wanted state.
#[derive(Default)]
struct Done {
    /// The UID of the Service that uses HAProxy. `None` if there is no such Service.
    owner: Option<String>,
    served: Option<Served>,
    open: Vec<wanted::Port>,
    /// The text of the last Kubernetes event about each Service, by the Service's UID. The controller does not
    /// publish the same text twice in a row.
    said: BTreeMap<String, String>,
}

/// What HAProxy must do for a Service: the ports to open, and the certificate.
struct Order {
    ports: Vec<wanted::Port>,
    certificate: Option<Served>,
}

impl Controller<'_> {
    /// Runs until the process ends: adjusts HAProxy after each change of a Service or a Secret.
    async fn run(&self) {
        let mut done = Done::default();
        let mut changes = std::pin::pin!(stream::select(changes(&self.services), changes(&self.secrets)));
        let mut again = false;
        loop {
            tokio::select! {
                change = changes.next() => if change.is_none() { return },
                // No event reports that HAProxy or the apiserver works again after a failure, so the code polls.
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
        // HAProxy serves only one Service. If there are several Services, the oldest one gets HAProxy.
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

    /// Computes what HAProxy must do for a Service. The outer error is a failure of the apiserver. The inner error says
    /// what is wrong with the Service or its Secret.
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

    /// Brings HAProxy from the state in `done` to the state in `order`: its ports, its backends and its certificate.
    /// Then carries out a requested pause, and writes HAProxy's address into the status of the Service.
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

    /// Carries out the pause that a Service requests in its annotations: closes all open ports for the requested
    /// time. Afterwards the measured length of the pause is written into the Service's annotations. The measured
    /// length is more than the requested length, because HAProxy needs time to open the ports.
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

    /// Closes all open ports, and waits for the time `how_long`. Returns the moment at which the last port was
    /// closed. The caller must open the ports again.
    async fn away(&self, done: &Done, how_long: Duration) -> Result<Instant> {
        for port in &done.open {
            self.haproxy.close(port.number).await?;
        }
        let closed = Instant::now();
        // A plain sleep is correct here: the ports must stay closed for exactly this time, and there is no event to
        // wait for.
        tokio::time::sleep(how_long).await;
        Ok(closed)
    }

    /// Closes the ports and removes the certificate of a Service that no longer exists.
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

    /// Writes HAProxy's IP address into the status of the Service, where clients look for it.
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

    /// Publishes a Kubernetes event about the Service, with the texts of Kubernetes' own service controller. If the
    /// text equals that of the Service's last event, nothing is published.
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
        publish(&self.client, service, (reason, type_, &note)).await?;
        done.said.insert(uid.to_owned(), note);
        Ok(())
    }
}

/// Publishes a Kubernetes event about a Service.
async fn publish(client: &Client, service: &Service, (reason, type_, note): (&str, EventType, &str)) -> Result<()> {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note.to_owned()),
        action: "EnsureLoadBalancer".to_owned(),
        secondary: None,
    };
    // kube's recorder combines events that differ only in their text, and keeps the first text. A second error would
    // then be shown with the text of the first error. Kubernetes' own service controller publishes a separate event
    // for each text. To do the same, this function makes a new recorder for each event.
    let recorder = Recorder::new(client.clone(), Reporter::from("load-balancer"));
    recorder.publish(&event, &service.object_ref(&())).await.context("failed to record an event")
}

/// A stream with one item for each change of an object of the type `K`. An error of the watch also gives an item, and
/// the watch starts again.
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
    use std::sync::{Arc, Mutex};

    use kube::Config;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_second_fault_is_an_event_of_its_own() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        // The test starts a server in place of the apiserver. The server records the method of each request.
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = vec![0; 16 * 1024];
                let length = stream.read(&mut request).await.expect("a request");
                let line = String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned();
                seen.lock().expect("no panic").push(line.split(' ').next().unwrap_or_default().to_owned());
                let body =
                    r#"{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"s3.1"},"eventTime":null}"#;
                let head = format!(
                    "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await.expect("an answer");
            }
        });
        let config = Config::new(format!("http://{at}").parse().expect("a URL"));
        let client = Client::try_from(config).expect("a client");
        let mut service = Service::default();
        service.metadata.name = Some("s3".to_owned());
        service.metadata.namespace = Some("foo".to_owned());
        for note in ["secrets \"nowhere\" not found", "its type is Opaque"] {
            publish(&client, &service, ("SyncLoadBalancerFailed", EventType::Warning, note)).await.expect("published");
        }
        server.abort();
        assert_eq!(*asked.lock().expect("no panic"), ["POST", "POST"]);
    }

    #[tokio::test]
    async fn the_readiness_port_answers_more_probes_than_its_queue_holds() {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(1).expect("a listener");
        let at = listener.local_addr().expect("an address");
        let probes = async {
            for _ in 0..20 {
                let mut probe = tokio::net::TcpStream::connect(at).await.expect("a connection");
                assert_eq!(probe.read(&mut [0]).await.expect("the end"), 0);
            }
        };
        tokio::select! {
            () = answer_probes(&listener) => unreachable!("it does not end"),
            () = probes => {}
        }
    }

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
