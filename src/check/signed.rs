//! Asks the questions of `parallax check` that need the store's credentials. They are about presigned URLs, object keys
//! with special characters, signed headers and large bodies.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use parallax_vocab::Reply;
use parallax_vocab::question::{HttpQuestion, PresignQuestion, Probe, S3Access, S3Operation, S3Question};

use super::ask::{Asking, Both};
use super::refused::Refused;
use super::rows::{self, At, Cell, Row, State, side};
use super::{headers, refused};

/// The number of seconds for which a presigned URL of the check is valid.
const SIGNED_S: u64 = 300;
/// The key of an object, with characters that proxies may change: a space, a plus, a percent sign, parentheses, and a
/// letter that is not ASCII.
pub(super) const ODD_KEY: &str = "a b+c%41 (1)/\u{e4}.txt";
/// The key of an object with two consecutive slashes, which proxies may merge.
const SLASHES_KEY: &str = "a//b.txt";
/// The name of the row whose question writes a small object, and the key of the object.
const PLAIN: (&str, &str) = ("presigned PUT", "plain.txt");
/// The name of the row whose question writes a large object, and the key of the object.
const LARGE: (&str, &str) = ("large body", "large.bin");
/// The error codes of S3 with which a store refuses a request that a proxy has changed. If a proxy adds a segment to
/// the path, the store takes this segment for the name of the bucket, so two of the codes are about buckets.
const ON_THE_WAY: [&str; 3] = ["SignatureDoesNotMatch", "InvalidBucketName", "NoSuchBucket"];
/// The name of the row about object keys with two consecutive slashes.
const SLASHES: &str = "double slash";
/// The body of the small objects that the check writes.
const BODY: &str = "written by parallax check";

