//! Watches all objects of a type. A watch that fails is started again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::ready;
use std::pin::pin;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::until::pauses;
use parallax_record::in_full;

/// Returns a stream of objects: first each existing object, then each object that is created or changed. The stream
/// does not end. After a failure, the watch is started again, and the stream has the existing objects once more. `only`
/// restricts the objects. `what` names the objects in `harness.log`.
pub fn watched<K>(api: Api<K>, only: watcher::Config, what: &'static str) -> BoxStream<'static, K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let objects = watcher(api, only).backoff(pauses()).applied_objects();
    let logged = objects.filter_map(move |it| {
        let broken = |error: &watcher::Error| {
            tracing::debug!(error = in_full(error), "the watch of {what} broke and is started again");
        };
        ready(it.inspect_err(broken).ok())
    });
    logged.boxed()
}

/// Resolves as soon as `stays` returns false for every existing object, or no object exists. `only` restricts the
/// objects. `what` names the objects in `harness.log`.
pub async fn until_none<K>(api: Api<K>, only: watcher::Config, stays: impl Fn(&K) -> bool, what: &'static str)
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let mut seen = pin!(watcher(api, only).backoff(pauses()));
    let mut objects: BTreeMap<String, bool> = BTreeMap::new();
    let mut is_listed = false;
    while let Some(event) = seen.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                objects.clear();
                is_listed = false;
            }
            Ok(watcher::Event::InitDone) => is_listed = true,
            Ok(watcher::Event::InitApply(it) | watcher::Event::Apply(it)) => {
                objects.insert(it.uid().unwrap_or_default(), stays(&it));
            }
            Ok(watcher::Event::Delete(it)) => {
                objects.remove(&it.uid().unwrap_or_default());
            }
            Err(error) => tracing::debug!(error = in_full(&error), "the watch of {what} broke and is started again"),
        }
        if is_listed && !objects.values().any(|it| *it) {
            return;
        }
    }
    // The watch ended, which says nothing about the objects. Therefore the future never resolves, and the caller's time
    // limit ends the wait.
    std::future::pending::<()>().await;
}
