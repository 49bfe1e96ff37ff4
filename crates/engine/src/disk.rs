//! The space on the disk of the engine, on which the nodes and the stores of a run keep their data.

use std::path::Path;

const MIB: u64 = 1024 * 1024;
/// On a disk with less free space than this, containers can fail at any write.
const LEAST_FREE_BYTES: u64 = 512 * MIB;
/// Stores stop to accept objects when this part of the disk is free or less: MinIO and `SeaweedFS` at one percent
/// (docs/facts.md#stores-and-the-disk).
const STORES_STOP_AT_PERCENT: u64 = 1;

/// The space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The free space that users other than root can use.
    pub free_bytes: u64,
    /// The whole space that users other than root can use.
    pub size_bytes: u64,
}

impl Disk {
    /// The space of the file system of `path`. `None` if the path does not exist on this machine.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        let for_root = stat.f_bfree.saturating_sub(stat.f_bavail);
        Some(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            size_bytes: stat.f_blocks.saturating_sub(for_root).saturating_mul(stat.f_frsize),
        })
    }

    /// The free space, in bytes, below which stores accept no objects or containers fail.
    pub fn reserve_bytes(&self) -> u64 {
        (self.size_bytes / 100).saturating_mul(STORES_STOP_AT_PERCENT).max(LEAST_FREE_BYTES)
    }

    /// Whether so little space is free that what containers do says nothing about the system under test.
    pub fn is_full(&self) -> bool {
        self.free_bytes < self.reserve_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_stores_stop_or_almost_nothing_is_free() {
        const GIB: u64 = 1024 * MIB;
        let is_full = |free_bytes, size_bytes| Disk { free_bytes, size_bytes }.is_full();
        assert!(!is_full(3 * GIB, 250 * GIB), "MinIO accepts objects");
        assert!(is_full(2 * GIB, 250 * GIB), "MinIO refuses objects");
        assert!(is_full(GIB / 4, 10 * GIB), "one percent is free, but almost nothing");
        assert!(!is_full(GIB, 10 * GIB));
    }

    #[test]
    fn the_space_is_that_of_the_file_system_of_a_path() {
        let here = Disk::of(Path::new("/")).expect("there is a root");
        assert!(here.free_bytes <= here.size_bytes && here.size_bytes > 0, "{here:?}");
        assert_eq!(Disk::of(Path::new("/there-is-no-such-folder")), None);
    }
}