impl Asking<'_> {
    /// Returns the rows whose questions write an object, each with the key of the object.
    pub(super) fn written(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        std::iter::once(PLAIN).chain((self.wanted.large_mib > 0).then_some(LARGE))
    }

    /// Asks the questions that need the store's credentials, and returns their rows. `may` says for inside and for
    /// outside the cluster whether questions can be asked there.
    pub(super) async fn signed(&self, access: &S3Access, bucket: &str, may: [bool; 2]) -> Vec<Row> {
        let list = self.list(access, bucket, BTreeMap::new());
        let both = self.both("keys", may, |_| Some(list.clone()), rows::keys).await;
        let may = both.passes();
        let mut all = vec![self.keys_row(&both, access, bucket).await];
        let mut small = [false; 2];
        for (name, method, key) in [
            (PLAIN.0, "PUT", PLAIN.1),
            ("presigned GET", "GET", PLAIN.1),
            ("presigned HEAD", "HEAD", PLAIN.1),
            ("odd key", "GET", ODD_KEY),
            (SLASHES, "GET", SLASHES_KEY),
        ] {
            if method == "PUT" && may.contains(&true) {
                self.writes.store(true, Ordering::Relaxed);
            }
            let body = (method == "PUT").then(|| BODY.to_owned());
            let request = |url| HttpQuestion { body: body.clone(), ..HttpQuestion::new(method, url) };
            let both = self.opened((name, may), access, (method, bucket, key), request).await;
            let row = both.row(name);
            if method == "PUT" {
                small = [&row.inside, &row.outside].map(|it| it.state == State::Good);
            }
            let of_headers = (name == "presigned GET").then(|| headers::row(&both));
            all.push(if name == SLASHES { merged(row) } else { row });
            all.extend(of_headers);
        }
        let cells = tokio::join!(
            self.signed_headers(true, may[0], access, bucket),
            self.signed_headers(false, may[1], access, bucket)
        );
        all.push(Row::of(headers::SIGNED, cells.0, cells.1));
        if self.wanted.large_mib > 0 {
            let bytes = self.wanted.large_mib << 20;
            let request = |url| HttpQuestion { filler_bytes: Some(bytes), ..HttpQuestion::new("PUT", url) };
            let both = self.opened((LARGE.0, small), access, ("PUT", bucket, LARGE.1), request).await;
            let mut row = both.row(LARGE.0);
            for (inside, cell) in [(true, &mut row.inside), (false, &mut row.outside)] {
                limited(At { row: LARGE.0, inside }, cell, self.wanted.large_mib);
            }
            all.push(row);
        }
        all
    }

    /// Opens two presigned URLs. The URL that is opened inside the cluster was signed outside. If there is a pod, the
    /// URL that is opened outside was signed inside. `request` makes the request from the URL.
    async fn opened(
        &self,
        (row, may): (&'static str, [bool; 2]),
        access: &S3Access,
        (method, bucket, key): (&str, &str, &str),
        request: impl Fn(String) -> HttpQuestion,
    ) -> Both {
        let url = async |inside: bool| {
            let key = format!("{}{}/{key}", self.wanted.prefix(), side(inside));
            self.presigned(inside, access, (method, bucket, &key)).await
        };
        let urls = [url(true).await, url(false).await];
        let open = |inside: bool| Some(Probe::Http(request(urls[usize::from(!inside)].clone()?)));
        self.both(row, may, open, |at, asked| rows::opened(at, asked, &access.secret_key)).await
    }

    /// Returns a presigned URL that will be opened inside the cluster (`inside`) or outside. If there is a pod, the pod
    /// signs the URLs that are opened outside. This process signs all others. Returns `None` if signing failed.
    pub(super) async fn presigned(
        &self,
        inside: bool,
        access: &S3Access,
        (method, bucket, key): (&str, &str, &str),
    ) -> Option<String> {
        let probe = Probe::Presign(PresignQuestion::new(access.clone(), method, bucket, key, SIGNED_S));
        let signer = if inside { None } else { self.inside };
        let asked = self.ask(signer.is_some(), probe).await?;
        match asked.answer.ok()?.outcome.ok()? {
            Reply::Presign(reply) => Some(reply.url),
            _ => None,
        }
    }

    fn list(&self, access: &S3Access, bucket: &str, headers: BTreeMap<String, String>) -> Probe {
        let operation = S3Operation::List { bucket: bucket.to_owned(), prefix: self.wanted.prefix() };
        Probe::S3(S3Question { access: access.clone(), operation, headers })
    }

    /// Returns the row of the list request. If the store refused the signature of this request, sends further requests
    /// to find out why.
    async fn keys_row(&self, both: &Both, access: &S3Access, bucket: &str) -> Row {
        let mut row = both.row("keys");
        let mut found = false;
        for inside in [true, false] {
            let (cell, asked) =
                if inside { (&mut row.inside, &both.inside.1) } else { (&mut row.outside, &both.outside.1) };
            if !ON_THE_WAY.iter().any(|code| cell.text.contains(code)) {
                continue;
            }
            match (self.why_refused(inside, access, bucket).await, asked) {
                (Refused::Differs(finding), Some(asked)) => {
                    *cell = rows::explained(At { row: "keys", inside }, asked, Some(&finding));
                    found = true;
                }
                // The store accepted the presigned URL but not the list request, so a proxy changed another part of the
                // list request. The code `NoSuchBucket` does not show this, because the bucket may really not exist.
                (Refused::OnlyThisRequest, _) if cell.text.contains("SignatureDoesNotMatch") => {
                    if let Some(why) = &mut cell.why {
                        why.push_str("; a presigned URL, in which only Host is signed, opens, so a signed header or the query is changed on the way");
                    }
                    found = true;
                }
                _ => {}
            }
        }
        let refused =
            |it: &Cell| ["SignatureDoesNotMatch", "InvalidAccessKeyId"].iter().any(|code| it.text.contains(code));
        let unasked = row.inside.state == State::NotAsked;
        if !found && refused(&row.outside) && (unasked || refused(&row.inside)) {
            for cell in [&mut row.inside, &mut row.outside] {
                if let Some(why) = &mut cell.why {
                    why.push_str(
                        "; each side is refused alike, so the keys are wrong, rather than the way: compare the secret key with the store's",
                    );
                }
            }
        }
        row
    }

    /// Finds out which part of a signed request a proxy changes. `inside` says whether the requests are sent inside or
    /// outside the cluster.
    async fn why_refused(&self, inside: bool, access: &S3Access, bucket: &str) -> Refused {
        let key = format!("{}{}/{}", self.wanted.prefix(), side(inside), PLAIN.1);
        let Some(url) = self.presigned(true, access, ("GET", bucket, &key)).await else { return Refused::Unknown };
        let get = |url: String| Probe::Http(HttpQuestion::new("GET", url));
        let Some(asked) = self.ask(inside, get(url.clone())).await else { return Refused::Unknown };
        let path = refused::path_seen(&asked, &url);
        let changed = refused::finding(&url, &path, None, &access.secret_key).filter(|it| !it.differs.is_empty());
        if !refused::by_signature(&asked) {
            let opens = if rows::accepted(&asked) { Refused::OnlyThisRequest } else { Refused::Unknown };
            return changed.map_or(opens, Refused::Differs);
        }
        let Some((bucket_seen, key_seen)) = path.trim_start_matches('/').split_once('/') else {
            return Refused::Unknown;
        };
        // The store accepts a URL that is signed for exactly the host and the path that it sees. So the host for which
        // a URL is accepted is the host that the store sees.
        for host in refused::hosts(self.wanted, &self.services, &self.namespace) {
            let scheme = if self.wanted.tls() { "https" } else { "http" };
            let other = S3Access { endpoint: format!("{scheme}://{host}"), ..access.clone() };
            let Some(signed) = self.presigned(true, &other, ("GET", bucket_seen, key_seen)).await else { continue };
            let Some(again) = refused::with_query_of(&url, &signed) else { continue };
            let Some(tried) = self.ask(inside, get(again)).await else { return Refused::Unknown };
            if !refused::by_signature(&tried) && !rows::accepted(&tried) {
                break;
            }
            if rows::accepted(&tried) {
                let finding = refused::finding(&url, &path, Some(&host), &access.secret_key);
                return finding.map_or(Refused::Unknown, Refused::Differs);
            }
        }
        changed.map_or(Refused::Unknown, Refused::Differs)
    }

    /// Asks, inside or outside the cluster, whether signed headers arrive as they were signed. If not, finds out which
    /// headers are changed on the way.
    async fn signed_headers(&self, inside: bool, may: bool, access: &S3Access, bucket: &str) -> Cell {
        if !may {
            return self.not_asked(inside);
        }
        let at = At { row: headers::SIGNED, inside };
        let with = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            self.ask(inside, self.list(access, bucket, headers.collect()))
        };
        let Some(asked) = with(&headers::ASKED).await else { return self.not_asked(inside) };
        if !refused::by_signature(&asked) {
            return headers::arrive(at, &asked);
        }
        let mut changed = Vec::new();
        for header in headers::ASKED {
            if with(&[header]).await.is_some_and(|it| refused::by_signature(&it)) {
                changed.push(header);
            }
        }
        headers::changed(at, &changed)
    }
}

