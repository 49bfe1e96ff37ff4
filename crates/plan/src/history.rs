//! What earlier runs took, by what was run and not by the names that one plan gave it.

use std::collections::BTreeMap;

use parallax_vocab::event::{Event, EventKind, Outcome};
use parallax_vocab::{RunId, VariantId};
use serde::{Deserialize, Serialize};

use super::cluster::{ClusterPlan, Plan};

/// Durations in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// The last run that this was learnt from.
    pub run: Option<RunId>,
    /// Everything before the first cluster starts, and after the last environment ended.
    pub around: Option<u64>,
    /// By traits: until the first environment of the cluster could begin.
    pub clusters: BTreeMap<String, u64>,
    /// By the environment's id: until its first variant could begin.
    pub environments: BTreeMap<String, u64>,
    /// By variant.
    pub variants: BTreeMap<VariantId, u64>,
}

impl History {
    /// Takes in what a run of this plan took. What failed to come up tells nothing.
    pub fn learn(&mut self, plan: &Plan, events: &[Event]) {
        let mut began: BTreeMap<&str, u64> = BTreeMap::new();
        let mut clean_up = 0;
        for event in events {
            match &event.event {
                EventKind::RunStarted(started) => self.run = Some(started.run.clone()),
                EventKind::SetupStarted { id, .. } => {
                    began.entry(id).or_insert(event.at_ms);
                }
                EventKind::SetupEnded { id, took_ms, error: None, .. } => {
                    if let Some(environment) = id.strip_prefix("environment/").and_then(|it| plan.environment(it)) {
                        self.environments.insert(environment.id.clone(), *took_ms);
                    }
                }
                EventKind::VariantEnded(ended)
                    if matches!(ended.outcome, Outcome::AsExpected | Outcome::NotAsExpected { .. }) =>
                {
                    self.variants.insert(ended.variant.clone(), ended.took_ms);
                }
                EventKind::CleanedUp { took_ms, .. } => clean_up = *took_ms,
                _ => {}
            }
        }
        let start = |cluster: &ClusterPlan| began.get(format!("cluster/{}", cluster.name).as_str()).copied();
        for cluster in &plan.clusters {
            let environments = cluster.environments.iter().map(|it| format!("environment/{}", it.namespace));
            let first = environments.filter_map(|id| began.get(id.as_str())).min();
            if let (Some(start), Some(first)) = (start(cluster), first) {
                self.clusters.insert(traits_key(cluster), first.saturating_sub(start));
            }
        }
        if let Some(before) = plan.clusters.iter().filter_map(start).min() {
            self.around = Some(before + clean_up);
        }
    }
}

/// What clusters are told apart by, whatever a plan calls them.
pub(super) fn traits_key(cluster: &ClusterPlan) -> String {
    serde_json::to_string(&cluster.traits).expect("traits serialise")
}
