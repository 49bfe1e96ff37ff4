//! How much a run may have under way at once.

use crate::cli::args;
use parallax_plan::AtOnce;

/// What an environment takes that stands: a store, and pods to look from.
const ENVIRONMENT_MIB: u64 = 300;
/// What a cluster takes that stands.
const CLUSTER_MIB: u64 = 1_500;

/// How much is under way at once: what is asked for, else what this machine can bear. What stands and waits takes memory;
/// what comes up takes processors.
pub fn at_once(asked: args::AtOnce) -> AtOnce {
    within(
        asked,
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        parallax_engine::available_memory_mib().unwrap_or(4 * CLUSTER_MIB),
    )
}

fn within(asked: args::AtOnce, processors: usize, available_mib: u64) -> AtOnce {
    let fit = |mib: u64| usize::try_from(available_mib / 2 / mib).unwrap_or(usize::MAX).max(1);
    let or = |asked: Option<u16>, otherwise: usize| asked.map_or(otherwise, usize::from);
    AtOnce {
        jobs: or(asked.jobs, (processors * 3).div_ceil(2).min(8)),
        environments: or(asked.environments, (3 * processors).min(fit(ENVIRONMENT_MIB))),
        clusters: or(asked.clusters, (processors + 2).min(fit(CLUSTER_MIB))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_under_way_as_the_machine_can_bear() {
        let default = |processors, gib: u64| {
            let AtOnce { jobs, environments, clusters } = within(args::AtOnce::default(), processors, gib * 1024);
            (jobs, environments, clusters)
        };
        assert_eq!(default(2, 22), (3, 6, 4));
        assert_eq!(default(16, 60), (8, 48, 18));
        // A small machine works, one thing after the other.
        assert_eq!(default(1, 2), (2, 3, 1));
        let asked = args::AtOnce { jobs: Some(1), environments: Some(40), clusters: Some(1) };
        let AtOnce { jobs, environments, clusters } = within(asked, 2, 1024);
        assert_eq!((jobs, environments, clusters), (1, 40, 1));
    }
}
