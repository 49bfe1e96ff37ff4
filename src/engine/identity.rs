//! The owner of an object, and whether the owner is still alive.
//!
//! Every container, network and volume carries a label with its owner: boot id, process id, the start time of the
//! process, and the process-id namespace in which the process id is valid. So a later run can tell the objects of a
//! killed run from those of a running one, even without ledgers.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use parallax_vocab::RunId;
use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// Label: the run's id.
pub(super) const LABEL_RUN: &str = "io.parallax.run";
/// Label: what the object is within its run.
pub(super) const LABEL_WHAT: &str = "io.parallax.what";
/// Label: [`Owner`].
pub(super) const LABEL_OWNER: &str = "io.parallax.owner";
/// Label: when the object was made, in seconds since 1970.
pub(super) const LABEL_CREATED: &str = "io.parallax.created";
/// Label: the object is meant to outlive its process.
pub(super) const LABEL_STANDING: &str = "io.parallax.standing";

/// Inode of the initial process-id namespace (the kernel's `PROC_PID_INIT_INO`): from there every process is seen.
const INITIAL_NAMESPACE: &str = "4026531836";

/// A process, distinguished from every other process that has had or will have the same process id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner {
    boot: String,
    pid: u32,
    started_ticks: u64,
    namespace: String,
}

/// Whether an owner is still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is alive.
    Living,
    /// It is dead: its objects can be removed.
    Dead,
    /// It is, or was, in a place that this process cannot see: another machine, another container.
    Unknown,
}

impl Owner {
    /// This process.
    pub fn this_process() -> Result<Self, EngineError> {
        let pid = std::process::id();
        let boot = boot_id()?;
        let started_ticks = started(pid).ok_or_else(|| EngineError::Process {
            doing: "read this process's start time".to_owned(),
            reason: format!("/proc/{pid}/stat is not as expected"),
        })?;
        Ok(Self { boot, pid, started_ticks, namespace: own_namespace() })
    }

    /// Whether it is alive. `local` means that the engine runs on this machine, so that another boot id is an earlier
    /// boot and not another machine.
    pub fn liveness(&self, local: bool) -> Liveness {
        let Ok(boot) = boot_id() else { return Liveness::Unknown };
        if boot != self.boot {
            return if local { Liveness::Dead } else { Liveness::Unknown };
        }
        if self.namespace == own_namespace() {
            return match started(self.pid) {
                Some(ticks) if ticks == self.started_ticks => Liveness::Living,
                _ => Liveness::Dead,
            };
        }
        if self.lives_in_a_namespace_below() {
            Liveness::Living
        } else if own_namespace() == INITIAL_NAMESPACE && rustix::process::geteuid().is_root() {
            Liveness::Dead
        } else {
            Liveness::Unknown
        }
    }

    /// Looks through `/proc` for the process under the number it has here; its start time stays the same.
    fn lives_in_a_namespace_below(&self) -> bool {
        let Ok(entries) = std::fs::read_dir("/proc") else { return false };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).any(|pid| {
            namespace_of(&pid.to_string()).is_some_and(|namespace| namespace == self.namespace)
                && started(pid) == Some(self.started_ticks)
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.boot, self.pid, self.started_ticks, self.namespace)
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

/// A run id that no other run has: `r` and eight hexadecimal digits.
pub fn fresh_run_id() -> RunId {
    let mut bytes = [0_u8; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        // The system has no randomness to give; time and process id still tell two runs apart.
        let seed = unix_seconds().rotate_left(16) ^ u64::from(std::process::id());
        bytes.copy_from_slice(&seed.to_le_bytes()[..4]);
    }
    RunId::new(format!("r{}", hex::encode(bytes)))
}

/// The name of a run's object: `parallax-<run>-<what>`.
pub(super) fn object_name(run: &RunId, what: &str) -> String {
    format!("parallax-{run}-{what}")
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn boot_id() -> Result<String, EngineError> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(std::fs::read_to_string(path).map_err(EngineError::file("read", path))?.trim().to_owned())
}

fn own_namespace() -> String {
    namespace_of("self").unwrap_or_default()
}

/// The inode in `pid:[4026531836]`.
fn namespace_of(pid: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    Some(link.to_str()?.trim_start_matches("pid:[").trim_end_matches(']').to_owned())
}

/// A process's start time in clock ticks since boot; none where it is gone or only waits to be reaped.
fn started(pid: u32) -> Option<u64> {
    start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields follow the command, which may itself hold spaces and parentheses: state is the first, start time the 20th.
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
        for bad in ["", "a:b:c:d", "boot:1:2", "boot:1:2:3:4"] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_very_process_lives() {
        let me = Owner::this_process().unwrap();
        let earlier_boot = Owner { boot: "0000".to_owned(), ..me.clone() };
        let earlier_process = Owner { started_ticks: me.started_ticks + 1, ..me.clone() };
        assert_eq!(me.liveness(true), Liveness::Living);
        assert_eq!(earlier_process.liveness(true), Liveness::Dead);
        assert_eq!(earlier_boot.liveness(true), Liveness::Dead);
        assert_eq!(earlier_boot.liveness(false), Liveness::Unknown);
        let elsewhere = Owner { namespace: "1".to_owned(), started_ticks: 1, ..me };
        assert_ne!(elsewhere.liveness(true), Liveness::Living);
    }

    #[test]
    fn run_ids_have_their_form() {
        let (one, two) = (fresh_run_id(), fresh_run_id());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 9);
        assert!(one.as_str()[1..].chars().all(|digit| digit.is_ascii_hexdigit()));
    }
}
