//! How long a run is expected to take, from what earlier runs took.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use parallax_vocab::{RunId, VariantId};
use serde::Serialize;

use super::cluster::{ClusterPlan, EnvironmentPlan, Plan};
use super::history::{History, traits_key};
use super::order::took;

/// Expected durations in seconds; `None` where no run tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Expected {
    /// The run that told last; none where none is known.
    pub from_run: Option<RunId>,
    /// How many environments run at once.
    pub jobs: usize,
    /// The whole run.
    pub total: Option<f64>,
    /// By cluster, from its start to the end of its last environment.
    pub clusters: BTreeMap<String, Option<f64>>,
    /// By namespace, its set-up and its variants.
    pub environments: BTreeMap<String, Option<f64>>,
    /// By variant.
    pub variants: BTreeMap<VariantId, Option<f64>>,
    /// Environments of which some part never ran.
    pub unknown: usize,
}

impl Plan {
    /// What this plan is expected to take with so many environments at once.
    pub fn expected(&self, history: &History, jobs: usize) -> Expected {
        let mut expected = Expected { from_run: history.run.clone(), jobs, ..Expected::default() };
        for (_, environment, variant) in self.variants() {
            let took = took(environment, history);
            expected.environments.insert(environment.namespace.clone(), took.map(seconds));
            expected.variants.insert(variant.id.clone(), history.variants.get(&variant.id).copied().map(seconds));
        }
        expected.unknown = expected.environments.values().filter(|it| it.is_none()).count();
        let ends = ends(self, history, jobs);
        for (cluster, end) in self.clusters.iter().zip(&ends) {
            expected.clusters.insert(cluster.name.clone(), end.map(seconds));
        }
        let last = ends.iter().copied().try_fold(0, |last, end| Some(last.max(end?)));
        expected.total = last.zip(history.around).map(|(last, around)| seconds(last + around));
        expected
    }
}

/// When each cluster's last environment ends, counted from the start of the clusters, which begin together. The
/// environments take the jobs as a run gives them away: in order, each as soon as its cluster and a job are there.
fn ends(plan: &Plan, history: &History, jobs: usize) -> Vec<Option<u64>> {
    let mut waiting: Vec<(u64, usize, &EnvironmentPlan)> = Vec::new();
    let mut ends: Vec<Option<u64>> = Vec::new();
    for (number, cluster) in plan.clusters.iter().enumerate() {
        let ready = ready(cluster, history);
        ends.push(ready);
        waiting.extend(cluster.environments.iter().map(|it| (ready.unwrap_or(0), number, it)));
    }
    waiting.sort_by_key(|(ready, ..)| *ready);
    let mut free: BinaryHeap<Reverse<u64>> = (0..jobs.max(1)).map(|_| Reverse(0)).collect();
    for (ready, number, environment) in waiting {
        let Reverse(job) = free.pop().unwrap_or_default();
        let end = took(environment, history).map(|took| job.max(ready) + took);
        free.push(Reverse(end.unwrap_or(job)));
        ends[number] = ends[number].zip(end).map(|(last, end)| last.max(end));
    }
    ends
}

fn ready(cluster: &ClusterPlan, history: &History) -> Option<u64> {
    history.clusters.get(&traits_key(cluster)).copied()
}

fn seconds(ms: u64) -> f64 {
    // Tenths are what a person reads; the rest is noise.
    f64::from(u32::try_from(ms / 100).unwrap_or(u32::MAX)) / 10.0
}
