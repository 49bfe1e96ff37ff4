//! Stores that existed before the run, and that other people or programs use, too.
//!
//! **Architecture Invariant:** in a store that existed before the run, a step writes only below the prefix of its
//! environment, and this prefix contains the id of the run. The run removes what is below this prefix, and nothing
//! else.

use std::borrow::Cow;
use std::sync::PoisonError;

use futures::future::join_all;
use http::Uri;
use parallax_probe::contents::{self, Bucket};
use parallax_record::Redactor;
use parallax_vocab::Probe;
use parallax_vocab::percent::decoded;
use parallax_vocab::program::ClientTask;
use parallax_vocab::question::{HttpQuestion, PresignQuestion, S3Access, S3Operation, S3Question, View};
use serde::{Deserialize, Serialize};

use super::Context;
use super::error::RunError;
use super::scene::Scene;
use super::store::{self, repeated};

/// The bucket and the prefix below which one environment may write in one existing store (a store that existed before
/// the run).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The namespace of the environment that may write there.
    namespace: String,
    fixture: String,
    view: View,
    access: S3Access,
    bucket: String,
    /// The prefix of the keys. It ends with a slash. Otherwise the prefix of one namespace could be the beginning of
    /// the prefix of another namespace, for example `a` and `ab`.
    prefix: String,
}

impl Place {
    /// Returns the places of an environment: one for each bucket that the environment uses in each existing store.
    fn all(scene: &Scene<'_>) -> Result<Vec<Self>, RunError> {
        let mut places = Vec::new();
        for (fixture, store) in scene.stores() {
            let Some(prefix) = scene.prefix(store) else { continue };
            let access = scene.access(fixture, store);
            let access =
                access.map_err(|why| store::failed(&scene.plan.namespace, fixture, "no access", why.into()))?;
            places.extend(store.buckets.iter().map(|bucket| Self {
                namespace: scene.plan.namespace.clone(),
                fixture: fixture.to_owned(),
                view: scene.pinned(fixture, store),
                access: access.clone(),
                bucket: bucket.clone(),
                prefix: format!("{prefix}/"),
            }));
        }
        Ok(places)
    }

    /// Removes everything below this prefix in this bucket. Returns the number of removed objects and multipart
    /// uploads.
    async fn clear(&self) -> Result<usize, parallax_vocab::Cause> {
        let Self { view, access, bucket, prefix, .. } = self;
        repeated(|| contents::remove_below(view.clone(), access, bucket, prefix)).await
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} at {}", self.bucket, self.prefix, self.access.endpoint)
    }
}

/// Asks each existing store, before the flow, whether its buckets contain objects below the environment's prefix. If
/// they do, somebody else owns these objects, and the result is an error. The result is also an error if this machine
/// cannot reach the store, or if the store does not accept the credentials. After this call, the run owns everything
/// below the prefix, and removes it at the end of the environment or of the run.
pub(super) async fn begin(context: &Context, scene: &Scene<'_>) -> Result<(), RunError> {
    for place in Place::all(scene)? {
        let Place { namespace, fixture, view, access, bucket, prefix } = &place;
        let failed = |why| {
            let doing = format!("this machine cannot list what is at {place}");
            store::failed(namespace, fixture, &doing, why)
        };
        let found = repeated(|| contents::below(view.clone(), access, bucket, prefix)).await;
        if found.map_err(|cause| failed(cause.into()))? != Bucket::default() {
            return Err(failed("objects of somebody else are there, and the run would remove them".to_owned().into()));
        }
        // If this process is killed, the reaper removes what is below the prefix. The note to the reaper contains the
        // store's credentials, so the reaper keeps it only in memory.
        let note = serde_json::to_string(&place).expect("a place is plain data");
        if let Err(error) = context.notes.tell(&note) {
            context
                .sink
                .warn(format!("if this run is killed, objects at {place} stay: the reaper does not answer: {error}"));
        }
        context.written.lock().unwrap_or_else(PoisonError::into_inner).push(place);
    }
    Ok(())
}

/// Removes what a variant wrote into existing stores, before the next variant of the environment begins.
pub(super) async fn put_back(scene: &Scene<'_>) -> Result<(), RunError> {
    for place in Place::all(scene)? {
        let failed = |cause: parallax_vocab::Cause| {
            let doing = format!("between two variants: {place} cannot be cleared");
            store::failed(&scene.plan.namespace, &place.fixture, &doing, cause.into())
        };
        place.clear().await.map_err(failed)?;
    }
    Ok(())
}