/// If the store allows no key with two consecutive slashes, turns a problem with such a key into a note. For this
/// store, a proxy that merges slashes does no harm.
fn merged(mut row: Row) -> Row {
    let takes_none = |it: &Cell| it.text == rows::NO_SUCH_KEYS;
    if takes_none(&row.inside) || takes_none(&row.outside) {
        for cell in [&mut row.inside, &mut row.outside] {
            if cell.state == State::Bad && cell.text.contains("SignatureDoesNotMatch") {
                *cell = Cell::new(State::Note, "merged on the way; the store does not take such a key");
            }
        }
    }
    Row::of(row.name, row.inside, row.outside)
}

/// Explains why a large body was refused. A small body was accepted on the same side, so something on the way limits
/// the length of bodies.
fn limited(at: At, cell: &mut Cell, mib: u64) {
    if cell.state == State::Good {
        cell.text = format!("{mib} MiB");
    }
    if cell.state != State::Bad {
        return;
    }
    cell.why = Some(format!(
        "`{}` from {}: a small object was written, and one of {mib} MiB is refused ({}): something on the way limits bodies; nginx allows 1 MiB unless told otherwise: set `client_max_body_size 0` (ingress-nginx: the annotation nginx.ingress.kubernetes.io/proxy-body-size)",
        at.row,
        side(at.inside),
        cell.text,
    ));
    cell.section = Some("an-upload-is-too-large-for-a-proxy");
}
