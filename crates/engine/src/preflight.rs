//! Checks before a run whether the engine and its machine meet the requirements of the run. Each problem comes with its
//! fix.

use super::disk::Disk;
use super::facts::Facts;

/// The Kubernetes minor version from which the kubelet refuses cgroup v1, unless the kubelet's configuration allows it
/// (docs/facts.md#cgroup-v1).
const REFUSES_CGROUP_V1_FROM_MINOR: u32 = 35;
/// The number of inotify instances that one cluster needs. If the kernel's limit is exceeded, the kubelet exits with
/// "too many open files". On a node, 19 instances were counted: kubelet 7, apiserver 6, controller manager 5,
/// containerd 1. The value of this constant is higher, as a reserve.
const INOTIFY_INSTANCES: u64 = 24;
const INOTIFY_WATCHES: u64 = 8192;
const GIB: u64 = 1024 * 1024 * 1024;

/// What a user can do if the engine's disk is full.
const ROOM: &str = "make room there: `docker system df` shows what the engine keeps, `docker system prune` frees it";

/// What a run needs from the engine and its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Whether the run starts privileged containers. Each node of a cluster is a privileged container.
    pub privileged: bool,
    /// The free disk space that the run needs for images and containers, in bytes.
    pub free_disk_bytes: u64,
    /// The total memory that the engine's machine must have, in bytes.
    pub memory_bytes: u64,
    /// The minor version of the run's Kubernetes. `None` if the version does not matter, because the kubelet is
    /// configured to accept cgroup v1.
    pub strict_kubernetes_minor: Option<u32>,
    /// The number of clusters that the run starts at the same time.
    pub clusters: u64,
}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The problem may make the run fail.
    Warning,
    /// The problem will make the run fail.
    Error,
}

/// One problem that may make a run fail. (In scenarios and reports, "finding" means something else: a vulnerability.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What the problem is about: one of [`Finding::ABOUT`].
    pub about: &'static str,
    /// The severity of the problem.
    pub severity: Severity,
    /// The problem, as a sentence that begins in lower case.
    pub what: String,
    /// What the user must do to solve the problem, as a sentence fragment.
    pub fix: String,
}

impl Finding {
    /// The values that [`Finding::about`] may have.
    pub const ABOUT: [&str; 6] = ["engine", "privileges", "cgroups", "inotify", "disk", "memory"];
}

/// Compares the facts about the engine with the requirements of a run. Returns the problems, errors first.
pub fn preflight(facts: &Facts, needs: &Needs) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        remote(facts, needs),
        privileged(facts, needs),
        disk(facts, needs),
        cgroup(facts, needs),
        memory(facts, needs),
        inotify("max_user_instances", facts.inotify_instances, INOTIFY_INSTANCES, needs),
        inotify("max_user_watches", facts.inotify_watches, INOTIFY_WATCHES, needs),
        storage(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Returns the problem of a disk on which so little space is free that stores and containers fail. Such a failure looks
/// like a fault of the system under test. `disk` is the space that the disk of the engine has now.
pub fn full(facts: &Facts, disk: &Disk) -> Option<Finding> {
    let what = || {
        format!(
            "no verdict, because the disk is full: {} of {} are free in {}, and stores need more than {}",
            gib(disk.free_bytes),
            gib(disk.size_bytes),
            facts.root,
            gib(disk.reserve_bytes())
        )
    };
    disk.is_full().then(|| error("disk", what(), ROOM))
}

fn error(about: &'static str, what: String, fix: impl Into<String>) -> Finding {
    Finding { about, severity: Severity::Error, what, fix: fix.into() }
}

fn warning(about: &'static str, what: String, fix: impl Into<String>) -> Finding {
    Finding { about, severity: Severity::Warning, what, fix: fix.into() }
}

/// Returns an error if the engine is reached over the network. The engine must run on this machine for two reasons: a
/// run reaches its containers through ports on this machine's loopback, and it gives images to nodes as files of this
/// machine.
fn remote(facts: &Facts, needs: &Needs) -> Option<Finding> {
    if !facts.remote || !needs.privileged {
        return None;
    }
    Some(error("engine", 
        "the engine is reached over the network, and a run needs one on this machine: it asks its containers by ports on \
         loopback, and mounts files of this machine into them"
            .to_owned(),
        "name the engine's socket on this machine (DOCKER_HOST=unix:///var/run/docker.sock), or start the run on the \
         engine's machine",
    ))
}

fn privileged(facts: &Facts, needs: &Needs) -> Option<Finding> {
    if !needs.privileged {
        return None;
    }
    if facts.remaps_users {
        return Some(error(
            "privileges",
            "the engine remaps container users (userns-remap), under which it runs no privileged container".to_owned(),
            "take `userns-remap` out of the engine's daemon.json, or name another engine by DOCKER_HOST",
        ));
    }
    if facts.rootless && facts.cgroup_version == 1 {
        return Some(error(
            "privileges",
            "the engine is rootless on cgroup v1, where a cluster node cannot manage its own cgroups".to_owned(),
            "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or name an engine that runs as root",
        ));
    }
    // The runc of Debian's docker.io 20.10 fails on some machines (docs/facts.md#container-engines). The engine does
    // not report the version of runc, so an old version of the engine must serve as the sign of an old runc.
    let major: Option<u32> = facts.version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major| major < 23) {
        return Some(warning(
            "privileges",
            format!("engine {} is old, and on some machines cannot run privileged containers", facts.version),
            "use release 23 or newer; `cargo xtask e2e --provision` installs one on Debian or Ubuntu",
        ));
    }
    if facts.rootless {
        return Some(warning(
            "privileges",
            "the engine is rootless: a cluster node may miss the controllers that were not delegated to it".to_owned(),
            "delegate cpu, cpuset, io, memory and pids to your user, or name an engine that runs as root",
        ));
    }
    None
}

