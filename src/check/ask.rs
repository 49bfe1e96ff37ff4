//! Asks the questions of `parallax check` from this process and from a pod, and removes the pod and the objects that
//! the check created.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use parallax_vocab::answer::TemporaryCredentials;
use parallax_vocab::question::{
    DnsQuestion, HttpQuestion, JwtQuestion, PresignQuestion, Probe, Question, S3Access, S3Operation, S3Question,
    StsQuestion, TlsQuestion, TokenSource,
};
use parallax_vocab::{Answer, Reply, Secret};
use tokio_util::sync::CancellationToken;

use super::rows::{self, Asked, At, Cell, Row, State, side};
use super::wanted::Wanted;
use crate::apply::{Guest, TOKEN_FILE};
use crate::cluster::Access;
use crate::probe::{PodSession, Vantage};
use parallax_record::Noted as _;

/// The time limit of one question, in milliseconds.
const QUESTION_MS: u64 = 8_000;
/// The validity of a signed URL, in seconds.
const SIGNED_S: u64 = 300;
/// The key of an object, with characters that proxies may change: a space, a plus, a percent sign, parentheses, and a
/// letter that is not ASCII.
const ODD_KEY: &str = "a b+c%41 (1)/\u{e4}.txt";
/// The name of the row whose question writes objects.
const PUT: &str = "presigned PUT";
/// The body of the objects that the check writes.
const BODY: &str = "written by parallax check";

/// The result of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// One row for each question.
    pub rows: Vec<Row>,
    /// The reason why no question was asked inside the cluster. `None` if questions were asked there.
    pub no_inside: Option<String>,
    /// The objects and the pod that could not be removed, one sentence for each, which says how to remove it.
    pub remains: Vec<String>,
    /// Secret texts that the output must not contain.
    pub secrets: Vec<Secret>,
    /// Whether the user cancelled the check before all questions were asked.
    pub cancelled: bool,
}

/// Asks the questions from this process and, if a guest pod can be created, from that pod. Removes the pod and the
/// objects that the check wrote before it returns, even if `cancel` is cancelled.
pub async fn check(wanted: &Wanted, guest: Result<(&Access, &Guest), String>, cancel: &CancellationToken) -> Checked {
    let mut checked = Checked { secrets: wanted.secrets(), ..Checked::default() };
    let (mut inside, mut services) = (None, BTreeMap::new());
    let mut may_be_there = true;
    match &guest {
        Err(why) => checked.no_inside = Some(why.clone()),
        Ok((access, guest)) => {
            let begun = async {
                guest.make(&access.client).await.map_err(|it| (it.why, !it.nothing_made))?;
                let session =
                    PodSession::open(access.client.clone(), &guest.namespace, &guest.name, Some("agent")).await;
                session.map_err(|error| (error.to_string(), true))
            };
            tokio::select! {
                begun = begun => match begun {
                    Ok(session) => inside = Some(Vantage::Pod(session)),
                    Err((why, may_remain)) => {
                        checked.no_inside = Some(why);
                        may_be_there = may_remain;
                    }
                },
                () = cancel.cancelled() => checked.cancelled = true,
            }
            if inside.is_some() {
                services = services_of(access, &guest.namespace).await;
            }
        }
    }
    if !checked.cancelled {
        let mut asking =
            Asking { wanted, inside: inside.as_ref(), services, gained: None, writes: AtomicBool::default() };
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
    if let (Ok((access, guest)), true) = (guest, may_be_there) {
        checked.remains.extend(guest.remove(&access.client).await.err());
    }
    checked
}

/// Returns the names of the namespace's Services, by the cluster IP of each Service. The map is empty if the user may
/// not list Services.
async fn services_of(access: &Access, namespace: &str) -> BTreeMap<String, String> {
    let services: Api<Service> = Api::namespaced(access.client.clone(), namespace);
    let listed = services.list(&ListParams::default()).await.noted("list the Services of the namespace");
    let all = listed.map(|it| it.items).unwrap_or_default().into_iter();
    all.filter_map(|it| Some((it.spec?.cluster_ip?, it.metadata.name?))).collect()
}

struct Asking<'a> {
    wanted: &'a Wanted,
    inside: Option<&'a Vantage>,
    services: BTreeMap<String, String>,
    /// The temporary credentials that the store gave in exchange for the pod's token. `None` if the token was not
    /// exchanged.
    gained: Option<TemporaryCredentials>,
    /// Whether a presigned URL that writes an object was opened. If so, there may be objects to remove.
    writes: AtomicBool,
}

