//! How long a run is expected to take, from what earlier runs took.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use parallax_vocab::{RunId, VariantId};
use serde::Serialize;

use super::cluster::{ClusterPlan, Plan};
use super::history::{History, traits_key};
use super::order::took;

/// What a run may have under way at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AtOnce {
    /// Environments that run and nodes that start.
    pub jobs: usize,
    /// Clusters that stand.
    pub clusters: usize,
}

/// Expected durations in seconds; `None` where no run tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Expected {
    /// The run that told last; none where none is known.
    pub from_run: Option<RunId>,
    /// What may be under way at once.
    pub at_once: AtOnce,
    /// The whole run.
    pub total: Option<f64>,
    /// By cluster, from the first cluster's start to the end of its own last environment.
    pub clusters: BTreeMap<String, Option<f64>>,
    /// By namespace, its set-up and its variants.
    pub environments: BTreeMap<String, Option<f64>>,
    /// By variant.
    pub variants: BTreeMap<VariantId, Option<f64>>,
    /// Environments of which some part never ran.
    pub unknown: usize,
}

impl Plan {
    /// What this plan is expected to take with so much under way at once.
    pub fn expected(&self, history: &History, at_once: AtOnce) -> Expected {
        let mut expected = Expected { from_run: history.run.clone(), at_once, ..Expected::default() };
        for (_, environment, variant) in self.variants() {
            let took = took(environment, history);
            expected.environments.insert(environment.namespace.clone(), took.map(seconds));
            expected.variants.insert(variant.id.clone(), history.variants.get(&variant.id).copied().map(seconds));
        }
        expected.unknown = expected.environments.values().filter(|it| it.is_none()).count();
        let ends = Schedule::new(self, history, at_once).ends();
        for (cluster, end) in self.clusters.iter().zip(&ends) {
            expected.clusters.insert(cluster.name.clone(), end.map(seconds));
        }
        let last = ends.iter().copied().try_fold(0, |last, end| Some(last.max(end?)));
        expected.total = last.zip(history.around).map(|(last, around)| seconds(last + around));
        expected
    }
}

/// What takes a job. Of what waits since the same moment, environments come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// A cluster's environment, by both numbers.
    Environment(usize, usize),
    /// The start of a cluster, by its number.
    Start(usize),
}

/// The run, as it would give its jobs away: whatever waits gets one in the order in which it began to wait.
struct Schedule<'a> {
    plan: &'a Plan,
    history: &'a History,
    /// What waits for a job, and since when.
    waiting: BinaryHeap<Reverse<(u64, Work)>>,
    /// When each job is free.
    jobs: BinaryHeap<Reverse<u64>>,
    /// When each place for a cluster is free, of those that are not taken.
    places: BinaryHeap<Reverse<u64>>,
    /// Clusters that have not asked for a place.
    to_come: std::ops::Range<usize>,
    /// When each cluster's last environment ends; none where part of it is not known.
    ends: Vec<Option<u64>>,
    /// Environments of each cluster that have not begun.
    left: Vec<usize>,
}

impl<'a> Schedule<'a> {
    fn new(plan: &'a Plan, history: &'a History, at_once: AtOnce) -> Self {
        let free = |number: usize| (0..number.max(1)).map(|_| Reverse(0)).collect();
        Self {
            plan,
            history,
            waiting: BinaryHeap::new(),
            jobs: free(at_once.jobs),
            places: free(at_once.clusters),
            to_come: 0..plan.clusters.len(),
            ends: vec![Some(0); plan.clusters.len()],
            left: plan.clusters.iter().map(|it| it.environments.len()).collect(),
        }
    }

    /// When each cluster's last environment ends, counted from the first cluster's start.
    fn ends(mut self) -> Vec<Option<u64>> {
        // Since when it is the next cluster's turn to start: one has it at a time.
        let mut turn = Some(0);
        loop {
            if let Some(since) = turn
                && let Some(Reverse(place)) = self.places.pop()
            {
                turn = None;
                self.waiting.extend(self.to_come.next().map(|next| Reverse((place.max(since), Work::Start(next)))));
            }
            let Some(Reverse((since, work))) = self.waiting.pop() else { return self.ends };
            let ended = self.done(since, work);
            if let Work::Start(_) = work {
                turn = Some(ended);
            }
        }
    }

    /// Gives a job to what waits since then; when it is done with it.
    fn done(&mut self, since: u64, work: Work) -> u64 {
        let Reverse(job) = self.jobs.pop().unwrap_or_default();
        let (Work::Environment(number, _) | Work::Start(number)) = work;
        let cluster = &self.plan.clusters[number];
        let took = match work {
            Work::Start(_) => ready(cluster, self.history),
            Work::Environment(_, environment) => took(&cluster.environments[environment], self.history),
        };
        let ended = since.max(job) + took.unwrap_or_default();
        self.jobs.push(Reverse(ended));
        self.ends[number] = self.ends[number].zip(took).map(|(last, _)| last.max(ended));
        match work {
            Work::Start(_) => {
                let environments = (0..self.left[number]).map(|it| Work::Environment(number, it));
                self.waiting.extend(environments.map(|it| Reverse((ended, it))));
            }
            Work::Environment(..) => self.left[number] -= 1,
        }
        if self.left[number] == 0 {
            self.places.push(Reverse(self.ends[number].unwrap_or(ended)));
        }
        ended
    }
}

fn ready(cluster: &ClusterPlan, history: &History) -> Option<u64> {
    history.clusters.get(&traits_key(cluster)).copied()
}

fn seconds(ms: u64) -> f64 {
    // Tenths are what a person reads; the rest is noise.
    f64::from(u32::try_from(ms / 100).unwrap_or(u32::MAX)) / 10.0
}
