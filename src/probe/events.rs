//! Events that Kubernetes recorded of an object, by the apiserver: those that are there, or as they come.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

use crate::cluster::pauses;
use parallax_judge::ObjectEvent;
use parallax_record::in_full;

/// Of which objects events are looked at.
#[derive(Clone, Debug)]
pub struct EventQuestion {
    /// `Pod`, `Deployment`, …
    pub kind: String,
    /// One by name; of any of the kind where absent.
    pub name: Option<String>,
    /// Where the events are: the object's namespace, or `default` for what is in none.
    pub namespace: String,
    /// Only those of this reason.
    pub reason: Option<String>,
    /// None of these, as [`known`] gives them.
    pub hidden: BTreeSet<String>,
}

impl EventQuestion {
    fn fields(&self) -> String {
        let mut fields = vec![format!("involvedObject.kind={}", self.kind)];
        fields.extend(self.name.as_ref().map(|it| format!("involvedObject.name={it}")));
        fields.extend(self.reason.as_ref().map(|it| format!("reason={it}")));
        fields.join(",")
    }
}

/// The events that are there.
pub async fn list(client: &Client, question: &EventQuestion) -> Result<Vec<ObjectEvent>, Box<kube::Error>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &question.namespace);
    let found = api.list(&ListParams::default().fields(&question.fields())).await?;
    Ok(found.items.iter().filter(|it| !question.hidden.contains(&stamp(it))).map(in_short).collect())
}

/// The events of a namespace as they are now: one that happens once more is another.
pub async fn known(client: &Client, namespace: &str) -> Result<BTreeSet<String>, Box<kube::Error>> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default()).await?.items.iter().map(stamp).collect())
}

fn stamp(event: &Event) -> String {
    let word = |it: &Option<String>| it.clone().unwrap_or_default();
    format!("{} {}", word(&event.metadata.uid), word(&event.metadata.resource_version))
}

/// Hands each event to `take`, those that are there first, until it says that it has seen enough. Ends in no other way:
/// the caller bounds it.
pub async fn follow(client: &Client, question: &EventQuestion, mut take: impl AsyncFnMut(ObjectEvent) -> bool) {
    let api: Api<Event> = Api::namespaced(client.clone(), &question.namespace);
    let only = watcher::Config::default().fields(&question.fields());
    let mut events = Box::pin(watcher(api, only).backoff(pauses()).applied_objects());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) if question.hidden.contains(&stamp(&event)) => {}
            Ok(event) if take(in_short(&event)).await => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(error = in_full(&error), "the watch of events broke and is begun again"),
        }
    }
    // The end of a stream says nothing of what else may happen.
    std::future::pending::<()>().await;
}

fn in_short(event: &Event) -> ObjectEvent {
    ObjectEvent {
        object: event.involved_object.name.clone().unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
    }
}