/// Removes what the environments of a namespace may have written into existing stores. `None` stands for all namespaces
/// of the run. Returns the number of removed objects, and a line for each prefix below which objects could not be
/// removed. At its end, the run tries to remove these objects again.
pub(super) async fn clear(context: &Context, namespace: Option<&str>) -> (usize, Vec<String>) {
    let written = || context.written.lock().unwrap_or_else(PoisonError::into_inner);
    let is_meant = |it: &&Place| namespace.is_none_or(|namespace| it.namespace == namespace);
    let places: Vec<Place> = written().iter().filter(is_meant).cloned().collect();
    let cleared = join_all(places.iter().map(Place::clear)).await;
    let (mut removed, mut left) = (0, Vec::new());
    for (place, cleared) in places.iter().zip(cleared) {
        match cleared {
            Ok(count) => {
                removed += count;
                // The entry leaves the list only after its objects are removed. If the user stops the run before that,
                // the clean-up at the end of the run still finds the entry.
                written().retain(|it| it != place);
            }
            Err(cause) => left.push(format!("{place}: {cause}")),
        }
    }
    (removed, left)
}

/// Removes what a killed run wrote into existing stores. Each note of the run to its reaper is one [`Place`] as JSON.
/// Returns the number of removed objects, and a line for each prefix below which objects could not be removed. The
/// lines contain no credentials, even if a store quotes some in its answer.
pub(super) async fn clear_stores(notes: &[String]) -> (usize, Vec<String>) {
    let (mut removed, mut left) = (0, Vec::new());
    let redactor = Redactor::default();
    for note in notes {
        let Some(place) = told(note, &redactor) else {
            // The error of the parser is not shown, because it may quote the note, which contains credentials.
            left.push("a place in a store that the run named: its description cannot be read".to_owned());
            continue;
        };
        match place.clear().await {
            Ok(count) => removed += count,
            Err(cause) => left.push(redactor.text(&format!("{place}: {cause}"))),
        }
    }
    (removed, left)
}

/// Parses a note of a run to its reaper, and registers the store's credentials in the note with the redactor. `None` if
/// the note cannot be parsed.
fn told(note: &str, redactor: &Redactor) -> Option<Place> {
    let place: Place = serde_json::from_str(note).ok()?;
    redactor.register(&place.access.secret_key);
    place.access.session_token.iter().for_each(|it| redactor.register(it));
    Some(place)
}

/// Checks that a question may be asked. It is an error if the question, or the URL that it signs, would write or
/// delete something in an existing store outside the environment's prefix. What a `script` or a pod writes is not
/// known, so it is not checked.
pub(super) fn permitted(scene: &Scene<'_>, probe: &Probe) -> Result<(), String> {
    let stores = scene.stores().map(|(id, store)| Limit {
        id,
        endpoint: &store.endpoint,
        prefix: scene.prefix(store),
        buckets: &store.buckets,
    });
    within(&stores.collect::<Vec<_>>(), probe)
}

/// Where an environment may write in one of its stores.
struct Limit<'a> {
    /// The id of the store's fixture.
    id: &'a str,
    endpoint: &'a str,
    /// The prefix of the keys, without a slash at its end. `None` for a store that the run created: everything may be
    /// written there.
    prefix: Option<String>,
    buckets: &'a [String],
}

impl Limit<'_> {
    fn permits(&self, bucket: &str, key: &str) -> bool {
        let Some(prefix) = &self.prefix else { return true };
        let below = key.strip_prefix(prefix.as_str()).and_then(|it| it.strip_prefix('/'));
        // A key with a part `..` is refused, because some clients and proxies resolve `..`, and the result could be
        // outside the prefix.
        below.is_some_and(|it| it.split('/').all(|part| part != "..")) && self.buckets.iter().any(|it| it == bucket)
    }
}

fn within(stores: &[Limit<'_>], probe: &Probe) -> Result<(), String> {
    let Some(Written { url, bucket, key, signs }) = written(stores, probe) else { return Ok(()) };
    let mut meant: Vec<&Limit<'_>> = stores.iter().filter(|it| is_one_server(it.endpoint, url)).collect();
    // A URL can be signed for a host that is not an endpoint of a store, such as a proxy in front of an existing
    // store. So the bucket and the key of such a URL are checked against the limits of all existing stores.
    if meant.is_empty() && signs {
        meant = stores.iter().filter(|it| it.prefix.is_some()).collect();
    }
    if meant.iter().any(|it| it.permits(&bucket, &key)) {
        return Ok(());
    }
    let Some(Limit { id, prefix: Some(prefix), .. }) = meant.first() else { return Ok(()) };
    Err(format!(
        "it would change {bucket}/{key} in the existing store `{id}`, where the run may change only what is below \
         {prefix}/ in its `buckets`; begin the key with `{{{{ {id}.prefix }}}}/`"
    ))
}

/// What a question writes or deletes. If the question signs a URL, this is what the holder of the URL can write or
/// delete.
struct Written<'a> {
    /// The URL of the request. Only its host and port are compared with the endpoints of the stores.
    url: &'a str,
    bucket: Cow<'a, str>,
    /// The key of the object. It is empty if the question is about the bucket itself.
    key: Cow<'a, str>,
    /// Whether the question signs a request, a URL or a form with the credentials of a store.
    signs: bool,
}