fn disk(facts: &Facts, needs: &Needs) -> Option<Finding> {
    let disk = facts.disk?;
    let needed = needs.free_disk_bytes.saturating_add(disk.reserve_bytes());
    if disk.free_bytes >= needed {
        return None;
    }
    Some(error(
        "disk",
        format!("{} has {} free, and the run needs {}", facts.root, gib(disk.free_bytes), gib(needed)),
        ROOM,
    ))
}

fn cgroup(facts: &Facts, needs: &Needs) -> Option<Finding> {
    let minor = needs.strict_kubernetes_minor?;
    if facts.cgroup_version != 1 || minor < REFUSES_CGROUP_V1_FROM_MINOR {
        return None;
    }
    Some(error(
        "cgroups",
        format!("the machine uses cgroup v1, which Kubernetes 1.{minor} refuses"),
        "add `--kubelet-arg=fail-cgroupv1=false` to the cluster, boot with cgroup v2, or use Kubernetes 1.34",
    ))
}

fn memory(facts: &Facts, needs: &Needs) -> Option<Finding> {
    if facts.memory_bytes == 0 || facts.memory_bytes >= needs.memory_bytes {
        return None;
    }
    Some(warning(
        "memory",
        format!(
            "the engine's machine has {} of memory, and the run uses {}",
            gib(facts.memory_bytes),
            gib(needs.memory_bytes)
        ),
        "run fewer scenarios at once (give a filter), or give the engine's machine more memory",
    ))
}

fn inotify(name: &str, limit: Option<u64>, each: u64, needs: &Needs) -> Option<Finding> {
    let wanted = each.saturating_mul(needs.clusters);
    if limit? >= wanted {
        return None;
    }
    Some(warning(
        "inotify",
        format!("the kernel's fs.inotify.{name} is {}, and {} clusters use about {wanted}", limit?, needs.clusters),
        format!("`sysctl -w fs.inotify.{name}={}` as root", wanted.next_power_of_two()),
    ))
}

fn storage(facts: &Facts) -> Option<Finding> {
    if facts.storage_driver != "vfs" {
        return None;
    }
    Some(warning(
        "engine",
        "the engine stores images with vfs, which copies every layer in full".to_owned(),
        "use overlay2: the engine's folder must be on a file system that can carry it (ext4, xfs)",
    ))
}

