//! In which order environments begin, and variants within them.

use std::cmp::Reverse;

use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::cluster::{EnvironmentPlan, Plan};
use super::history::History;

/// An order.
#[derive(Clone, Copy, Debug)]
pub enum Order<'a> {
    /// The longest environments first, and the clusters with the longest, by what they took before, so that none begins
    /// alone at the end. One that never ran comes first: it may be the longest. Variants stay as they are: the baseline,
    /// then its breaks.
    LongestFirst(&'a History),
    /// A random one: the same for the same seed and the same selection.
    Shuffled(u64),
}

impl Plan {
    /// Puts environments and variants in this order. Nothing else of the plan changes, names and ports included.
    #[must_use]
    pub fn arranged(mut self, order: Order<'_>) -> Self {
        match order {
            Order::LongestFirst(history) => {
                let length = |it: &EnvironmentPlan| took(it, history).unwrap_or(u64::MAX);
                for cluster in &mut self.clusters {
                    cluster.environments.sort_by_key(|it| Reverse(length(it)));
                }
                self.clusters.sort_by_key(|it| Reverse(it.environments.first().map(length)));
            }
            Order::Shuffled(seed) => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                self.clusters.shuffle(&mut random);
                for cluster in &mut self.clusters {
                    cluster.environments.shuffle(&mut random);
                    for environment in &mut cluster.environments {
                        environment.variants.shuffle(&mut random);
                    }
                }
            }
        }
        self
    }
}

/// What an environment took with all its variants; none where that is not known of one of them.
pub(super) fn took(environment: &EnvironmentPlan, history: &History) -> Option<u64> {
    let variants = environment.variants.iter().map(|variant| history.variants.get(&variant.id).copied());
    variants.sum::<Option<u64>>()?.checked_add(*history.environments.get(&environment.id)?)
}
