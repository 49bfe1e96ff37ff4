//! Lends additional slots for work that needs processor time while the machine's processors are idle. A job that holds
//! a slot may be waiting, for example for a program that restarts after a pause. Without additional slots, the
//! processors would then have nothing to do.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::slots::Slots;

/// The file in which the kernel reports how long all processors have worked and been idle.
const TIMES: &str = "/proc/stat";
/// The interval between two measurements of the idle time. After each measurement, at most one slot is lent.
const EVERY: Duration = Duration::from_millis(400);
/// The share of the processors' time, in percent, that must have been idle before a slot is lent.
const ROOM_PERCENT: u64 = 25;

/// The idle time and the whole time of all processors since the machine started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    idle: u64,
    all: u64,
}

/// Lends a slot whenever enough of the processors' time since the last measurement was idle. The slot comes from the
/// first of `slots` for which a job waits. The function never returns; the caller drops the future.
pub(super) async fn lend(slots: [&Slots; 2]) -> Infallible {
    let mut looks = interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        looks.tick().await;
        // If the file does not exist, no slot is lent, and the fixed number of slots remains.
        let now = std::fs::read_to_string(TIMES).ok().as_deref().and_then(times);
        if before.zip(now).is_some_and(|(before, now)| has_room(before, now)) {
            let _somebody_waited = slots.iter().any(|it| it.lend());
        }
        before = now;
    }
}

/// Parses the first line of `/proc/stat`. Its numbers are user, nice, system, idle, iowait, irq, softirq and steal. A
/// processor that waits for the disk (iowait) does not count as idle here, because further work would wait for the
/// same disk.
fn times(text: &str) -> Option<Times> {
    let ticks = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Times { idle: *ticks.get(3)?, all: ticks.iter().sum() })
}

fn has_room(before: Times, now: Times) -> bool {
    let all = now.all.saturating_sub(before.all);
    let idle = now.idle.saturating_sub(before.idle);
    all > 0 && idle * 100 >= all * ROOM_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_and_the_disk_is_not_idle() {
        let text = "cpu  10 1 20 300 50 0 4 5 7 8\ncpu0 1 2 3\n";
        assert_eq!(times(text), Some(Times { idle: 300, all: 390 }));
        for text in ["", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8"] {
            assert_eq!(times(text), None, "{text:?}");
        }
    }

    #[test]
    fn there_is_room_from_a_quarter_of_idle_time_on() {
        let at = |idle, all| Times { idle, all };
        assert!(has_room(at(100, 1_000), at(120, 1_080)));
        assert!(!has_room(at(100, 1_000), at(119, 1_080)));
        // If no time has passed, or if the counter of a processor decreased, the processors do not count as idle.
        assert!(!has_room(at(100, 1_000), at(100, 1_000)));
        assert!(!has_room(at(100, 1_000), at(90, 1_080)));
    }
}