/// The results of one question: for each side its cell, and the question with its answer. `None` if the question was
/// not asked on that side.
struct Both {
    inside: (Cell, Option<Asked>),
    outside: (Cell, Option<Asked>),
}

impl Both {
    fn row(&self, name: &'static str) -> Row {
        Row::of(name, self.inside.0.clone(), self.outside.0.clone())
    }

    fn passes(&self) -> [bool; 2] {
        [self.inside.0.passes(), self.outside.0.passes()]
    }
}

impl Asking<'_> {
    async fn rows(&mut self) -> Vec<Row> {
        let wanted = self.wanted;
        let mut rows = Vec::new();
        let mut may = [self.inside.is_some(), true];
        let literal = wanted.host.parse::<std::net::IpAddr>().is_ok();
        if !literal {
            let probe = Probe::Dns(DnsQuestion { name: wanted.host.clone() });
            let both = self.both("name", may, |_| Some(probe.clone()), rows::name).await;
            may = both.passes();
            rows.push(self.named(both.row("name")));
        }
        if wanted.tls() {
            let probe = Probe::Tls(TlsQuestion { host: wanted.host.clone(), port: wanted.port, server_name: None });
            let both = self.both("tls", may, |_| Some(probe.clone()), rows::tls).await;
            may = both.passes();
            rows.push(both.row("tls"));
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
            rows.extend(self.web_identity(may).await);
        }
        rows
    }

    /// Asks the questions that need the store's keys, and returns their rows. `may` says for the inside and the outside
    /// whether questions can be asked there.
    async fn signed(&self, access: &S3Access, bucket: &str, may: [bool; 2]) -> Vec<Row> {
        let list = S3Operation::List { bucket: bucket.to_owned(), prefix: self.wanted.prefix() };
        let probe = Probe::S3(S3Question { access: access.clone(), operation: list, headers: BTreeMap::new() });
        let both = self.both("keys", may, |_| Some(probe.clone()), rows::keys).await;
        let may = both.passes();
        let mut row = both.row("keys");
        let refused =
            |it: &Cell| ["SignatureDoesNotMatch", "InvalidAccessKeyId"].iter().any(|code| it.text.contains(code));
        let unasked = row.inside.state == State::NotAsked;
        if refused(&row.outside) && (unasked || refused(&row.inside)) {
            for cell in [&mut row.inside, &mut row.outside] {
                if let Some(why) = &mut cell.why {
                    why.push_str(
                        "; each side is refused alike, so the keys are wrong, rather than the way: compare the secret key with the store's",
                    );
                }
            }
        }
        let mut all = vec![row];
        for (name, method, key) in [
            (PUT, "PUT", "plain.txt"),
            ("presigned GET", "GET", "plain.txt"),
            ("presigned HEAD", "HEAD", "plain.txt"),
            ("odd key", "GET", ODD_KEY),
        ] {
            let urls = [
                self.signed_for(true, access, bucket, (method, key)).await,
                self.signed_for(false, access, bucket, (method, key)).await,
            ];
            let open = |inside: bool| {
                let url = urls[usize::from(!inside)].clone()?;
                let body = (method == "PUT").then(|| BODY.to_owned());
                Some(Probe::Http(HttpQuestion { body, ..HttpQuestion::new(method, url) }))
            };
            let secret = &access.secret_key;
            if method == "PUT" && may.contains(&true) {
                self.writes.store(true, Ordering::Relaxed);
            }
            all.push(self.both(name, may, open, |at, asked| rows::opened(at, asked, secret)).await.row(name));
        }
        all
    }

    /// Returns a presigned URL for one side to open. The pod signs the URLs that are opened outside, if there is a pod.
    /// This process signs all others. Each side has an object of its own. Returns `None` if signing failed.
    async fn signed_for(
        &self,
        inside: bool,
        access: &S3Access,
        bucket: &str,
        (method, key): (&str, &str),
    ) -> Option<String> {
        let key = format!("{}{}/{key}", self.wanted.prefix(), side(inside));
        let probe = Probe::Presign(PresignQuestion::new(access.clone(), method, bucket, key, SIGNED_S));
        let signer = if inside { None } else { self.inside };
        let asked = self.ask(signer.is_some(), probe).await?;
        match asked.answer.ok()?.outcome.ok()? {
            Reply::Presign(reply) => Some(reply.url),
            _ => None,
        }
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

    /// Asks the questions about web identity, and returns their rows: the pod's token, the exchange of the token for
    /// credentials, and what these credentials may do. Only a pod has a token, so nothing is asked outside.
    async fn web_identity(&mut self, may: [bool; 2]) -> Vec<Row> {
        let Some(identity) = self.wanted.identity.clone() else { return Vec::new() };
        let outside = || Cell::not_asked("only a pod has a token");
        let in_pod = self.inside.is_some();
        let token = || TokenSource::File(TOKEN_FILE.to_owned());
        let mut all = Vec::new();
        let probe = Probe::Jwt(JwtQuestion { token: token(), issuer: None });
        let both = self
            .both(
                "token",
                [in_pod, false],
                |_| Some(probe.clone()),
                |at, asked| rows::token(at, asked, &identity.audience),
            )
            .await;
        all.push(Row::of("token", both.inside.0, outside()));
        let Some(role_arn) = identity.role.clone() else {
            all.push(Row::of("sign-in", Cell::not_asked("no --role"), outside()));
            return all;
        };
        let probe = Probe::Sts(StsQuestion {
            endpoint: self.wanted.endpoint.clone(),
            role_arn,
            token: token(),
            duration_s: None,
            policy: None,
        });
        let both = self.both("sign-in", [may[0], false], |_| Some(probe.clone()), rows::sign_in).await;
        let answer = both.inside.1.as_ref().and_then(|it| it.answer.as_ref().ok());
        self.gained = answer.and_then(credentials);
        all.push(Row::of("sign-in", both.inside.0, outside()));
        if let (Some(gained), Some(bucket)) = (&self.gained, &self.wanted.bucket) {
            let access = S3Access {
                endpoint: self.wanted.endpoint.clone(),
                region: self.wanted.region.clone(),
                access_key: gained.access_key.clone(),
                secret_key: gained.secret_key.clone(),
                session_token: Some(gained.session_token.clone()),
            };
            let list = S3Operation::List { bucket: bucket.clone(), prefix: self.wanted.prefix() };
            let probe = Probe::S3(S3Question { access, operation: list, headers: BTreeMap::new() });
            let both = self.both("what it may do", [true, false], |_| Some(probe.clone()), rows::keys).await;
            all.push(Row::of("what it may do", both.inside.0, outside()));
        }
        all
    }

    /// Asks the question on both sides at the same time. `may` says for the inside and the outside whether the question
    /// can be asked. If an earlier row of a side failed, the question is not asked there, and the cell gives this
    /// reason.
    async fn both(
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
            let no_pod = inside && self.inside.is_none();
            let why = if no_pod { "no pod" } else { "what it needs does not work" };
            (found.unwrap_or_else(|| Cell::not_asked(why)), asked)
        };
        let (inside, outside) = tokio::join!(one(true, may[0]), one(false, may[1]));
        Both { inside, outside }
    }

    async fn ask(&self, inside: bool, probe: Probe) -> Option<Asked> {
        let outside = Vantage::Outside;
        let vantage = if inside { self.inside? } else { &outside };
        let mut view = self.wanted.view(inside);
        if matches!(probe, Probe::Jwt(_)) {
            view.trust.extend(self.wanted.identity.as_ref().and_then(|it| it.authority.clone()));
        }
        let question = Question { view, deadline_ms: QUESTION_MS, probe };
        let answer = vantage.ask(question.clone()).await.map_err(|error| error.to_string());
        Some(Asked { question, answer })
    }

    /// Adds to the row the name of the Service that the pod's name look-up leads to. If it leads to no Service, adds
    /// whether pods use the address that clients outside use.
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

    /// Removes the objects that the check wrote, from outside or else from the pod. Returns a sentence for each object
    /// that remains.
    async fn remove_objects(&self, rows: &[Row]) -> Vec<String> {
        let (Some(access), Some(bucket)) = (&self.wanted.access, &self.wanted.bucket) else { return Vec::new() };
        if !self.writes.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let written = rows.iter().find(|it| it.name == PUT);
        let mut remains = Vec::new();
        for inside in [true, false] {
            let cell = written.map(|it| if inside { &it.inside } else { &it.outside });
            // If the upload was interrupted, or its answer was lost or replaced on the way, it is unknown whether the
            // object was written. Only an upload that was not attempted certainly wrote nothing.
            if cell.is_some_and(|it| it.state == State::NotAsked) {
                continue;
            }
            let key = format!("{}{}/plain.txt", self.wanted.prefix(), side(inside));
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

fn credentials(answer: &Answer) -> Option<TemporaryCredentials> {
    match answer.reply()? {
        Reply::Sts(sts) => sts.credentials.clone(),
        _ => None,
    }
}