/// Formats bytes as GiB with one decimal, rounded down.
fn gib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / GIB;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn disk(free_bytes: u64) -> Disk {
        Disk { free_bytes, size_bytes: 100 * GIB }
    }

    fn good() -> Facts {
        Facts {
            host: "desk".into(),
            version: "26.1.5+dfsg1".into(),
            cgroup_version: 2,
            storage_driver: "overlay2".into(),
            memory_bytes: 16 * GIB,
            root: "/var/lib/docker".into(),
            disk: Some(disk(50 * GIB)),
            inotify_instances: Some(8192),
            inotify_watches: Some(1_048_576),
            ..Facts::default()
        }
    }

    #[test]
    fn each_trouble_is_named_with_its_fix() {
        let needs = Needs {
            privileged: true,
            free_disk_bytes: 6 * GIB,
            memory_bytes: 4 * GIB,
            strict_kubernetes_minor: Some(35),
            clusters: 2,
        };
        assert_eq!(preflight(&good(), &needs), []);
        let (error, warning) = (Severity::Error, Severity::Warning);
        let cases = [
            (Facts { remote: true, ..good() }, error, "over the network", "unix:///var/run/docker.sock"),
            (Facts { remaps_users: true, ..good() }, error, "userns-remap", "daemon.json"),
            (Facts { rootless: true, cgroup_version: 1, ..good() }, error, "rootless on cgroup v1", "cgroup v2"),
            (Facts { rootless: true, ..good() }, warning, "rootless", "delegate"),
            (Facts { version: "20.10.24".into(), ..good() }, warning, "engine 20.10.24 is old", "--provision"),
            (Facts { disk: Some(disk(GIB / 2)), ..good() }, error, "has 0.5 GiB free", "docker system prune"),
            (Facts { cgroup_version: 1, ..good() }, error, "Kubernetes 1.35 refuses", "fail-cgroupv1=false"),
            (Facts { memory_bytes: GIB, ..good() }, warning, "has 1.0 GiB of memory", "filter"),
            (Facts { inotify_instances: Some(32), ..good() }, warning, "max_user_instances is 32", "sysctl -w"),
            (Facts { inotify_watches: Some(100), ..good() }, warning, "max_user_watches is 100", "=16384"),
            (Facts { storage_driver: "vfs".into(), ..good() }, warning, "vfs", "overlay2"),
        ];
        for (facts, severity, what, fix) in cases {
            let findings = preflight(&facts, &needs);
            let hit = findings.iter().find(|finding| finding.what.contains(what));
            let hit = hit.unwrap_or_else(|| panic!("nothing says {what:?}: {findings:?}"));
            assert_eq!(hit.severity, severity, "{what}");
            assert!(Finding::ABOUT.contains(&hit.about), "{}", hit.about);
            assert!(hit.fix.contains(fix), "{}", hit.fix);
        }
    }

    #[test]
    fn what_is_not_needed_or_not_known_is_no_trouble() {
        let unknown = Facts { disk: None, inotify_instances: None, memory_bytes: 0, ..good() };
        let big = Needs { free_disk_bytes: u64::MAX, memory_bytes: u64::MAX, clusters: 4, ..Needs::default() };
        assert_eq!(preflight(&unknown, &big), []);
        let old = Facts { cgroup_version: 1, remaps_users: true, ..good() };
        assert_eq!(preflight(&old, &Needs { strict_kubernetes_minor: Some(34), ..Needs::default() }), []);
    }

    #[test]
    fn a_full_disk_is_named_with_its_folder_and_its_fix() {
        assert_eq!(full(&good(), &disk(50 * GIB)), None);
        let finding = full(&good(), &disk(GIB / 2)).expect("half a percent is free");
        assert_eq!((finding.about, finding.severity), ("disk", Severity::Error));
        let what = "0.5 GiB of 100.0 GiB are free in /var/lib/docker, and stores need more than 1.0 GiB";
        assert!(finding.what.ends_with(what) && finding.fix.contains("docker system df"), "{finding:?}");
    }

    #[test]
    fn errors_come_first() {
        let facts = Facts { memory_bytes: 1, disk: Some(disk(0)), ..good() };
        let needs = Needs { free_disk_bytes: 1, memory_bytes: 2, ..Needs::default() };
        let order: Vec<_> = preflight(&facts, &needs).iter().map(|finding| finding.severity).collect();
        assert_eq!(order, [Severity::Error, Severity::Warning]);
    }
}
