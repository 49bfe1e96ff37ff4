//! Functions that wait for a Kubernetes object. Each function watches the object until a condition holds. If the watch
//! breaks, the function starts it again.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::wait::Condition;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::transport::is_transient;
use parallax_record::in_full;

/// The shortest and the longest pause before a broken watch is started again.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// The time limit for the last request for the object at the deadline, and for a request that only checks whether the
/// apiserver answers.
const LOOK_WITHIN: Duration = Duration::from_secs(3);

/// The result of a wait for an object.
#[derive(Debug)]
pub enum Ended<K> {
    /// The condition holds for this object. `None` means that it holds because the object does not exist.
    Met(Option<K>),
    /// At the deadline, the apiserver answered and the condition did not hold for this object. `None` means that the
    /// object does not exist.
    NotMet(Option<K>),
    /// At the deadline, the apiserver did not answer. The text is the reason. Nothing is known about the object.
    Unseen(String),
}

/// Waits until a condition holds. The condition gets the object, or `None` if the object does not exist.
///
/// A watch that fails is started again after a pause. At the deadline, the object is requested once more. Without this
/// request, the caller could not distinguish two cases: the condition does not hold, which is a fault of the system
/// under test, or the apiserver does not answer.
pub async fn until<K>(api: &Api<K>, name: &str, condition: impl Condition<K>, deadline: Instant) -> Ended<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let matches = |object: Option<&K>| condition.matches_object(object);
    // The future is boxed, because the buffers of the watch would otherwise enlarge every future that awaits this
    // function.
    if let Ok(object) = tokio::time::timeout_at(deadline, Box::pin(met(api.clone(), name, matches))).await {
        return Ended::Met(object);
    }
    match tokio::time::timeout(LOOK_WITHIN, api.get_opt(name)).await {
        Ok(Ok(object)) if condition.matches_object(object.as_ref()) => Ended::Met(object),
        Ok(Ok(object)) => Ended::NotMet(object),
        Ok(Err(error)) => Ended::Unseen(in_full(&error)),
        Err(_) => Ended::Unseen(silent()),
    }
}

/// Resolves with the object as soon as the condition holds for it, or with `None` if the condition holds because the
/// object does not exist. There is no deadline. A watch that fails is started again after a pause.
pub async fn met<K>(api: Api<K>, name: &str, condition: impl Condition<K>) -> Option<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let mut seen = pin!(watch_object(api, name).backoff(pauses()));
    while let Some(event) = seen.next().await {
        match event {
            Ok(object) if condition.matches_object(object.as_ref()) => return object,
            Ok(_) => {}
            Err(error) => tracing::debug!(name, error = in_full(&error), "a watch broke and is started again"),
        }
    }
    // The watch ended, but the condition does not hold. Therefore the future never resolves, and the caller's deadline
    // ends the wait.
    std::future::pending().await
}

/// Checks whether the apiserver answers now. The error contains the reason why it does not. This check is for a caller
/// whose watch had no event. It distinguishes two cases: nothing happened, or the apiserver could not report it.
pub async fn answers(client: &Client) -> Result<(), String> {
    match tokio::time::timeout(LOOK_WITHIN, client.apiserver_version()).await {
        Ok(Err(error)) if is_transient(&error) => Err(in_full(&error)),
        // A refusal shows that the apiserver answers.
        Ok(_) => Ok(()),
        Err(_) => Err(silent()),
    }
}

fn silent() -> String {
    format!("the apiserver has not answered within {} s", LOOK_WITHIN.as_secs())
}

/// An iterator over the pauses before a broken watch is started again. Each pause is twice as long as the previous one,
/// up to two seconds. The pauses of the library kube grow to half a minute, which is longer than most waits.
#[derive(Clone, Debug)]
pub struct Pauses(Duration);

/// Returns the pauses for a new watch, which begin with the shortest one.
pub fn pauses() -> Pauses {
    Pauses(SHORTEST)
}

impl Pauses {
    /// Returns the next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = LONGEST.min(pause * 2);
        pause
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.pause())
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = pauses();
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::cluster::testing::{Does, apiserver, status};

    const BOUND: Duration = Duration::from_secs(5);

    fn listed() -> Does {
        let list =
            json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] });
        Does::Answer(200, list.to_string())
    }

    fn map() -> serde_json::Value {
        json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "a", "resourceVersion": "2" } })
    }

    fn there(it: Option<&ConfigMap>) -> bool {
        it.is_some()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    fn watches(line: &str) -> bool {
        line.contains("watch=true")
    }

    #[tokio::test]
    async fn a_watch_that_breaks_is_started_again() {
        let (client, _server) = apiserver(BOUND, |number, line| match number {
            1..=7 => Does::Reset,
            8 | 11 => status(500, "etcdserver: leader changed"),
            _ if watches(line) && number > 14 => {
                Does::Begin(format!("{}\n", json!({ "type": "ADDED", "object": map() })))
            }
            // The server ends the watch at once. This says nothing about the object, so the wait must continue.
            _ if watches(line) => Does::Answer(200, String::new()),
            _ => listed(),
        })
        .await;
        let api: Api<ConfigMap> = Api::namespaced(client, "n");
        let ended = until(&api, "a", there, Instant::now() + Duration::from_secs(30)).await;
        assert!(matches!(ended, Ended::Met(Some(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn an_unmet_condition_is_distinguished_from_a_silent_apiserver() {
        let (client, _server) = apiserver(BOUND, |_, line| match line {
            line if watches(line) => Does::Begin(String::new()),
            line if line.contains("/a") => status(404, "not found"),
            _ => listed(),
        })
        .await;
        let ended = until(&Api::<ConfigMap>::namespaced(client.clone(), "n"), "a", there, soon()).await;
        assert!(matches!(ended, Ended::NotMet(None)), "{ended:?}");

        // As in the first part of this test, the watch has no events. This time, however, the apiserver does not answer
        // the request at the deadline.
        let (client, _server) = apiserver(BOUND, |_, line| match line {
            line if watches(line) => Does::Begin(String::new()),
            line if line.contains("/a") => Does::Nothing,
            _ => listed(),
        })
        .await;
        let ended = until(&Api::<ConfigMap>::namespaced(client.clone(), "n"), "a", there, soon()).await;
        assert!(matches!(&ended, Ended::Unseen(why) if why.contains("has not answered")), "{ended:?}");
        assert!(answers(&client).await.is_ok(), "an answer of any kind is one");

        let (client, _server) = apiserver(BOUND, |_, _| Does::Reset).await;
        let ended = until(&Api::<ConfigMap>::namespaced(client.clone(), "n"), "a", there, soon()).await;
        assert!(matches!(ended, Ended::Unseen(_)), "{ended:?}");
        assert!(answers(&client).await.is_err());
    }

    #[tokio::test]
    async fn a_change_that_the_watch_missed_is_seen_at_the_deadline() {
        let (client, _server) = apiserver(BOUND, |_, line| match line {
            line if watches(line) => Does::Begin(String::new()),
            line if line.contains("/a") => Does::Answer(200, map().to_string()),
            _ => listed(),
        })
        .await;
        let ended = until(&Api::<ConfigMap>::namespaced(client, "n"), "a", there, soon()).await;
        assert!(matches!(ended, Ended::Met(Some(_))), "{ended:?}");
    }
}
