//! Measures processor and memory use during a run, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The interval between two samples. A process that exists for a shorter time may be missing from all samples. Its
/// processor time is then counted only in the total of the machine.
const EVERY: Duration = Duration::from_secs(1);
/// The prefix of the names of all programs of Parallax.
const OURS: &str = "parallax";

/// Processor time, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processors {
    pub(crate) busy: u64,
    pub(crate) idle: u64,
}

/// The use of processors and memory during one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The processor time of the whole machine during the run.
    pub(crate) machine: Processors,
    /// The processor time of the programs of Parallax, inside and outside containers, in clock ticks.
    pub(crate) own: u64,
    /// The peak memory of the harness, in KiB.
    pub(crate) peak_kib: u64,
}

impl Seen {
    /// Returns the idle share of the machine's processor time, from 0 to 1.
    pub(crate) fn idle_share(&self) -> f64 {
        share(self.machine.idle, self.machine.idle + self.machine.busy)
    }

    /// Returns the share of the machine's busy processor time that the programs of Parallax used, from 0 to 1.
    pub(crate) fn own_share(&self) -> f64 {
        share(self.own, self.machine.busy)
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of some minutes")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A thread that samples the use of processors and memory during a run.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    pub(crate) fn begin(harness: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let from = machine();
            let mut own: BTreeMap<(u32, u64), u64> = BTreeMap::new();
            let mut seen = Seen::default();
            while !ended.load(Ordering::Relaxed) {
                for process in processes().into_iter().filter(|it| it.name.starts_with(OURS)) {
                    own.insert((process.id, process.began), process.ticks);
                }
                seen.peak_kib = seen.peak_kib.max(peak_kib(harness));
                std::thread::park_timeout(EVERY);
            }
            let to = machine();
            seen.machine = Processors { busy: to.busy - from.busy, idle: to.idle - from.idle };
            seen.own = own.values().sum();
            seen
        });
        Self { stop, thread }
    }

    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }
}

struct Process {
    id: u32,
    name: String,
    began: u64,
    ticks: u64,
}

fn processes() -> Vec<Process> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A process that has ended since the folder `/proc` was listed cannot be read and is skipped.
    ids.filter_map(|id: u32| of_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)).collect()
}

/// Parses `/proc/PID/stat`. After the process id, the file contains the program's name in parentheses, and then
/// numbers. The name may contain any character, including parentheses.
fn of_stat(id: u32, stat: &str) -> Option<Process> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The numbers of the fields are those of proc(5), where the first field after the name is number 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process { id, name: name.to_owned(), began: number(22)?, ticks: number(14)? + number(15)? })
}

fn machine() -> Processors {
    fs::read_to_string("/proc/stat").map(|it| of_machine(&it)).unwrap_or_default()
}

/// Parses the first line of `/proc/stat`, which has the fields user, nice, system, idle, iowait, irq, softirq and
/// steal.
fn of_machine(stat: &str) -> Processors {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|it| it.parse().unwrap_or(0)).collect();
    let idle = ticks.iter().skip(3).take(2).sum();
    Processors { busy: ticks.iter().sum::<u64>() - idle, idle }
}

fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|it| it.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 99 1 1";
        let process = of_stat(7, stat).expect("a process");
        assert_eq!((process.name.as_str(), process.ticks, process.began), ("a) b (c", 110, 99));
        assert_eq!(of_machine("cpu  10 1 20 300 40 5 6 7 0 0\ncpu0 1"), Processors { busy: 49, idle: 340 });
    }
}