fn written<'a>(stores: &'a [Limit<'_>], probe: &'a Probe) -> Option<Written<'a>> {
    match probe {
        Probe::S3(it) => by_operation(it),
        Probe::Presign(it) => by_signature(it),
        Probe::Http(it) => by_request(stores, it),
        Probe::Client(it) => match &it.task {
            ClientTask::S3(it) => by_operation(it),
            ClientTask::Presign(it) => by_signature(it),
            ClientTask::Http(it) => by_request(stores, it),
        },
        _ => None,
    }
}

fn by_operation(question: &S3Question) -> Option<Written<'_>> {
    let (bucket, key) = match &question.operation {
        S3Operation::CreateBucket { bucket } | S3Operation::PutBucketPolicy { bucket, .. } => (bucket, ""),
        S3Operation::Put { bucket, key, .. }
        | S3Operation::Delete { bucket, key }
        | S3Operation::CreateUpload { bucket, key }
        | S3Operation::CompleteUpload { bucket, key, .. } => (bucket, key.as_str()),
        S3Operation::Get { .. } | S3Operation::Head { .. } | S3Operation::List { .. } | S3Operation::Survey { .. } => {
            return None;
        }
    };
    let url = &question.access.endpoint;
    Some(Written { url, bucket: bucket.into(), key: key.into(), signs: true })
}

fn by_signature(question: &PresignQuestion) -> Option<Written<'_>> {
    let PresignQuestion { access, method, bucket, key, .. } = question;
    let writes = !["GET", "HEAD"].contains(&method.as_str());
    writes.then(|| Written { url: &access.endpoint, bucket: bucket.into(), key: key.into(), signs: true })
}

/// Returns what an HTTP request writes. A request that names no bucket writes no object: it asks the store itself, for
/// example for temporary credentials.
///
/// The request goes to the server in the URL, so this server decides which store is meant. If this server is no store,
/// it may be a proxy that passes the request on. Then the header `Host` decides which store is meant. In virtual-host
/// style, the store reads the bucket from `Host`.
fn by_request<'a>(stores: &'a [Limit<'_>], question: &'a HttpQuestion) -> Option<Written<'a>> {
    let HttpQuestion { method, url, host, form, .. } = question;
    if ["GET", "HEAD", "OPTIONS"].contains(&method.as_str()) {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let path = decoded(uri.path());
    let path = path.trim_start_matches('/');
    let (name, port) = server(url)?;
    // The header `Host` need not contain the port of the URL, so only its host name is compared.
    let sent_to = host.as_ref().and_then(|host| Some(server(&format!("https://{host}"))?.0));
    let meant = store_of(stores, &name, Some(port)).or_else(|| store_of(stores, sent_to.as_ref()?, None));
    let host = sent_to.as_ref().unwrap_or(&name);
    let bucket = meant.and_then(|it| bucket_in_host(&server(it.endpoint)?.0, host));
    // In virtual-host style, the bucket is in the host name, and the whole path is the key.
    let (bucket, key) = bucket.map_or_else(|| path.split_once('/').unwrap_or((path, "")), |bucket| (bucket, path));
    if bucket.is_empty() {
        return None;
    }
    // A form is sent to the URL of the bucket. The key of the object is in the form's field `key`.
    let field = form.as_ref().and_then(|it| it.fields.get("key")).filter(|_| key.is_empty());
    let key = field.map_or_else(|| Cow::Owned(key.to_owned()), |it| Cow::Borrowed(it.as_str()));
    let url = meant.map_or(url.as_str(), |it| it.endpoint);
    Some(Written { url, bucket: Cow::Owned(bucket.to_owned()), key, signs: false })
}

