//! The application that uses the store. Its settings are read from its pod and compared with the endpoint that
//! `parallax check` examines.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::rows::{Cell, Row, State};
use super::wanted::{Wanted, endpoint};
use crate::apply::can_attach;
use crate::cluster::{Access, api_message, selector};

/// The name of the row about the application's settings.
const ROW: &str = "application";
/// Endings of host names that only the DNS of a cluster resolves.
const INNER: [&str; 2] = [".svc", ".svc.cluster.local"];

/// The settings of an application that uses the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Application {
    /// The application as the user named it, for example `deploy/app`.
    pub named: String,
    /// The `AWS_*` variables of its containers. A value is kept only for endpoints and the region, and only if it does
    /// not come from a Secret or a ConfigMap. Any other value may be a secret, so it is `None`.
    pub variables: BTreeMap<String, Option<String>>,
    /// Whether a container takes all variables of a Secret or a ConfigMap. Then there may be variables whose names are
    /// not known.
    pub open: bool,
    /// The DNS policy of its pod.
    pub dns_policy: Option<String>,
    /// The DNS settings of its pod.
    pub dns_config: Option<PodDNSConfig>,
}

/// Finds a pod of an application, if possible one whose container runs. The pod, unlike the Deployment, also has the
/// variables that admission added. `option` is the option that names the application. `container` is the container that
/// the user named.
pub async fn pod_of(
    access: &Access,
    namespace: &str,
    (option, named): (&str, &str),
    container: Option<&str>,
) -> Result<Pod, String> {
    let (kind, name) = named.split_once('/').ok_or_else(|| format!("{option} {named}: write it as deploy/NAME"))?;
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), namespace);
    let failed =
        |error: kube::Error| format!("{named} of namespace {namespace} cannot be read: {}", api_message(&error));
    let of = match kind {
        "pod" | "pods" | "po" => return pods.get(name).await.map_err(failed),
        "deploy" | "deployment" | "deployments" => {
            get::<Deployment>(access, namespace, name).await.map_err(failed)?.spec.map(|it| it.selector)
        }
        "sts" | "statefulset" | "statefulsets" => {
            get::<StatefulSet>(access, namespace, name).await.map_err(failed)?.spec.map(|it| it.selector)
        }
        "ds" | "daemonset" | "daemonsets" => {
            get::<DaemonSet>(access, namespace, name).await.map_err(failed)?.spec.map(|it| it.selector)
        }
        other => {
            return Err(format!(
                "{option} {named}: the kind is `{other}`, and not deploy, statefulset, daemonset or pod"
            ));
        }
    };
    let of: LabelSelector = of.unwrap_or_default();
    let of = selector(of).map_err(|why| format!("{named}: {why}"))?;
    let listed = pods.list(&ListParams::default().labels(&of)).await.map_err(failed)?;
    best(listed.items, container).ok_or_else(|| format!("{named} of namespace {namespace} has no pod"))
}

/// Returns the most suitable of the pods: one whose container runs, otherwise one that is in the phase `Running`,
/// otherwise any. A pod whose program crashes again and again is in the phase `Running`, too.
fn best(pods: Vec<Pod>, container: Option<&str>) -> Option<Pod> {
    pods.into_iter().min_by_key(|pod| {
        let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
        let stays = phase == Some("Running") && pod.metadata.deletion_timestamp.is_none();
        match (stays, can_attach(pod, container)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    })
}

async fn get<K>(access: &Access, namespace: &str, name: &str) -> Result<K, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    Api::<K>::namespaced(access.client.clone(), namespace).get(name).await
}

/// Reads the settings of an application from its pod.
pub fn of_pod(named: &str, pod: &Pod) -> Application {
    let mut found = Application { named: named.to_owned(), ..Application::default() };
    let Some(spec) = &pod.spec else { return found };
    found.dns_policy.clone_from(&spec.dns_policy);
    found.dns_config.clone_from(&spec.dns_config);
    for container in &spec.containers {
        found.open |= container.env_from.as_ref().is_some_and(|it| !it.is_empty());
        for variable in container.env.iter().flatten().filter(|it| it.name.starts_with("AWS_")) {
            let shown = variable.name.starts_with("AWS_ENDPOINT_URL") || variable.name == "AWS_REGION";
            let value = variable.value.clone().filter(|_| shown && variable.value_from.is_none());
            found.variables.insert(variable.name.clone(), value);
        }
    }
    found
}

impl Application {
    /// Builds the row that compares the application's settings with the endpoint that the check examines.
    pub(super) fn row(&self, wanted: &Wanted) -> Row {
        Row::of(ROW, self.cell(wanted), Cell::not_asked("only its pod has settings"))
    }

