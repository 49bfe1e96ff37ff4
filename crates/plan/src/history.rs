//! The durations of earlier runs. The durations are stored by cluster traits, environment ids and variant ids. These
//! keys do not depend on the names that a plan assigns, so a later plan can find the durations.

use std::collections::BTreeMap;

use parallax_vocab::event::{Event, EventKind, Outcome};
use parallax_vocab::{RunId, VariantId};
use serde::{Deserialize, Serialize};

use super::cluster::{ClusterPlan, Plan};

/// Durations of earlier runs, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// The latest run that contributed durations; `None` if there is none.
    pub run: Option<RunId>,
    /// The time of a run before its first cluster starts, plus the time of its clean-up.
    pub around: Option<u64>,
    /// The time from the start of a cluster until its first environment can begin, by the cluster's traits.
    pub clusters: BTreeMap<String, u64>,
    /// The time from the start of an environment until its first variant can begin, by environment id.
    pub environments: BTreeMap<String, u64>,
    /// The time from the start of a variant's flow to its verdict, by variant id.
    pub variants: BTreeMap<VariantId, u64>,
}

impl History {
    /// Adds the durations from `events`, the record of a run of this plan. A set-up that failed and a variant without a
    /// verdict contribute no duration.
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

/// The key of a cluster in the history: its traits as JSON. The cluster's name is not part of the key, because each
/// plan assigns new names.
pub(super) fn traits_key(cluster: &ClusterPlan) -> String {
    serde_json::to_string(&cluster.traits).expect("traits serialise")
}