/// Returns the store to which a host name belongs. The host name is that of the store's endpoint, or that of one of its
/// buckets in virtual-host style (`BUCKET.STORE`). If several stores match, the store with the longest host name is
/// returned. If `port` is `None`, the ports are not compared.
fn store_of<'a, 'b>(stores: &'a [Limit<'b>], host: &str, port: Option<u16>) -> Option<&'a Limit<'b>> {
    let servers = stores.iter().filter_map(|it| Some((it, server(it.endpoint)?)));
    let servers = servers.filter(|(_, (_, of))| port.is_none_or(|port| port == *of));
    let matching = servers.filter(|(_, (name, _))| name == host || bucket_in_host(name, host).is_some());
    matching.max_by_key(|(_, (name, _))| name.len()).map(|(store, _)| store)
}

/// Whether the URLs `one` and `other` have the same host and port.
fn is_one_server(one: &str, other: &str) -> bool {
    server(one).is_some_and(|it| Some(it) == server(other))
}

/// The bucket in a host name of virtual-host style, which consists of the bucket, a dot and the store's own host name.
/// `None` if `host` does not have this form.
fn bucket_in_host<'a>(store: &str, host: &'a str) -> Option<&'a str> {
    host.strip_suffix(store)?.strip_suffix('.')
}

