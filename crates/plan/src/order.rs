//! Decides the order in which environments begin, and the order of the variants within an environment.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::cluster::{ClusterPlan, EnvironmentPlan, Plan};
use super::history::{History, traits_key};
use super::typical;

/// The range, in milliseconds, from which each environment gets a random priority if the order is shuffled.
const DRAWN_MS: std::ops::Range<u64> = 1_000..60_000;

/// The order in which a run does its work.
#[derive(Clone, Copy, Debug)]
pub enum Order<'a> {
    /// The longest environments come first, and the clusters that contain them too, so that no long environment runs
    /// alone at the end. The durations come from earlier runs. For an environment that never ran, the duration is
    /// estimated from its steps. The duration of the longest environment of a scenario's breaks is added to the
    /// duration of the baseline's environment, because breaks wait for the baseline. Within an environment, the order
    /// is unchanged: the baseline, then its breaks.
    LongestFirst(&'a History),
    /// A random order, from this seed. The same seed and the same selected variants give the same order.
    Shuffled(u64),
}

impl Plan {
    /// Sorts clusters, environments and variants in the given order, and sets the priorities of clusters and
    /// environments. `clusters` is the number of clusters that can exist at the same time. Nothing else in the plan
    /// changes: names and ports stay the same.
    #[must_use]
    pub fn arranged(mut self, order: Order<'_>, clusters: usize) -> Self {
        match order {
            Order::LongestFirst(history) => {
                for cluster in &mut self.clusters {
                    for environment in &mut cluster.environments {
                        environment.priority = took(environment, history).unwrap_or_else(|| typical::took(environment));
                    }
                    cluster.priority = starts_in(cluster, history).unwrap_or(typical::START_MS);
                }
                self.baselines_first();
                for cluster in &mut self.clusters {
                    cluster.environments.sort_by_key(|it| Reverse(it.priority));
                }
                self.clusters.sort_by_key(|it| Reverse(longest(it)));
            }
            Order::Shuffled(seed) => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                self.clusters.shuffle(&mut random);
                for cluster in &mut self.clusters {
                    cluster.priority = typical::START_MS;
                    cluster.environments.shuffle(&mut random);
                    for environment in &mut cluster.environments {
                        environment.priority = random.random_range(DRAWN_MS);
                        environment.variants.shuffle(&mut random);
                    }
                }
            }
        }
        self.with_what_waits(clusters);
        self
    }

    /// Increases the priority of each baseline's environment, so that baselines start first. The increase is the
    /// duration of the longest other environment of the same scenario. In a break, a declared failure of a step counts
    /// only after the time that the same step needed in the baseline. If the baseline has not run yet, this time is not
    /// known, and the break must repeat the step up to the step's time limit.
    fn baselines_first(&mut self) {
        let mut longest: BTreeMap<String, u64> = BTreeMap::new();
        for environment in self.clusters.iter().flat_map(|it| &it.environments).filter(|it| !has_baseline(it)) {
            for variant in &environment.variants {
                let of = longest.entry(variant.id.scenario().to_owned()).or_default();
                *of = environment.priority.max(*of);
            }
        }
        for environment in self.clusters.iter_mut().flat_map(|it| &mut it.environments) {
            let baselines = environment.variants.iter().filter(|it| it.id.change().is_none());
            let after = baselines.filter_map(|it| longest.get(it.id.scenario())).max();
            environment.priority += after.copied().unwrap_or_default();
        }
    }

    /// Adds to the priority of each cluster, and of its environments, the work of the clusters that can start only
    /// after this cluster has ended. `places` is the number of clusters that can exist at the same time. The added work
    /// is divided by the number of places that become free during the run. One of the first `places - 1` clusters may
    /// have more work than all later clusters together. It then exists until the end of the run, so no other cluster
    /// waits for its end, and nothing is added to its priority.
    fn with_what_waits(&mut self, places: usize) {
        let own = |it: &ClusterPlan| it.priority + longest(it);
        let mut waits = vec![0; self.clusters.len()];
        let mut kept = 0;
        for number in (0..self.clusters.len()).rev() {
            let after: u64 = self.clusters[number + 1..].iter().map(own).sum();
            let work: u64 = self.clusters[number].environments.iter().map(|it| it.priority).sum();
            if number < places.saturating_sub(1) && work > after {
                kept += 1;
            } else {
                waits[number] = after;
            }
        }
        let passed_on = u64::try_from(places.saturating_sub(kept).max(1)).unwrap_or(1);
        for (cluster, waits) in self.clusters.iter_mut().zip(waits) {
            let added = waits / passed_on;
            cluster.priority = cluster.priority + longest(cluster) + added;
            for environment in &mut cluster.environments {
                environment.priority += added;
            }
        }
    }
}

fn has_baseline(environment: &EnvironmentPlan) -> bool {
    environment.variants.iter().any(|it| it.id.change().is_none())
}

fn longest(cluster: &ClusterPlan) -> u64 {
    cluster.environments.iter().map(|it| it.priority).max().unwrap_or_default()
}

/// The time from the start of a cluster until its first environment can begin, in milliseconds. `None` if no earlier
/// run recorded this time.
pub(super) fn starts_in(cluster: &ClusterPlan, history: &History) -> Option<u64> {
    history.clusters.get(&traits_key(cluster)).copied()
}

/// The duration of an environment in earlier runs, in milliseconds: its set-up and all its variants. `None` if one of
/// these durations is not known.
pub(super) fn took(environment: &EnvironmentPlan, history: &History) -> Option<u64> {
    flows(environment, history)?.checked_add(*history.environments.get(&environment.id)?)
}

/// The total duration of all variants of an environment in earlier runs, in milliseconds. `None` if the duration of one
/// variant is not known.
pub(super) fn flows(environment: &EnvironmentPlan, history: &History) -> Option<u64> {
    environment.variants.iter().map(|variant| history.variants.get(&variant.id).copied()).sum()
}
