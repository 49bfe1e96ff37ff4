//! Asks the questions of `parallax check` from this process and from a pod, and removes the pod and the objects that
//! the check created.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client};
use parallax_vocab::answer::TemporaryCredentials;
use parallax_vocab::question::{
    DnsQuestion, HttpQuestion, Probe, Question, S3Access, S3Operation, S3Question, TlsQuestion, View,
};
use parallax_vocab::settings::Settings;
use parallax_vocab::{Reply, Secret};
use tokio_util::sync::CancellationToken;

use super::resolver;
use super::rows::{self, Asked, At, Cell, Row, State, side};
use super::wanted::Wanted;
use crate::apply::{Attached, Guest, Placing};
use crate::cluster::Access;
use crate::probe::{AGENT_SESSION, PodSession, Vantage};
use parallax_record::Noted as _;

/// The time limit of one question, in milliseconds.
const QUESTION_MS: u64 = 8_000;
/// The additional time for a question that sends a large body, in milliseconds for each MiB of the body.
const MS_PER_MIB: u64 = 500;

/// The result of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// The rows of the check's table, one for each question.
    pub rows: Vec<Row>,
    /// The reason why no question was asked inside the cluster. `None` if questions were asked there.
    pub no_inside: Option<String>,
    /// One sentence for each object, pod or file that could not be removed. The sentence says what the user can do
    /// about it.
    pub remains: Vec<String>,
    /// Secret texts that the output must not contain.
    pub secrets: Vec<Secret>,
    /// Whether the user cancelled the check before all questions were asked.
    pub cancelled: bool,
}

/// The place inside the cluster from which questions are asked.
#[derive(Clone, Debug)]
pub enum Inside {
    /// A pod that the check creates.
    Guest(Guest),
    /// A container of the user's application, in which the check places the agent.
    Attached(Attached),
}

impl Inside {
    /// The namespace of the pod from which questions are asked.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Guest(guest) => &guest.namespace,
            Self::Attached(attached) => &attached.namespace,
        }
    }
}

/// What the check has placed inside the cluster and has to remove: a pod of its own, or the agent in an application's
/// pod.
enum Placement<'a> {
    Guest {
        guest: &'a Guest,
        client: &'a Client,
        /// Whether the pod may exist in the cluster. If so, it must be removed.
        may_be_there: bool,
    },
    Attached(Box<Placing>),
}

impl<'a> Placement<'a> {
    fn new(access: &'a Access, inside: &'a Inside) -> Self {
        let client = &access.client;
        match inside {
            Inside::Guest(guest) => Self::Guest { guest, client, may_be_there: true },
            Inside::Attached(attached) => Self::Attached(Box::new(Placing::new(attached.clone(), client.clone()))),
        }
    }

    /// Places the agent and opens a session with it. In an application's container, also reads the application's own
    /// settings.
    async fn begin(&mut self, announce: &(dyn Fn(&str) + Sync)) -> Result<Begun, String> {
        match self {
            Self::Guest { guest, client, may_be_there } => {
                if let Err(refused) = guest.make(client).await {
                    *may_be_there = !refused.nothing_made;
                    return Err(refused.why);
                }
                let session =
                    PodSession::open((*client).clone(), &guest.namespace, &guest.name, Some("agent"), &AGENT_SESSION);
                Ok((Vantage::Pod(session.await.map_err(|error| error.to_string())?), None))
            }
            Self::Attached(placing) => {
                let (session, own) = placing.begin(announce).await?;
                Ok((Vantage::Pod(session), Some(own)))
            }
        }
    }

    /// Removes the pod or the agent that the check placed. Returns a sentence for each part that remains.
    async fn remove(&self) -> Vec<String> {
        match self {
            Self::Guest { may_be_there: false, .. } => Vec::new(),
            Self::Guest { guest, client, .. } => guest.remove(client).await.err().into_iter().collect(),
            Self::Attached(placing) => placing.remove().await,
        }
    }
}

/// An open vantage inside the cluster. If it is in an application's container, the second part is the application's own
/// settings, or the reason why they could not be read.
type Begun = (Vantage, Option<Result<Settings, String>>);