/// The host and the port of a URL.
fn server(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    Some((uri.host()?.trim_end_matches('.').to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Secret;
    use parallax_vocab::question::{Addressing, Form};

    use super::*;

    const HOST: &str = "https://s3.example.com";

    /// Returns the id of the existing store in which the question would write without permission. `None` if the
    /// question may be asked.
    fn refused_in(probe: &Probe) -> Option<String> {
        let (photos, videos) = (["photos".to_owned()], ["videos".to_owned()]);
        let limit = |id, endpoint, prefix: Option<&str>, buckets| {
            let prefix = prefix.map(str::to_owned);
            Limit { id, endpoint, prefix, buckets }
        };
        let stores = [
            limit("first", HOST, Some("p/r1/n"), &photos[..]),
            limit("same", HOST, Some("q/r1/n"), &videos[..]),
            limit("second", "http://other.example.com:9000", Some("o/r1/n"), &photos[..]),
            limit("own", "https://own.example.com", None, &photos[..]),
            limit("below", "https://eu.own.example.com", Some("b/r1/n"), &photos[..]),
        ];
        let refused = within(&stores, probe).err()?;
        let id = refused.split_once("the existing store `").expect("a store").1;
        Some(id.split('`').next().expect("an id").to_owned())
    }

    #[test]
    fn an_http_request_changes_an_existing_store_only_below_the_prefix() {
        for (method, url, expected) in [
            ("PUT", "https://s3.example.com/photos/p/r1/n/a.txt?X-Amz-Signature=1", None),
            ("PUT", "https://S3.example.com:443/photos/p%2Fr1/n/a.txt", None),
            ("DELETE", "https://s3.example.com/photos/theirs.txt", Some("first")),
            ("DELETE", "https://s3.example.com./photos/theirs.txt", Some("first")),
            ("PUT", "https://s3.example.com//photos/theirs.txt", Some("first")),
            ("PUT", "https://s3.example.com/photos/p/r1/n-2/a.txt", Some("first")),
            ("PUT", "https://s3.example.com/photos/p/r1/n/../a.txt", Some("first")),
            ("DELETE", "https://s3.example.com/photos/p/r1/n/%2e%2e", Some("first")),
            ("PUT", "https://s3.example.com/new", Some("first")),
            ("POST", "https://s3.example.com/photos?delete", Some("first")),
            ("POST", "https://s3.example.com/?Action=AssumeRoleWithWebIdentity", None),
            ("GET", "https://s3.example.com/photos/theirs.txt", None),
            ("OPTIONS", "https://s3.example.com/photos/theirs.txt", None),
            // Two stores have the endpoint `https://s3.example.com`: `first` and `same`. Each has its own prefix and
            // buckets.
            ("PUT", "https://s3.example.com/videos/q/r1/n/a.txt", None),
            ("PUT", "https://s3.example.com/videos/p/r1/n/a.txt", Some("first")),
            ("PUT", "http://other.example.com:9000/photos/o/r1/n/a.txt", None),
            ("PUT", "http://other.example.com:9000/photos/p/r1/n/a.txt", Some("second")),
            // The bucket is in the host name.
            ("PUT", "https://photos.s3.example.com/p/r1/n/a.txt", None),
            ("DELETE", "https://photos.S3.example.com:443/theirs.txt", Some("first")),
            ("PUT", "https://photos.s3.example.com/photos/p/r1/n/a.txt", Some("first")),
            ("PUT", "https://new.s3.example.com/", Some("first")),
            ("POST", "https://photos.s3.example.com/?delete", Some("first")),
            ("GET", "https://photos.s3.example.com/theirs.txt", None),
            ("PUT", "https://photos.own.example.com/a.txt", None),
            ("PUT", "https://photos.s3.example.com:8443/theirs.txt", None),
            // The host of the existing store `below` is `eu.own.example.com`. It ends with the host of the store `own`,
            // which the run created. So the code could mistake `eu` for a bucket of `own`.
            ("PUT", "https://eu.own.example.com/photos/theirs.txt", Some("below")),
            ("PUT", "https://eu.own.example.com/photos/b/r1/n/a.txt", None),
            ("PUT", "https://photos.eu.own.example.com/theirs.txt", Some("below")),
            // These servers are no stores that existed before the run, so the limits do not apply to them.
            ("PUT", "http://other.example.com/photos/a.txt", None),
            ("PUT", "https://own.example.com/photos/a.txt", None),
            ("DELETE", "https://app.example.com/photos/theirs.txt", None),
        ] {
            let question = HttpQuestion::new(method, url);
            let expected = expected.map(str::to_owned);
            assert_eq!(refused_in(&Probe::Http(question)), expected, "{method} {url}");
        }
    }

    #[test]
    fn the_key_of_a_form_is_in_a_field() {
        for (key, expected) in [("p/r1/n/${filename}", None), ("theirs.txt", Some("first"))] {
            for url in [format!("{HOST}/photos"), HOST.replace("://", "://photos.")] {
                let fields = [("key".to_owned(), key.to_owned())].into();
                let form = Some(Form { fields, file: None });
                let question = HttpQuestion { form, ..HttpQuestion::new("POST", url) };
                assert_eq!(refused_in(&Probe::Http(question)).as_deref(), expected, "{key}");
            }
        }
    }

    #[test]
    fn the_url_decides_which_store_is_meant_and_the_host_header_which_bucket() {
        for (url, host, expected) in [
            ("https://s3.example.com/p/r1/n/a.txt", "photos.s3.example.com", None),
            ("https://s3.example.com/photos/p/r1/n/a.txt", "photos.s3.example.com", Some("first")),
            ("https://s3.example.com/photos/theirs.txt", "photos.own.example.com", Some("first")),
            ("https://photos.s3.example.com/theirs.txt", "other.example.com", Some("first")),
            ("https://photos.s3.example.com/p/r1/n/a.txt", "s3.example.com", Some("first")),
            ("http://other.example.com:9000/o/r1/n/a.txt", "photos.other.example.com", None),
            ("https://proxy.example.com/theirs.txt", "photos.s3.example.com", Some("first")),
            ("https://proxy.example.com/photos/theirs.txt", "s3.example.com:443", Some("first")),
            ("https://own.example.com/photos/a.txt", "photos.s3.example.com", None),
        ] {
            let question = HttpQuestion { host: Some(host.to_owned()), ..HttpQuestion::new("PUT", url) };
            assert_eq!(refused_in(&Probe::Http(question)).as_deref(), expected, "{url} {host}");
        }
    }

    #[test]
    fn a_signed_question_changes_the_store_whose_endpoint_it_asks() {
        for (endpoint, bucket, key, expected) in [
            (HOST, "photos", "p/r1/n/a.txt", None),
            (HOST, "videos", "q/r1/n/a.txt", None),
            (HOST, "photos", "theirs.txt", Some("first")),
            ("http://other.example.com:9000", "photos", "o/r1/n/a.txt", None),
            ("http://other.example.com:9000", "photos", "p/r1/n/a.txt", Some("second")),
            ("https://own.example.com", "photos", "theirs.txt", None),
            // The URL is signed for the host of a proxy, which is not the endpoint of any store.
            ("https://proxy.example.com", "photos", "o/r1/n/a.txt", None),
            ("https://proxy.example.com", "photos", "theirs.txt", Some("first")),
        ] {
            let access = S3Access {
                endpoint: endpoint.to_owned(),
                region: "us-east-1".to_owned(),
                access_key: "key".to_owned(),
                secret_key: Secret::new("secret"),
                session_token: None,
                addressing: Addressing::Path,
            };
            let operation = S3Operation::Delete { bucket: bucket.to_owned(), key: key.to_owned() };
            let question = S3Question { access, operation, headers: [].into() };
            assert_eq!(refused_in(&Probe::S3(question)).as_deref(), expected, "{endpoint} {bucket}/{key}");
        }
    }
}