    fn cell(&self, wanted: &Wanted) -> Cell {
        let named = &self.named;
        let bad = |text: &str, why: String, section| {
            let why = format!("`{ROW}` from inside: {why}");
            Cell { state: State::Bad, text: text.to_owned(), why: Some(why), section: Some(section) }
        };
        let variable =
            ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find(|it| self.variables.contains_key(*it));
        let signs_for = variable.and_then(|it| self.variables[it].clone());
        if let (Some(variable), Some(url)) = (variable, &signs_for)
            && !is_same(url, wanted)
        {
            let inner = endpoint(url)
                .is_ok_and(|(_, host, _)| INNER.iter().any(|it| host.ends_with(it)) || !host.contains('.'));
            let because = if inner { ": only the cluster's DNS knows this name" } else { "" };
            let section = if inner { "a-link-opens-inside-only" } else { "host-or-port-is-not-the-signed-one" };
            let why = format!(
                "{named} has {variable}={url}, so its links are signed for that host, and not for {}{because}; the host is signed, so nothing on the way can repair it: set {variable}={}",
                wanted.endpoint, wanted.endpoint
            );
            return bad("signs for another host", why, section);
        }
        let has = |name: &str| self.variables.contains_key(name);
        let by_token = has("AWS_WEB_IDENTITY_TOKEN_FILE") || has("AWS_ROLE_ARN");
        if by_token && !self.open && !has("AWS_ENDPOINT_URL_STS") && !has("AWS_ENDPOINT_URL") {
            let why = format!(
                "{named} signs in with its token and has no AWS_ENDPOINT_URL_STS, so each SDK sends the token to AWS (sts.amazonaws.com): set AWS_ENDPOINT_URL_STS={}",
                wanted.endpoint
            );
            return bad("sends its token to AWS", why, "the-token-goes-to-aws");
        }
        let region = self.variables.get("AWS_REGION").cloned().flatten();
        if let Some(region) = region.filter(|it| *it != wanted.region) {
            return Cell::new(State::Note, format!("signs for region {region}; asked here: {}", wanted.region));
        }
        match (self.variables.is_empty(), signs_for) {
            (_, Some(url)) => Cell::new(State::Good, format!("signs for {url}")),
            (true, None) => Cell::new(State::Note, "has no AWS_ variables; its settings are elsewhere"),
            (false, None) => Cell::new(State::Note, "its endpoint is not known from its variables"),
        }
    }
}

/// Whether a URL of the application's settings means the endpoint that is checked.
fn is_same(url: &str, wanted: &Wanted) -> bool {
    endpoint(url).is_ok_and(|(_, host, port)| host.eq_ignore_ascii_case(&wanted.host) && port == wanted.port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::wanted::tests::wanted;

    fn cell(env: &serde_json::Value, env_from: &serde_json::Value) -> Cell {
        let spec = json!({ "containers": [{ "name": "app", "env": env, "envFrom": env_from }] });
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).expect("a pod");
        of_pod("deploy/app", &pod).cell(&wanted("https://minio.example.com"))
    }

    #[test]
    fn a_pod_whose_container_runs_is_preferred() {
        let pod = |name: &str, deleted: Option<&str>, phase: &str, states: [&str; 2]| -> Pod {
            let names = ["app", "proxy"];
            let statuses: Vec<_> = { names.iter().zip(states) }
                .map(|(name, state)| {
                    json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { state: {} } })
                })
                .collect();
            let spec = json!({ "containers": names.map(|name| json!({ "name": name })) });
            let metadata = json!({ "name": name, "deletionTimestamp": deleted });
            let status = json!({ "phase": phase, "containerStatuses": statuses });
            serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).expect("a pod")
        };
        let gone = pod("gone", Some("2026-01-01T00:00:00Z"), "Running", ["running", "running"]);
        let waits = pod("waits", None, "Pending", ["waiting", "waiting"]);
        let crashes = pod("crashes", None, "Running", ["waiting", "running"]);
        let runs = pod("runs", None, "Running", ["running", "waiting"]);
        let whole = pod("whole", None, "Running", ["running", "running"]);
        for (pods, container, expected) in [
            (vec![&gone, &waits, &crashes, &runs, &whole], None, Some("whole")),
            (vec![&gone, &waits, &crashes, &runs], Some("app"), Some("runs")),
            (vec![&gone, &waits, &crashes, &runs], Some("proxy"), Some("crashes")),
            (vec![&gone, &crashes, &runs], None, Some("crashes")),
            (vec![&gone, &waits], None, Some("gone")),
            (vec![], None, None),
        ] {
            let found = best(pods.into_iter().cloned().collect(), container);
            assert_eq!(found.and_then(|it| it.metadata.name).as_deref(), expected, "{container:?}");
        }
    }

    #[test]
    fn settings_are_compared_with_what_is_checked() {
        let inner = "http://minio.foo.svc.cluster.local:9000";
        let secret = json!({ "secretKeyRef": { "name": "s", "key": "k" } });
        let role = json!({ "name": "AWS_ROLE_ARN", "value": "arn" });
        let of = |name: &str, value: &str| json!({ "name": name, "value": value });
        for (env, env_from, state, section) in [
            (json!([of("AWS_ENDPOINT_URL_S3", "https://minio.example.com:443/")]), json!([]), State::Good, None),
            (json!([of("AWS_ENDPOINT_URL", inner)]), json!([]), State::Bad, Some("a-link-opens-inside-only")),
            (
                json!([of("AWS_ENDPOINT_URL", "https://s3.example.com")]),
                json!([]),
                State::Bad,
                Some("host-or-port-is-not-the-signed-one"),
            ),
            // The variable for S3 takes precedence over the variable for all AWS services.
            (
                json!([of("AWS_ENDPOINT_URL", inner), of("AWS_ENDPOINT_URL_S3", "https://minio.example.com")]),
                json!([]),
                State::Good,
                None,
            ),
            (json!([{ "name": "AWS_ENDPOINT_URL", "valueFrom": secret }]), json!([]), State::Note, None),
            (json!([role]), json!([]), State::Bad, Some("the-token-goes-to-aws")),
            // The ConfigMap may set the variable for the endpoint of STS.
            (json!([role]), json!([{ "configMapRef": { "name": "c" } }]), State::Note, None),
            (json!([role, of("AWS_ENDPOINT_URL_STS", "https://minio.example.com")]), json!([]), State::Note, None),
            (json!([of("AWS_REGION", "eu-central-1")]), json!([]), State::Note, None),
            (json!([of("PATH", "/bin")]), json!([]), State::Note, None),
        ] {
            let cell = cell(&env, &env_from);
            assert_eq!((cell.state, cell.section), (state, section), "{env}: {cell:?}");
        }
    }
}
