//! Estimates how long a run will take, by a simulation with the durations of earlier runs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use parallax_vocab::{RunId, VariantId};
use serde::Serialize;

use super::cluster::{EnvironmentPlan, Plan};
use super::history::History;
use super::order::{flows, starts_in, took};

/// The limits on how much work a run does at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AtOnce {
    /// The number of jobs at the same time. A job is the start of a cluster or the set-up of an environment.
    pub jobs: usize,
    /// The number of environments that exist at the same time.
    pub environments: usize,
    /// The number of clusters that exist at the same time.
    pub clusters: usize,
}

/// The expected durations in seconds. A duration is `None` if it cannot be computed from earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Expected {
    /// The latest run that contributed durations; `None` if there is none.
    pub from_run: Option<RunId>,
    /// The limits on simultaneous work with which the durations were computed.
    pub at_once: AtOnce,
    /// The duration of the whole run with its clean-up, in seconds.
    pub total: Option<f64>,
    /// The time at which each cluster's last environment ends, in seconds from the start of the first cluster. The key
    /// is the name of the cluster.
    pub clusters: BTreeMap<String, Option<f64>>,
    /// The duration of each environment's set-up and variants together, in seconds, by the environment's namespace.
    pub environments: BTreeMap<String, Option<f64>>,
    /// The duration of each variant, in seconds, by the variant's id.
    pub variants: BTreeMap<VariantId, Option<f64>>,
    /// The number of environments whose duration is not known.
    pub unknown: usize,
}

impl Plan {
    /// The expected durations of a run of this plan with the limits `at_once`.
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

/// The work of a job: the start of a cluster, or the set-up of an environment. The first number is the index of the
/// cluster in the plan; the second is the index of the environment in this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Start(usize),
    SetUp(usize, usize),
}

/// An event of the simulated run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The cluster with this index has started. Its environments can now be set up.
    Started(usize),
    /// The environment with these indexes (cluster, environment) has been set up. Its variants begin, and another job
    /// may start.
    Ready(usize, usize),
    /// All variants of the environment with these indexes (cluster, environment) have ended.
    Ended(usize, usize),
}

/// A queue of waiting work. The entry with the highest priority comes first. If two entries have the same priority, the
/// entry that was added first comes first.
type Queue<T> = BinaryHeap<(u64, Reverse<usize>, T)>;

/// A simulation of a run. It starts jobs, environments and clusters in the same order as a real run.
struct Schedule<'a> {
    plan: &'a Plan,
    history: &'a History,
    /// The numbers of further jobs, environments and clusters that may start now.
    free: AtOnce,
    /// The number of entries that were added to the queues so far. Each entry stores this number, so that entries of
    /// equal priority keep their order.
    asked: usize,
    clusters: Queue<usize>,
    environments: Queue<(usize, usize)>,
    jobs: Queue<Work>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    /// The time at which each cluster's last environment ends, in milliseconds. `None` if a duration is not known.
    ends: Vec<Option<u64>>,
    /// The number of environments of each cluster that have not ended yet.
    left: Vec<usize>,
}

impl<'a> Schedule<'a> {
    fn new(plan: &'a Plan, history: &'a History, at_once: AtOnce) -> Self {
        let AtOnce { jobs, environments, clusters } = at_once;
        let mut schedule = Self {
            plan,
            history,
            free: AtOnce { jobs: jobs.max(1), environments: environments.max(1), clusters: clusters.max(1) },
            asked: 0,
            clusters: Queue::new(),
            environments: Queue::new(),
            jobs: Queue::new(),
            events: BinaryHeap::new(),
            ends: vec![Some(0); plan.clusters.len()],
            left: plan.clusters.iter().map(|it| it.environments.len()).collect(),
        };
        for (number, cluster) in plan.clusters.iter().enumerate() {
            let turn = schedule.turn();
            schedule.clusters.push((cluster.priority, turn, number));
        }
        schedule
    }

    /// Runs the simulation. Returns the time at which each cluster's last environment ends, in milliseconds after the
    /// start of the first cluster.
    fn ends(mut self) -> Vec<Option<u64>> {
        self.give(0);
        while let Some(Reverse((now, event))) = self.events.pop() {
            match event {
                Event::Started(cluster) => {
                    self.free.jobs += 1;
                    for (number, environment) in self.plan.clusters[cluster].environments.iter().enumerate() {
                        let turn = self.turn();
                        self.environments.push((environment.priority, turn, (cluster, number)));
                    }
                }
                Event::Ready(cluster, number) => {
                    self.free.jobs += 1;
                    let took = self.known(cluster, flows(self.environment(cluster, number), self.history));
                    self.events.push(Reverse((now + took, Event::Ended(cluster, number))));
                }
                Event::Ended(cluster, _) => {
                    self.free.environments += 1;
                    self.left[cluster] -= 1;
                    self.free.clusters += usize::from(self.left[cluster] == 0);
                    self.ends[cluster] = self.ends[cluster].map(|last| last.max(now));
                }
            }
            self.give(now);
        }
        self.ends
    }

    /// Starts as much waiting work as the limits allow at the time `now`.
    fn give(&mut self, now: u64) {
        while self.free.clusters > 0
            && let Some((priority, _, cluster)) = self.clusters.pop()
        {
            self.free.clusters -= 1;
            let turn = self.turn();
            self.jobs.push((priority, turn, Work::Start(cluster)));
        }
        while self.free.environments > 0
            && let Some((priority, _, (cluster, number))) = self.environments.pop()
        {
            self.free.environments -= 1;
            let turn = self.turn();
            self.jobs.push((priority, turn, Work::SetUp(cluster, number)));
        }
        while self.free.jobs > 0
            && let Some((_, _, work)) = self.jobs.pop()
        {
            self.free.jobs -= 1;
            let (took, event) = match work {
                Work::Start(cluster) => {
                    let took = starts_in(&self.plan.clusters[cluster], self.history);
                    (self.known(cluster, took), Event::Started(cluster))
                }
                Work::SetUp(cluster, number) => {
                    let took = self.history.environments.get(&self.environment(cluster, number).id).copied();
                    (self.known(cluster, took), Event::Ready(cluster, number))
                }
            };
            self.events.push(Reverse((now + took, event)));
        }
    }

    /// Returns the duration `took`, or 0 if the duration is not known. If it is not known, the entry of the cluster in
    /// `ends` becomes `None`.
    fn known(&mut self, cluster: usize, took: Option<u64>) -> u64 {
        if took.is_none() {
            self.ends[cluster] = None;
        }
        took.unwrap_or_default()
    }

    fn environment(&self, cluster: usize, number: usize) -> &'a EnvironmentPlan {
        &self.plan.clusters[cluster].environments[number]
    }

    fn turn(&mut self) -> Reverse<usize> {
        self.asked += 1;
        Reverse(self.asked)
    }
}

fn seconds(ms: u64) -> f64 {
    // The result is rounded down to a tenth of a second, because more digits would suggest a precision that does not
    // exist.
    f64::from(u32::try_from(ms / 100).unwrap_or(u32::MAX)) / 10.0
}