/// Asks the questions from this process and, if the agent can be placed, from inside the cluster. Before the function
/// returns, it removes the agent and the objects that the check wrote, even if `cancel` is cancelled. Before an
/// ephemeral container is created, `announce` is called. The caller announces all other changes.
pub async fn check(
    wanted: &Wanted,
    place: Result<(&Access, &Inside), String>,
    announce: &(dyn Fn(&str) + Sync),
    cancel: &CancellationToken,
) -> Checked {
    let mut checked = Checked { secrets: wanted.secrets(), ..Checked::default() };
    let (mut inside, mut own, mut services) = (None, None, BTreeMap::new());
    let mut placement = None;
    match &place {
        Err(why) => checked.no_inside = Some(why.clone()),
        Ok((access, at)) => {
            let placement = placement.insert(Placement::new(access, at));
            tokio::select! {
                begun = placement.begin(announce) => match begun {
                    Ok((vantage, settings)) => (inside, own) = (Some(vantage), settings),
                    Err(why) => checked.no_inside = Some(why),
                },
                () = cancel.cancelled() => checked.cancelled = true,
            }
            if inside.is_some() {
                services = services_of(access, at.namespace()).await;
            }
        }
    }
    if !checked.cancelled {
        let namespace = place.as_ref().map(|(_, at)| at.namespace().to_owned()).unwrap_or_default();
        let inside = inside.as_ref();
        let mut asking =
            Asking { wanted, inside, own, namespace, services, gained: None, writes: AtomicBool::default() };
        tokio::select! {
            rows = asking.rows() => checked.rows = rows,
            () = cancel.cancelled() => checked.cancelled = true,
        }
        checked.remains.extend(asking.remove_objects(&checked.rows).await);
        checked.secrets.extend(asking.gained.into_iter().flat_map(|it| [it.secret_key, it.session_token]));
    }
    if let Some(session) = inside {
        session.close().await;
    }
    if let Some(placement) = placement {
        checked.remains.extend(placement.remove().await);
    }
    checked
}

/// Returns the names of the namespace's Services, by the cluster IP of each Service. The map is empty if the user has
/// no right to list Services.
async fn services_of(access: &Access, namespace: &str) -> BTreeMap<String, String> {
    let services: Api<Service> = Api::namespaced(access.client.clone(), namespace);
    let listed = services.list(&ListParams::default()).await.noted("list the Services of the namespace");
    let all = listed.map(|it| it.items).unwrap_or_default().into_iter();
    all.filter_map(|it| Some((it.spec?.cluster_ip?, it.metadata.name?))).collect()
}

pub(super) struct Asking<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) inside: Option<&'a Vantage>,
    /// The settings of the application in whose container the agent is: how its programs resolve names, and which
    /// certificates they trust. The error is the reason why they are not known. `None` if the agent is in a pod that
    /// the check created.
    pub(super) own: Option<Result<Settings, String>>,
    /// The namespace of the pod from which questions are asked, or an empty text if there is no cluster.
    pub(super) namespace: String,
    /// The names of the namespace's Services, by their cluster IP.
    pub(super) services: BTreeMap<String, String>,
    /// The temporary credentials that the store gave in exchange for the pod's token. `None` if the token was not
    /// exchanged.
    pub(super) gained: Option<TemporaryCredentials>,
    /// Whether a presigned URL that writes an object was used. If so, there may be objects to remove.
    pub(super) writes: AtomicBool,
}

/// The results of one question, inside and outside the cluster. Each result is the cell of the check's table, and the
/// question with its answer. If the question was not asked on a side, only the cell exists.
pub(super) struct Both {
    pub(super) inside: (Cell, Option<Asked>),
    pub(super) outside: (Cell, Option<Asked>),
}

impl Both {
    pub(super) fn row(&self, name: &'static str) -> Row {
        Row::of(name, self.inside.0.clone(), self.outside.0.clone())
    }

    pub(super) fn passes(&self) -> [bool; 2] {
        [self.inside.0.passes(), self.outside.0.passes()]
    }
}

