//! The owner of an object, and the check whether the owner is still alive.
//!
//! Every container, network and volume has a label with its owner: boot id, process id, the start time of the process,
//! the process-id namespace in which the process id is valid, and the machine. With this label, a later run can
//! distinguish the objects of a killed run from those of a running one, even without ledgers. The engine may run on
//! another machine, and be reached over a socket that looks local. Therefore an owner that cannot be checked from here
//! counts as unknown and not as dead.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use parallax_record::{Noted as _, Present as _};
use parallax_vocab::RunId;
use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// The key of the label that contains the run's id.
pub(super) const LABEL_RUN: &str = "io.parallax.run";
/// The key of the label that contains the object's role in its run, for example `world`.
pub(super) const LABEL_WHAT: &str = "io.parallax.what";
/// The key of the label that contains the object's owner ([`Owner`]).
pub(super) const LABEL_OWNER: &str = "io.parallax.owner";
/// The key of the label that contains the time at which the object was created, in seconds since 1970.
pub(super) const LABEL_CREATED: &str = "io.parallax.created";
/// The key of the label of objects that the user keeps on purpose after the run's process has ended.
pub(super) const LABEL_STANDING: &str = "io.parallax.standing";

/// The inode of the initial process-id namespace (the kernel's `PROC_PID_INIT_INO`). A process in this namespace sees
/// every process of the machine.
const INITIAL_NAMESPACE: &str = "4026531836";

/// The process that an object belongs to. The fields distinguish it from an earlier or later process with the same
/// process id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner {
    boot: String,
    pid: u32,
    started_ticks: u64,
    namespace: String,
    /// A digest of the machine's id. Empty if the machine has no id, as is usual in containers.
    machine: String,
}

/// What this process can find out about another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// The process runs. The value is its start time, in clock ticks since boot.
    Runs(u64),
    /// No process has this id, or the process has exited and its parent has not yet waited for it.
    Gone,
    /// A process has this id. Nothing more is known, because `/proc` is mounted with the option `hidepid`.
    Hidden,
}

/// Whether an owner is still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// The owner process still runs.
    Living,
    /// The owner process has ended. Therefore its objects can be removed.
    Dead,
    /// The owner is, or was, on another machine or in another container, where this process cannot see it.
    Unknown,
}

impl Owner {
    /// Returns the owner value for this process.
    pub fn this_process() -> Result<Self, EngineError> {
        let pid = std::process::id();
        let boot = boot_id()?;
        let started_ticks = started(pid).ok_or_else(|| EngineError::Process {
            doing: "read this process's start time".to_owned(),
            reason: format!("/proc/{pid}/stat is not as expected"),
        })?;
        Ok(Self { boot, pid, started_ticks, namespace: own_namespace(), machine: machine() })
    }

    /// Whether the owner is alive. `here` says whether the engine runs on this machine. If it does, an owner with this
    /// machine's id but another boot id is dead: it ran before this machine was last booted.
    pub fn liveness(&self, here: bool) -> Liveness {
        let Ok(boot) = boot_id() else { return Liveness::Unknown };
        if boot != self.boot {
            let ours = here && !self.machine.is_empty() && self.machine == machine();
            return if ours { Liveness::Dead } else { Liveness::Unknown };
        }
        if self.namespace == own_namespace() {
            return self.as_seen(sight(self.pid));
        }
        if self.lives_in_a_namespace_below() {
            Liveness::Living
        } else if own_namespace() == INITIAL_NAMESPACE && rustix::process::geteuid().is_root() {
            Liveness::Dead
        } else {
            Liveness::Unknown
        }
    }

    fn as_seen(&self, sight: Sight) -> Liveness {
        match sight {
            Sight::Runs(ticks) if ticks == self.started_ticks => Liveness::Living,
            Sight::Runs(_) | Sight::Gone => Liveness::Dead,
            Sight::Hidden => Liveness::Unknown,
        }
    }

    /// Searches `/proc` for the owner, in case the owner runs in a process-id namespace below this one, for example in
    /// a container. The owner has another process id here, so the search compares the namespace and the start time.
    fn lives_in_a_namespace_below(&self) -> bool {
        let Some(entries) = std::fs::read_dir("/proc").noted("list the processes") else { return false };
        // A process may end while `/proc` is read, so an entry that is missing is no error.
        let entries = entries.filter_map(|entry| entry.present("read an entry of the processes"));
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).any(|pid| {
            namespace_of(&pid.to_string()).is_some_and(|namespace| namespace == self.namespace)
                && started(pid) == Some(self.started_ticks)
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}:{}", self.boot, self.pid, self.started_ticks, self.namespace, self.machine)
    }
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no owner");
        let mut parts = text.split(':');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(bad);
        let owner = Self {
            boot: next()?.to_owned(),
            pid: next()?.parse().map_err(|_| bad())?,
            started_ticks: next()?.parse().map_err(|_| bad())?,
            namespace: next()?.to_owned(),
            machine: parts.next().unwrap_or_default().to_owned(),
        };
        if parts.next().is_some() { Err(bad()) } else { Ok(owner) }
    }
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

