//! Stores that exist already, and that others use.
//!
//! **Architecture Invariant:** a step writes only below the prefix of its environment, which contains the id of the run.
//! The run removes what is below this prefix, and nothing else.

use std::sync::PoisonError;

use futures::future::join_all;
use parallax_probe::contents::{self, Bucket};
use parallax_vocab::Probe;
use parallax_vocab::program::ClientTask;
use parallax_vocab::question::{PresignQuestion, S3Access, S3Operation, S3Question, View};

use super::Context;
use super::error::RunError;
use super::scene::Scene;
use super::store::{self, repeated};

/// The place in one existing store where one environment may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The namespace of the environment.
    namespace: String,
    fixture: String,
    view: View,
    access: S3Access,
    bucket: String,
    /// The prefix of the keys, with a slash at its end. The prefix of one namespace is therefore never the beginning of
    /// another one's.
    prefix: String,
}

impl Place {
    /// The places of an environment: one for each bucket that its existing stores name.
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

    /// Removes what is at this place. Returns the number of objects and multipart uploads.
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

/// Asks each existing store, before the flow, what is at the environment's places. So a store that this machine cannot
/// reach, and keys that the store does not accept, are known before anything is written. From then on, these places are
/// cleared when the environment or the run ends.
pub(super) async fn begin(context: &Context, scene: &Scene<'_>) -> Result<(), RunError> {
    for place in Place::all(scene)? {
        let Place { namespace, fixture, view, access, bucket, prefix } = &place;
        let failed = |why| {
            let doing = format!("this machine cannot see whether anything is at {place}");
            store::failed(namespace, fixture, &doing, why)
        };
        let found = repeated(|| contents::below(view.clone(), access, bucket, prefix)).await;
        if found.map_err(|cause| failed(cause.into()))? != Bucket::default() {
            return Err(failed("objects of somebody else are there".to_owned().into()));
        }
        context.written.lock().unwrap_or_else(PoisonError::into_inner).push(place);
    }
    Ok(())
}

/// Removes between two variants what the first one wrote.
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

/// Clears the places where the environments of a namespace may have written; `None` stands for all namespaces of the
/// run. Returns the number of removed objects, and a line for each place that could not be cleared. The run tries such a
/// place again at its end.
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
                // The place is forgotten only now: if the user ends the run earlier, the end of the run clears the place.
                written().retain(|it| it != place);
            }
            Err(cause) => left.push(format!("{place}: {cause}")),
        }
    }
    (removed, left)
}

/// Whether a question may be asked: an error if the question, or the URL that it signs, writes or deletes in an existing
/// store outside the environment's prefix. The harness does not know what a `script` or a pod writes.
pub(super) fn permitted(scene: &Scene<'_>, probe: &Probe) -> Result<(), String> {
    let Some((endpoint, bucket, key)) = written(probe) else { return Ok(()) };
    // A URL may be signed for another host than the store's, so the only store is meant by every host.
    let named = scene.stores().find(|(_, store)| store.endpoint == endpoint);
    let meant = named.or_else(|| scene.stores().find(|(_, store)| store.prefix.is_some()));
    let Some((id, store)) = meant else { return Ok(()) };
    let Some(prefix) = scene.prefix(store) else { return Ok(()) };
    let is_below = key.strip_prefix(&prefix).is_some_and(|it| it.starts_with('/') && !it.contains("/../"));
    if is_below && store.buckets.iter().any(|it| it == bucket) {
        return Ok(());
    }
    Err(format!(
        "it would change {bucket}/{key} in the existing store `{id}`, where the run may change only what is below \
         {prefix}/ in its `buckets`; begin the key with `{{{{ {id}.prefix }}}}/`"
    ))
}

/// The endpoint, the bucket and the key that a question writes or deletes, or that it allows somebody to write or to
/// delete. The key is empty if the bucket itself is meant.
fn written(probe: &Probe) -> Option<(&str, &str, &str)> {
    match probe {
        Probe::S3(it) => by_operation(it),
        Probe::Presign(it) => by_url(it),
        Probe::Client(it) => match &it.task {
            ClientTask::S3(it) => by_operation(it),
            ClientTask::Presign(it) => by_url(it),
            ClientTask::Http(_) => None,
        },
        _ => None,
    }
}

fn by_operation(question: &S3Question) -> Option<(&str, &str, &str)> {
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
    Some((&question.access.endpoint, bucket, key))
}

fn by_url(question: &PresignQuestion) -> Option<(&str, &str, &str)> {
    let writes = !["GET", "HEAD"].contains(&question.method.as_str());
    writes.then_some((&question.access.endpoint, &question.bucket, &question.key))
}
