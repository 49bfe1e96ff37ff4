//! Asks the apiserver whether the user of the kubeconfig may do what an environment needs. The questions change nothing
//! in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::discovery::Scope;
use kube::{Api, Client};
use tokio::sync::Mutex;

use super::error::ApplyError;
use super::server_side::{Applier, is_unknown};

/// The verbs that the harness needs for each kind of object that it creates.
const OF_A_KIND: [&str; 5] = ["create", "patch", "get", "list", "delete"];
/// What every environment needs in its namespace: the resource, its subresource, and the verbs. An exec session is a
/// request of type GET. Recent versions of Kubernetes also require the verb `create` for an exec session.
const OF_EACH: [(&str, &str, &[&str]); 6] = [
    ("pods", "", &["create", "patch", "get", "list", "watch", "delete"]),
    ("pods", "exec", &["get", "create"]),
    ("pods", "log", &["get"]),
    ("services", "", &["list"]),
    ("serviceaccounts", "", &["list", "watch"]),
    ("events", "", &["list"]),
];

/// One right: a verb on a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: &'static str,
    group: String,
    resource: String,
    subresource: String,
    /// The namespace; `None` for the whole cluster.
    namespace: Option<String>,
}

impl Right {
    /// The resource in the form that kubectl uses: `deployments.apps`, `pods/exec`.
    fn what(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let below = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        format!("{}{group}{below}", self.resource)
    }

    fn place(&self) -> String {
        self.namespace.as_ref().map_or_else(|| "the whole cluster".to_owned(), |it| format!("namespace {it}"))
    }
}

/// Lists the rights that the user does not have, in one sentence.
fn sentence(missing: &[Right]) -> String {
    let mut places: BTreeMap<String, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for it in missing {
        places.entry(it.place()).or_default().entry(it.what()).or_default().push(it.verb);
    }
    let places = places.into_iter().map(|(place, resources)| {
        let resources = resources.into_iter().map(|(what, verbs)| format!("{what} ({})", verbs.join(", ")));
        format!("in {place}: {}", resources.collect::<Vec<_>>().join(", "))
    });
    format!("the user of the kubeconfig lacks rights {}", places.collect::<Vec<_>>().join("; "))
}

/// The kinds of objects and the operations for which an environment needs rights.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The kinds of the objects that the environment creates or changes: `apiVersion` and kind.
    pub kinds: BTreeSet<(String, String)>,
    /// The kinds of objects that the environment itself adds to the cluster, by CRDs.
    pub adds: BTreeSet<String>,
    /// Whether the harness requests tokens of `ServiceAccounts`.
    pub tokens: bool,
    /// The rights that vantages in applications' own pods need. Each consists of the verb, the group, the resource, and
    /// the subresource.
    pub attached: BTreeSet<(&'static str, &'static str, &'static str, &'static str)>,
}

/// The rights of a client's user. The rights about which the apiserver was asked are remembered.
pub struct Rights {
    client: Client,
    /// The existing namespace of all environments. `None` if the run creates its namespaces; the user then needs each
    /// right in the whole cluster.
    namespace: Option<String>,
    known: Mutex<BTreeMap<Right, bool>>,
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rights").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Rights {
    /// Prepares questions about the rights of the user of `client`.
    pub fn of(client: Client, namespace: Option<String>) -> Self {
        Self { client, namespace, known: Mutex::default() }
    }

    /// The reasons why the user cannot bring up an environment: rights that the user does not have, and kinds that the
    /// cluster does not have.
    pub async fn lacking(&self, applier: &Applier, needs: &Needs) -> Result<Vec<String>, ApplyError> {
        let mut wanted = BTreeSet::new();
        let mut lacking = Vec::new();
        if self.namespace.is_none() {
            let own = OF_A_KIND.iter().chain(&["watch"]).map(|it| self.right(it, ("", "namespaces", ""), true));
            let missing = self.missing(own.collect()).await?;
            // A user without the right to create namespaces seldom has other rights in the whole cluster. So the result
            // names only the missing rights on namespaces, and the other rights are not checked.
            if !missing.is_empty() {
                return Ok(vec![format!("{}; --namespace NAME uses an existing one", sentence(&missing))]);
            }
        }
        for (resource, subresource, verbs) in OF_EACH {
            wanted.extend(verbs.iter().map(|it| self.right(it, ("", resource, subresource), false)));
        }
        if needs.tokens {
            wanted.insert(self.right("create", ("", "serviceaccounts", "token"), false));
        }
        for &(verb, group, resource, subresource) in &needs.attached {
            wanted.insert(self.right(verb, (group, resource, subresource), false));
        }
        for (api_version, kind) in needs.kinds.iter().filter(|(_, kind)| !needs.adds.contains(kind)) {
            match applier.capabilities(api_version, kind).await {
                Ok((resource, capabilities)) => {
                    let wide = capabilities.scope == Scope::Cluster;
                    let of = (resource.group.as_str(), resource.plural.as_str(), "");
                    wanted.extend(OF_A_KIND.map(|it| self.right(it, of, wide)));
                }
                Err(ApplyError::Api { source, .. }) if is_unknown(&source) => {
                    lacking.push(format!("the cluster has no kind {kind} of {api_version}"));
                }
                Err(error) => return Err(error),
            }
        }
        let missing = self.missing(wanted).await?;
        if !missing.is_empty() {
            lacking.push(sentence(&missing));
        }
        Ok(lacking)
    }

    async fn missing(&self, wanted: BTreeSet<Right>) -> Result<Vec<Right>, ApplyError> {
        let mut missing = Vec::new();
        for right in wanted {
            if !self.may(&right).await? {
                missing.push(right);
            }
        }
        Ok(missing)
    }

    fn right(&self, verb: &'static str, (group, resource, subresource): (&str, &str, &str), wide: bool) -> Right {
        let namespace = self.namespace.clone().filter(|_| !wide);
        let [group, resource, subresource] = [group, resource, subresource].map(str::to_owned);
        Right { verb, group, resource, subresource, namespace }
    }

    async fn may(&self, right: &Right) -> Result<bool, ApplyError> {
        let mut known = self.known.lock().await;
        if let Some(may) = known.get(right) {
            return Ok(*may);
        }
        let text = |it: &String| Some(it.clone()).filter(|it| !it.is_empty());
        let attributes = ResourceAttributes {
            verb: Some(right.verb.to_owned()),
            group: text(&right.group),
            resource: text(&right.resource),
            subresource: text(&right.subresource),
            namespace: right.namespace.clone(),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(|source| ApplyError::Api {
            doing: format!("ask whether the user may {} {}", right.verb, right.what()),
            source: Box::new(source),
        })?;
        let may = answer.status.is_some_and(|it| it.allowed);
        known.insert(right.clone(), may);
        Ok(may)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::testing::{apiserver, status};

    #[tokio::test]
    async fn missing_rights_are_named_by_place_and_resource() {
        let (client, _server) = apiserver(Duration::from_secs(5), |_, _| status(404, "none")).await;
        let rights = Rights::of(client, Some("team".to_owned()));
        let missing = [
            rights.right("create", ("", "pods", "exec"), false),
            rights.right("create", ("", "pods", ""), false),
            rights.right("patch", ("", "pods", ""), false),
            rights.right("list", ("apps", "deployments", ""), true),
        ];
        assert_eq!(
            sentence(&missing),
            "the user of the kubeconfig lacks rights in namespace team: pods (create, patch), pods/exec (create); \
             in the whole cluster: deployments.apps (list)"
        );
    }
}