/// A new random run id: `r` and eight hexadecimal digits.
pub fn fresh_run_id() -> RunId {
    let mut bytes = [0_u8; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        // The system's random generator failed. The time and the process id still give different ids for two runs.
        let seed = unix_seconds().rotate_left(16) ^ u64::from(std::process::id());
        bytes.copy_from_slice(&seed.to_le_bytes()[..4]);
    }
    RunId::new(format!("r{}", hex::encode(bytes)))
}

/// The name of an object of a run in the engine: `parallax-<run>-<what>`.
pub(super) fn object_name(run: &RunId, what: &str) -> String {
    format!("parallax-{run}-{what}")
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn boot_id() -> Result<String, EngineError> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(std::fs::read_to_string(path).map_err(EngineError::file("read", path))?.trim().to_owned())
}

/// A digest of the machine's id; empty if the machine has no id. The id itself must not be published (`man
/// machine-id`).
fn machine() -> String {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if id.trim().is_empty() {
        return String::new();
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("parallax {}", id.trim()).as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

/// The host name of this machine.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The release of this machine's kernel.
pub(super) fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Looks up a process id in the process-id namespace of this process.
fn sight(pid: u32) -> Sight {
    let id = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let exists = || id.is_some_and(|id| rustix::process::test_kill_process(id) != Err(rustix::io::Errno::SRCH));
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => start_time(&stat).map_or(Sight::Gone, Sight::Runs),
        // The option `hidepid` of `/proc` hides the entry of the process. A test signal still shows that the process
        // exists.
        Err(_) if exists() => Sight::Hidden,
        Err(_) => Sight::Gone,
    }
}

fn own_namespace() -> String {
    namespace_of("self").unwrap_or_default()
}

/// The inode of the process-id namespace of a process: `4026531836` in the link `pid:[4026531836]`.
fn namespace_of(pid: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    Some(link.to_str()?.trim_start_matches("pid:[").trim_end_matches(']').to_owned())
}

/// The start time of a process in clock ticks since boot; `None` if the process does not exist, or is a zombie.
fn started(pid: u32) -> Option<u64> {
    start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads the start time from the text of `/proc/PID/stat`. The name of the command may contain spaces and parentheses,
/// so fields are counted after the last `)`: the state is the first field, the start time the 20th. `None` for a
/// zombie.
fn start_time(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_is_found_behind_any_command_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        for command in ["sh", "a b", "x) S 1 2 (y"] {
            assert_eq!(start_time(&format!("77 ({command}) {tail}")), Some(4242), "{command}");
        }
        assert_eq!(start_time(&format!("77 (sh) {}", tail.replacen('S', "Z", 1))), None);
        assert_eq!(start_time("nonsense"), None);
    }

    #[test]
    fn owners_survive_their_label() {
        let owner = Owner::this_process().unwrap();
        assert_eq!(owner.to_string().parse::<Owner>().unwrap(), owner);
        for bad in ["", "a:b:c:d", "boot:1:2", "boot:1:2:3:4:5"] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_very_process_lives() {
        let me = Owner::this_process().unwrap();
        let machine = || "0123456789abcdef".to_owned();
        let earlier_boot = Owner { boot: "0000".to_owned(), ..me.clone() };
        let other_machine = Owner { machine: machine(), ..earlier_boot.clone() };
        let no_machine = Owner { machine: String::new(), ..earlier_boot.clone() };
        let earlier_process = Owner { started_ticks: me.started_ticks + 1, ..me.clone() };
        assert_eq!(me.liveness(true), Liveness::Living);
        assert_eq!(earlier_process.liveness(true), Liveness::Dead);
        let earlier = if me.machine.is_empty() { Liveness::Unknown } else { Liveness::Dead };
        assert_eq!(earlier_boot.liveness(true), earlier);
        assert_eq!(other_machine.liveness(true), Liveness::Unknown);
        assert_eq!(no_machine.liveness(true), Liveness::Unknown);
        assert_eq!(earlier_boot.liveness(false), Liveness::Unknown);
        let elsewhere = Owner { namespace: "1".to_owned(), started_ticks: 1, ..me };
        assert_ne!(elsewhere.liveness(true), Liveness::Living);
    }

    #[test]
    fn what_is_hidden_is_not_dead() {
        let me = Owner::this_process().unwrap();
        assert_eq!(sight(me.pid), Sight::Runs(me.started_ticks));
        assert_eq!(sight(u32::MAX), Sight::Gone);
        for (sight, expected) in [
            (Sight::Runs(me.started_ticks), Liveness::Living),
            (Sight::Runs(me.started_ticks + 1), Liveness::Dead),
            (Sight::Gone, Liveness::Dead),
            (Sight::Hidden, Liveness::Unknown),
        ] {
            assert_eq!(me.as_seen(sight), expected, "{sight:?}");
        }
    }

    #[test]
    fn run_ids_have_their_form() {
        let (one, two) = (fresh_run_id(), fresh_run_id());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 9);
        assert!(one.as_str()[1..].chars().all(|digit| digit.is_ascii_hexdigit()));
    }
}
