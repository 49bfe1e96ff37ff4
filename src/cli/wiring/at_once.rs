//! The number of environments and clusters that a run may set up or keep at the same time.

use crate::cli::args;
use parallax_plan::AtOnce;

/// The estimated memory of an environment with a store and the pods of vantages, in MiB.
const ENVIRONMENT_MIB: u64 = 300;
/// The estimated memory of a cluster without environments, in MiB.
const CLUSTER_MIB: u64 = 1_500;

/// Returns the limits of what runs at the same time. Each limit is the value from the command line, or else a value
/// that fits the processors and the memory of this machine. Clusters and environments need memory while they exist,
/// and processor time while they start.
pub fn at_once(asked: args::AtOnce) -> AtOnce {
    let (processors, available_mib) = of_this_machine();
    within(asked, processors, available_mib)
}

/// Returns the limits that apply while the processors are idle. Each limit is the value from the command line, or
/// else a value that is at least as large as the limit of [`at_once`].
pub fn at_once_when_idle(asked: args::AtOnce) -> AtOnce {
    let (processors, available_mib) = of_this_machine();
    within_when_idle(asked, processors, available_mib)
}

/// Returns the number of processors and the available memory of this machine in MiB.
fn of_this_machine() -> (usize, u64) {
    (
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        parallax_engine::available_memory_mib().unwrap_or(4 * CLUSTER_MIB),
    )
}

fn within(asked: args::AtOnce, processors: usize, available_mib: u64) -> AtOnce {
    AtOnce {
        jobs: or(asked.jobs, (processors * 3).div_ceil(2).min(8)),
        environments: or(asked.environments, (3 * processors).min(fit(available_mib, ENVIRONMENT_MIB))),
        clusters: or(asked.clusters, (processors + 2).min(fit(available_mib, CLUSTER_MIB))),
    }
}

fn within_when_idle(asked: args::AtOnce, processors: usize, available_mib: u64) -> AtOnce {
    AtOnce {
        jobs: or(asked.jobs, (processors * 4).min(16)),
        environments: or(asked.environments, (8 * processors).min(fit(available_mib, ENVIRONMENT_MIB))),
        ..within(asked, processors, available_mib)
    }
}

/// Returns how many objects of the size `mib` fit into half of the available memory. The result is at least one.
fn fit(available_mib: u64, mib: u64) -> usize {
    usize::try_from(available_mib / 2 / mib).unwrap_or(usize::MAX).max(1)
}

fn or(asked: Option<u16>, otherwise: usize) -> usize {
    asked.map_or(otherwise, usize::from)
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
        // The limits are never zero, so that a run can work even on a small machine.
        assert_eq!(default(1, 2), (2, 3, 1));
        let asked = args::AtOnce { jobs: Some(1), environments: Some(40), clusters: Some(1) };
        for within in [within, within_when_idle] {
            let AtOnce { jobs, environments, clusters } = within(asked, 2, 1024);
            assert_eq!((jobs, environments, clusters), (1, 40, 1));
        }
        let AtOnce { jobs, environments, clusters } = within_when_idle(args::AtOnce::default(), 2, 22 * 1024);
        assert_eq!((jobs, environments, clusters), (8, 16, 4));
    }
}
