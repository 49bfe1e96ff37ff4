//! Commits rows at a fixed rate, and reports each commit as one line of JSON on standard output.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::database::{self, Contents};

/// One line of the program's standard output, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// The process has started. The value is the state of the database at this time. If the log of a pod has a second
    /// line of this kind, the process was restarted.
    Started(Contents),
    /// A row was committed: SQLite's commit has returned.
    Committed {
        /// The number of the committed row.
        row: i64,
        /// The time of the commit, in milliseconds since the Unix epoch.
        unix_ms: i64,
    },
    /// SIGTERM arrived, and the program stops. The program commits no further row.
    Stopped {
        /// The number of the last committed row; 0 if the database has no row.
        row: i64,
    },
}

/// Commits rows until SIGTERM, at most `rows` of them. If a commit is late, the next commits follow faster, so that the
/// average rate stays correct.
pub(crate) async fn until_sigterm(
    path: &Path,
    rate: u32,
    rows: Option<i64>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let connection = database::open(path)?;
    let found = database::contents(&connection)?;
    let mut row = found.highest;
    let last = rows.map(|rows| found.highest + rows);
    line(out, &Line::Started(found))?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = ticks.tick(), if last.is_none_or(|last| row < last) => {}
        }
        database::commit(&connection, row + 1, unix_ms())?;
        row += 1;
        line(out, &Line::Committed { row, unix_ms: unix_ms() })?;
    }
    line(out, &Line::Stopped { row })
}

/// Writes one value as a line of JSON, and flushes it at once. So the line is in the output even if the process is
/// killed directly afterwards.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    out.write_all(&text).and_then(|()| out.flush()).context("standard output is closed")
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
