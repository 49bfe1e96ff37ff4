//! The application that uses the store. This module reads the application's settings from its pod, and compares them
//! with the endpoint that `parallax check` examines.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};

use super::rows::{Cell, Row, State};
use super::wanted::{Wanted, endpoint};
use crate::cluster::Access;

/// The name of the row about the application's settings.
const ROW: &str = "application";
/// Endings of host names that only the DNS of a cluster resolves.
const INNER: [&str; 2] = [".svc", ".svc.cluster.local"];

/// The settings of an application that uses the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Application {
    /// The application as the user named it, for example `deploy/app`.
    pub named: String,
    /// The `AWS_*` variables of the application's containers. A value is kept only for endpoints and the region, and
    /// only if it does not come from a Secret or a ConfigMap. Any other value may be a secret, so it is `None`.
    pub variables: BTreeMap<String, Option<String>>,
    /// Whether a container takes all variables of a Secret or a ConfigMap (`envFrom`). If so, there may be variables
    /// whose names are not known.
    pub open: bool,
    /// The DNS policy of the application's pod.
    pub dns_policy: Option<String>,
    /// The DNS settings of the application's pod.
    pub dns_config: Option<PodDNSConfig>,
}

/// Finds a pod of an application, as [`crate::apply::pod_of`] does. `named` is the application, and `option` is the
/// command-line option with which the user named it. The error begins with both.
pub async fn pod_of(
    access: &Access,
    namespace: &str,
    (option, named): (&str, &str),
    container: Option<&str>,
) -> Result<Pod, String> {
    let found = crate::apply::pod_of(&access.client, namespace, named, container).await;
    found.map_err(|why| format!("{option} {why}"))
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
            && let Some((path, ours)) = prefix(url)
        {
            let why = format!(
                "{named} has {variable}={url}, so the path of its links begins with {path}; an S3 store cannot live under a path prefix: the path is signed, and a proxy that strips the prefix breaks the signature: give the store a name of its own, and set {variable}={ours}",
            );
            return bad("signs for a path prefix", why, "a-path-prefix");
        }
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

/// Returns the path of an endpoint's URL, and the URL without this path. `None` if the URL has no path.
fn prefix(url: &str) -> Option<(String, String)> {
    let uri: http::Uri = url.parse().ok()?;
    let path = uri.path().trim_end_matches('/');
    let ours = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    (!path.is_empty()).then(|| (path.to_owned(), ours))
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
            (
                json!([of("AWS_ENDPOINT_URL_S3", "https://minio.example.com/s3/")]),
                json!([]),
                State::Bad,
                Some("a-path-prefix"),
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
