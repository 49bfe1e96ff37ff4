//! The facts that the engine reports about itself and its machine.

use std::path::Path;

use testcontainers::bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use crate::disk::Disk;

/// The facts about the engine and its machine. The facts come from the engine and the kernel, so the harness gets them
/// without starting a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host name of the engine's machine.
    pub host: String,
    /// The release of the engine, for example `26.1.5+dfsg1`.
    pub version: String,
    /// The operating system of the engine's machine, for example `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// The processor architecture of the engine's machine: `x86_64` or `aarch64`.
    pub architecture: String,
    /// The kernel release of the engine's machine.
    pub kernel: String,
    /// The cgroup version of the engine's machine: 1 or 2; 0 if the engine does not report it.
    pub cgroup_version: u8,
    /// The storage driver of the engine: `overlay2`, `overlayfs`, `vfs` or another.
    pub storage_driver: String,
    /// Whether the engine runs as a non-root user.
    pub rootless: bool,
    /// Whether the engine maps the users inside containers to other users of the machine (dockerd's option
    /// `userns-remap`).
    pub remaps_users: bool,
    /// The number of processors of the engine's machine.
    pub cpus: u32,
    /// The memory of the engine's machine, in bytes.
    pub memory_bytes: u64,
    /// Whether the engine is reached over the network. If so, the engine may run on another machine, and files and
    /// published ports may be on that machine.
    pub remote: bool,
    /// The time at which the engine answered, by the clock of the engine's machine, as RFC 3339. Empty if the engine
    /// does not report a time.
    pub time: String,
    /// The times at which this machine asked the engine for the facts and received the answer, by this machine's clock,
    /// in seconds since 1970. A comparison with `time` shows whether the two clocks differ.
    pub asked_s: (u64, u64),
    /// The folder in which the engine stores images and containers.
    pub root: String,
    /// The space on the disk of the folder `root`; `None` if the folder is not on this machine.
    pub disk: Option<Disk>,
    /// The kernel's limit of inotify instances for each user; `None` if the engine is on another machine.
    pub inotify_instances: Option<u64>,
    /// The kernel's limit of inotify watches for each user; `None` if the engine is on another machine.
    pub inotify_watches: Option<u64>,
}

impl Facts {
    pub(super) fn from_info(info: SystemInfo, local: bool, asked_s: (u64, u64)) -> Self {
        let options = info.security_options.unwrap_or_default();
        let has =
            |name: &str| options.iter().any(|option| option.split(',').any(|part| part == format!("name={name}")));
        let root = info.docker_root_dir.unwrap_or_default();
        Self {
            host: info.name.unwrap_or_default(),
            version: info.server_version.unwrap_or_default(),
            os: info.operating_system.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            cgroup_version: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_1) => 1,
                Some(SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 0,
            },
            storage_driver: info.driver.unwrap_or_default(),
            rootless: has("rootless"),
            remaps_users: has("userns"),
            cpus: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            memory_bytes: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            remote: !local,
            time: info.system_time.unwrap_or_default(),
            asked_s,
            disk: local.then(|| Disk::of(Path::new(&root))).flatten(),
            inotify_instances: local.then(|| limit("max_user_instances")).flatten(),
            inotify_watches: local.then(|| limit("max_user_watches")).flatten(),
            root,
        }
    }
}

/// The memory that is available to programs on this machine, in MiB; `None` if the kernel does not report it.
pub fn available_memory_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn limit(name: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
}
