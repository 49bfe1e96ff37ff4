//! Writes DNS rules into the Corefile itself, like an administrator who edits the `ConfigMap` `coredns`.
//!
//! k3s owns that `ConfigMap`. At each start, k3s applies its own manifest again, which undoes the change
//! (docs/facts.md#coredns-on-k3s). Therefore the `ConfigMap` `coredns-custom` is normally the better place for DNS
//! rules. This module is for scenarios that test an edit of the Corefile itself. CoreDNS takes a while to notice that
//! the Corefile has changed, so this module restarts CoreDNS.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::Instant;

use super::error::ApplyError;
use super::ready::is_available;
use crate::cluster::{Ended, until};
use parallax_language::fixture::DnsRule;

/// The namespace of CoreDNS, and the name of its `ConfigMap` and Deployment.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
/// The key of the `ConfigMap` whose value is the Corefile.
const KEY: &str = "Corefile";
/// The first line of the Corefile's server block that answers for all names.
const BLOCK: &str = ".:53 {";
/// The annotation that is changed in the pod template of CoreDNS's Deployment. After the change, the controller
/// replaces the pods of CoreDNS.
const ANNOTATION: &str = "io.parallax/corefile";
/// The time limit of each wait for CoreDNS. The limit is long because k3s deploys CoreDNS while the node starts, which
/// takes long on a machine that has just started.
const WITHIN: Duration = Duration::from_secs(90);

/// Writes DNS rules into the Corefile, restarts CoreDNS and waits until the new pods of CoreDNS are available.
pub async fn write_into_corefile(client: &Client, rules: &[&DnsRule]) -> Result<(), ApplyError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let there = until(&maps, NAME, |it: Option<&ConfigMap>| corefile(it).is_some(), Instant::now() + WITHIN);
    let map = met_in_time("ConfigMap coredns", there.await)?;
    let Some(text) = corefile(map.as_ref()).and_then(|text| with_rules(text, rules)) else {
        return Err(ApplyError::NotAnObject {
            place: format!("ConfigMap {NAME} in namespace {NAMESPACE}"),
            reason: format!("its {KEY} has no server block `{BLOCK}`"),
        });
    };
    let parameters = PatchParams::default();
    let refused = |kind: &str, source| {
        let resource = format!("{kind} {NAME} in namespace {NAMESPACE}");
        ApplyError::refused(resource, "rules in the Corefile", Box::new(source))
    };
    let patch = json!({ "data": { KEY: text } });
    maps.patch(NAME, &parameters, &Patch::Merge(&patch)).await.map_err(|why| refused("ConfigMap", why))?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let there = until(&deployments, NAME, |it: Option<&Deployment>| it.is_some(), Instant::now() + WITHIN);
    met_in_time("Deployment coredns", there.await)?;
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": { ANNOTATION: "rules" } } } } });
    deployments.patch(NAME, &parameters, &Patch::Merge(&patch)).await.map_err(|why| refused("Deployment", why))?;
    let restarted = until(&deployments, NAME, is_available, Instant::now() + WITHIN);
    met_in_time("the restart of CoreDNS", restarted.await).map(drop)
}

fn met_in_time<K>(what: &str, ended: Ended<K>) -> Result<Option<K>, ApplyError> {
    match ended {
        Ended::Met(object) => Ok(object),
        Ended::NotMet(_) => Err(ApplyError::Late { what: what.to_owned(), within_s: WITHIN.as_secs() }),
        Ended::Unseen(reason) => Err(ApplyError::Watch { what: what.to_owned(), reason }),
    }
}

fn corefile(map: Option<&ConfigMap>) -> Option<&str> {
    map?.data.as_ref()?.get(KEY).map(String::as_str)
}

/// Returns the Corefile with the rules added at the beginning of the server block that answers for all names. `None` if
/// the Corefile has no such block.
fn with_rules(text: &str, rules: &[&DnsRule]) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let block = lines.iter().position(|line| line.trim() == BLOCK)?;
    let rules = rules.iter().flat_map(|rule| rule.directives()).map(|directive| format!("    {directive}"));
    lines.splice((block + 1)..=block, rules);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_language::fixture::DnsPlace;

    #[test]
    fn rules_are_written_into_the_block_that_answers_for_all_names() {
        let (from, to) = ("a.example.com".to_owned(), "a.b.svc.cluster.local".to_owned());
        let rule = DnsRule { from, to, place: DnsPlace::Corefile, subdomains: true };
        let text = "x:53 {\n}\n.:53 {\n    errors\n}\nimport custom/*.server\n";
        let expected = "x:53 {\n}\n.:53 {\n    rewrite name exact a.example.com a.b.svc.cluster.local\n    rewrite name regex ^[^.]+[.]a[.]example[.]com[.]$ a.b.svc.cluster.local answer auto\n    errors\n}\nimport custom/*.server\n";
        assert_eq!(with_rules(text, &[&rule]).as_deref(), Some(expected));
        assert_eq!(with_rules("x:53 {\n}\n", &[&rule]), None);
    }
}
