//! A watch of several objects that is started again after a failure.

use std::fmt::Debug;
use std::future::ready;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::until::pauses;
use parallax_record::in_full;

/// Each object that exists, and each that is created or changed later. The stream does not end: after a failure, the
/// watch is started again, and existing objects come again. `what` names the objects in `harness.log`.
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