impl Asking<'_> {
    async fn rows(&mut self) -> Vec<Row> {
        let wanted = self.wanted;
        let mut rows: Vec<Row> = wanted.application.iter().map(|it| it.row(wanted)).collect();
        let mut may = [self.inside.is_some(), true];
        let literal = wanted.host.parse::<std::net::IpAddr>().is_ok();
        if !literal {
            let probe = Probe::Dns(DnsQuestion { name: wanted.host.clone() });
            let both = self.both("name", may, |_| Some(probe.clone()), rows::name).await;
            may = both.passes();
            rows.push(self.named(both.row("name")));
            rows.push(resolver::row(&both, &self.services));
            rows.extend(self.own_resolver(&both));
        }
        if wanted.tls() {
            let probe = Probe::Tls(TlsQuestion { host: wanted.host.clone(), port: wanted.port, server_name: None });
            let both = self.both("tls", may, |_| Some(probe.clone()), rows::tls).await;
            may = both.passes();
            rows.push(both.row("tls"));
            rows.extend(self.own_trust(&both).await);
        }
        let bucket = wanted.bucket.as_deref().unwrap_or_default();
        let probe = Probe::Http(HttpQuestion::new("GET", format!("{}/{bucket}", wanted.endpoint)));
        let both = self.both("store", may, |_| Some(probe.clone()), rows::store).await;
        may = both.passes();
        rows.push(both.row("store"));
        let clock = |inside: bool, (cell, asked): &(Cell, Option<Asked>)| match asked {
            Some(asked) => rows::clock(At { row: "clock", inside }, asked),
            None => Cell::not_asked(cell.text.clone()),
        };
        rows.push(Row::of("clock", clock(true, &both.inside), clock(false, &both.outside)));
        if let Some(bucket) = &wanted.bucket {
            if let Some(access) = &wanted.access {
                rows.extend(self.signed(access, bucket, may).await);
            }
            rows.extend(self.of_bucket(bucket, may, literal).await);
        }
        if wanted.identity.is_some() {
            rows.extend(Box::pin(self.web_identity(may)).await);
        }
        rows
    }

    async fn of_bucket(&self, bucket: &str, may: [bool; 2], literal: bool) -> Vec<Row> {
        let mut all = Vec::new();
        if !literal {
            let probe = Probe::Dns(DnsQuestion { name: format!("{bucket}.{}", self.wanted.host) });
            let both = self.both("virtual-host", may, |_| Some(probe.clone()), rows::virtual_host).await;
            all.push(both.row("virtual-host"));
        }
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let preflight = HttpQuestion {
            headers: BTreeMap::from([
                header("origin", "https://parallax-check.example.com"),
                header("access-control-request-method", "PUT"),
            ]),
            ..HttpQuestion::new("OPTIONS", format!("{}/{bucket}/parallax-check", self.wanted.endpoint))
        };
        let both = self.both("cors", may, |_| Some(Probe::Http(preflight.clone())), rows::cors).await;
        all.push(both.row("cors"));
        all
    }

    /// Asks the question inside and outside the cluster at the same time. `may` says for inside and for outside whether
    /// the question can be asked. If an earlier row failed on one side, the question is not asked there, and the cell
    /// gives this reason.
    pub(super) async fn both(
        &self,
        row: &'static str,
        may: [bool; 2],
        probe: impl Fn(bool) -> Option<Probe>,
        cell: impl Fn(At, &Asked) -> Cell,
    ) -> Both {
        let one = async |inside: bool, may: bool| {
            let (asked, found) = match (may, probe(inside)) {
                (true, Some(probe)) => {
                    let asked = self.ask(inside, probe).await;
                    let found = asked.as_ref().map(|asked| cell(At { row, inside }, asked));
                    (asked, found)
                }
                (true, None) => (None, Some(Cell::new(State::Bad, "the other side could not sign a URL for it"))),
                (false, _) => (None, None),
            };
            (found.unwrap_or_else(|| self.not_asked(inside)), asked)
        };
        let (inside, outside) = tokio::join!(one(true, may[0]), one(false, may[1]));
        Both { inside, outside }
    }

    /// Returns the table cell of a question that could not be asked inside or outside the cluster.
    pub(super) fn not_asked(&self, inside: bool) -> Cell {
        let no_pod = inside && self.inside.is_none();
        Cell::not_asked(if no_pod { "no pod" } else { "what it needs does not work" })
    }

    pub(super) async fn ask(&self, inside: bool, probe: Probe) -> Option<Asked> {
        self.ask_trusting(inside, probe, self.wanted.trust.clone()).await
    }

    /// Asks a question at the vantage inside or outside the cluster. The vantage trusts the certificates `trust`.
    /// Returns `None` if there is no such vantage.
    pub(super) async fn ask_trusting(&self, inside: bool, probe: Probe, trust: Vec<String>) -> Option<Asked> {
        let outside = Vantage::Outside;
        let vantage = if inside { self.inside? } else { &outside };
        let mut view = View { trust, ..self.wanted.view(inside) };
        if matches!(probe, Probe::Jwt(_)) {
            view.trust.extend(self.wanted.identity.as_ref().and_then(|it| it.authority.clone()));
        }
        let bytes = probe.facts().http.and_then(|it| it.filler_bytes).unwrap_or_default();
        let deadline_ms = QUESTION_MS + (bytes >> 20) * MS_PER_MIB;
        let question = Question { view, deadline_ms, probe };
        let answer = vantage.ask(question.clone()).await.map_err(|error| error.to_string());
        Some(Asked { question, answer })
    }

    /// Completes the row of the name look-up. If the address that the pod gets for the endpoint's host belongs to a
    /// Service, adds the name of the Service. Otherwise, if this process gets the same address for the host, notes that
    /// the pod's requests leave the cluster.
    fn named(&self, mut row: Row) -> Row {
        if !row.inside.passes() {
            return row;
        }
        let service = row.inside.text.split(", ").find_map(|it| self.services.get(it));
        if let Some(service) = service {
            row.inside.text = format!("{} (Service {service})", row.inside.text);
        } else if row.inside.text == row.outside.text {
            row.inside.state = State::Note;
            row.inside.text.push_str(" (the way outside)");
        }
        row
    }

    /// Removes the objects that the check wrote. The requests are sent from outside or, if this fails, from the pod.
    /// Returns a sentence for each object that remains.
    async fn remove_objects(&self, rows: &[Row]) -> Vec<String> {
        let (Some(access), Some(bucket)) = (&self.wanted.access, &self.wanted.bucket) else { return Vec::new() };
        if !self.writes.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut remains = Vec::new();
        for (inside, (row, key)) in [true, false].into_iter().flat_map(|side| self.written().map(move |it| (side, it)))
        {
            let written = rows.iter().find(|it| it.name == row);
            let cell = written.map(|it| if inside { &it.inside } else { &it.outside });
            // If the upload was interrupted, or if a proxy dropped or replaced the store's answer, it is unknown
            // whether the object was written. Only an upload that was not attempted certainly wrote nothing.
            if cell.is_some_and(|it| it.state == State::NotAsked) {
                continue;
            }
            let key = format!("{}{}/{key}", self.wanted.prefix(), side(inside));
            let operation = || S3Operation::Delete { bucket: bucket.clone(), key: key.clone() };
            let gone = |status: Option<u16>| status.is_some_and(|it| (200..300).contains(&it));
            let is_gone = gone(self.status(false, access, operation()).await)
                || gone(self.status(true, access, operation()).await);
            // If the store refused the upload, and also refuses the deletion, there is most likely no object to remove.
            if !is_gone && cell.is_none_or(|it| it.state != State::Bad) {
                remains.push(format!("remove the object {bucket}/{key}, if it is there: it could not be removed"));
            }
        }
        remains
    }

    async fn status(&self, from: bool, access: &S3Access, operation: S3Operation) -> Option<u16> {
        let probe = Probe::S3(S3Question { access: access.clone(), operation, headers: BTreeMap::new() });
        match self.ask(from, probe).await?.answer.ok()?.outcome.ok()? {
            Reply::S3(s3) => Some(s3.status),
            _ => None,
        }
    }
}
