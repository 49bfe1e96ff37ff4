//! Reads from the apiserver the events that Kubernetes recorded for an object: the existing events, or new events as
//! they arrive.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::cluster::watched;
use parallax_judge::ObjectEvent;

/// Selects the objects whose events are read.
#[derive(Clone, Debug)]
pub struct EventQuestion {
    /// The kind of the objects, such as `Pod` or `Deployment`.
    pub kind: String,
    /// The name of the object. `None` selects every object of the kind.
    pub name: Option<String>,
    /// The namespace in which the events are recorded: the namespace of the object, or `default` for cluster-scoped
    /// objects.
    pub namespace: String,
    /// The reason of the events, such as `FailedMount`. `None` selects every reason.
    pub reason: Option<String>,
    /// The keys of the events to leave out, as [`known`] returns them.
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

/// Returns the existing events of the selected objects, without the events in `question.hidden`.
pub async fn list(client: &Client, question: &EventQuestion) -> Result<Vec<ObjectEvent>, Box<kube::Error>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &question.namespace);
    let found = api.list(&ListParams::default().fields(&question.fields())).await?;
    Ok(found.items.iter().filter(|it| !question.hidden.contains(&stamp(it))).map(in_short).collect())
}

/// Returns a key for each existing event of a namespace. If an event occurs again, Kubernetes only increases the count
/// in its Event object. The key changes with the count, so each repetition counts as a new event.
pub async fn known(client: &Client, namespace: &str) -> Result<BTreeSet<String>, Box<kube::Error>> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default()).await?.items.iter().map(stamp).collect())
}

fn stamp(event: &Event) -> String {
    let word = |it: &Option<String>| it.clone().unwrap_or_default();
    format!("{} {}", word(&event.metadata.uid), word(&event.metadata.resource_version))
}

/// Passes each event to `take`, the existing events first, until `take` returns true. If `take` never returns true, the
/// function never returns, so the caller must set a time limit.
pub async fn follow(client: &Client, question: &EventQuestion, mut take: impl AsyncFnMut(ObjectEvent) -> bool) {
    let api: Api<Event> = Api::namespaced(client.clone(), &question.namespace);
    let only = watcher::Config::default().fields(&question.fields());
    let mut events = watched(api, only, "events");
    while let Some(event) = events.next().await {
        if !question.hidden.contains(&stamp(&event)) && take(in_short(&event)).await {
            return;
        }
    }
    // The end of the stream does not mean that no further events occur. Therefore the function waits for the caller's
    // time limit.
    std::future::pending::<()>().await;
}

fn in_short(event: &Event) -> ObjectEvent {
    ObjectEvent {
        object: event.involved_object.name.clone().unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
    }
}
