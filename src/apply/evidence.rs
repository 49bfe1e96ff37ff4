//! Collects evidence about a namespace in which something did not become ready: the states of pods, events, and log
//! lines. The evidence is collected before the environment is taken down, because it no longer exists afterwards.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};

/// The number of log lines that are collected for each container.
const LOG_LINES: i64 = 12;
/// The largest total number of lines of evidence.
const LIMIT: usize = 60;
/// The time limit for collecting evidence. It is short, because missing evidence is better than a long delay.
const WITHIN: Duration = Duration::from_secs(10);

/// Returns the states and the last log lines of the pods that are not ready, and the events of the type `Warning` of
/// the namespace. This function never returns an error, because the caller adds the result to another error.
pub async fn namespace(client: &Client, namespace: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if tokio::time::timeout(WITHIN, collect(client, namespace, &mut lines)).await.is_err() {
        lines.push("(the apiserver did not give more in time)".to_owned());
    }
    lines.truncate(LIMIT);
    lines
}

async fn collect(client: &Client, namespace: &str, lines: &mut Vec<String>) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = match pods.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(error) => return lines.push(format!("pods cannot be listed: {error}")),
    };
    for pod in found {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(status) = pod.status else { continue };
        let containers = status.container_statuses.unwrap_or_default();
        if !containers.is_empty() && containers.iter().all(|it| it.ready) {
            continue;
        }
        lines.push(format!("pod {name}: {}", status.phase.unwrap_or_default()));
        for container in status.init_container_statuses.unwrap_or_default().iter().chain(&containers) {
            lines.push(format!("  container {}: {}", container.name, state(container)));
            lines.extend(log(&pods, &name, container).await);
        }
    }
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let warnings = ListParams::default().fields("type=Warning");
    let events = match events.list(&warnings).await {
        Ok(events) => events.items,
        Err(error) => return lines.push(format!("events cannot be listed: {error}")),
    };
    for event in events {
        let object = event.involved_object.name.unwrap_or_default();
        let reason = event.reason.unwrap_or_default();
        lines.push(format!("event on {object}: {reason}: {}", event.message.unwrap_or_default()));
    }
}

pub(super) fn state(container: &ContainerStatus) -> String {
    let Some(state) = &container.state else { return "unknown".to_owned() };
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return format!("{reason} {}", waiting.message.as_deref().unwrap_or_default());
    }
    if let Some(ended) = &state.terminated {
        return format!("ended with code {} {}", ended.exit_code, ended.message.as_deref().unwrap_or_default());
    }
    if container.ready { "ready".to_owned() } else { "runs and is not ready".to_owned() }
}

async fn log(pods: &Api<Pod>, pod: &str, container: &ContainerStatus) -> Vec<String> {
    if container.ready {
        return Vec::new();
    }
    let parameters = LogParams {
        container: Some(container.name.clone()),
        tail_lines: Some(LOG_LINES),
        previous: container.restart_count > 0,
        ..LogParams::default()
    };
    match pods.logs(pod, &parameters).await {
        Ok(text) => text.lines().map(|line| format!("    {line}")).collect(),
        Err(error) => vec![format!("    (its log cannot be read: {error})")],
    }
}
