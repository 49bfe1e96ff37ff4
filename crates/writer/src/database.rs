//! The SQLite database of the writer: one table of numbered rows.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

/// The time limit for getting the write lock. litestream holds this lock briefly during a checkpoint.
const BUSY_WITHIN: Duration = Duration::from_secs(5);

/// The state of a database, as the subcommand `look` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// The number of rows in the table.
    pub(crate) rows: i64,
    /// The highest row number; 0 in an empty table.
    pub(crate) highest: i64,
    /// The number of missing row numbers below the highest; each is a lost row.
    pub(crate) missing: i64,
    /// The time at which the highest row was committed, in milliseconds since the Unix epoch; `None` in an empty table.
    pub(crate) newest_unix_ms: Option<i64>,
    /// The result of `PRAGMA integrity_check`: `ok`, or a description of the damage.
    pub(crate) integrity: String,
}

/// Opens the database for writing, and creates it if necessary. litestream requires a write-ahead log without automatic
/// checkpoints, so the database is set up in this way.
pub(crate) fn open(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    connection.busy_timeout(BUSY_WITHIN)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal;
             PRAGMA synchronous = normal;
             PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, committed_unix_ms INTEGER NOT NULL);",
        )
        .with_context(|| format!("{} cannot be opened as a database for writing", path.display()))?;
    Ok(connection)
}

/// Reads the state of a database and checks its integrity. If the file is no database or is damaged, the number of rows
/// is 0, and the integrity is SQLite's error message.
pub(crate) fn look(path: &Path) -> anyhow::Result<Contents> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).with_context(|| format!("failed to open {}", path.display()))?;
    connection.busy_timeout(BUSY_WITHIN)?;
    match contents(&connection) {
        Err(error) if is_damaged(&error) => {
            Ok(Contents { rows: 0, highest: 0, missing: 0, newest_unix_ms: None, integrity: format!("{error:#}") })
        }
        seen => seen.with_context(|| format!("failed to read {}", path.display())),
    }
}

/// Whether SQLite says that the file is not a database, or is corrupt.
fn is_damaged(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt))
}

/// Reads the state of an open database. A database without the table `entries` counts as empty.
pub(crate) fn contents(connection: &Connection) -> anyhow::Result<Contents> {
    let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if !connection.table_exists(None, "entries")? {
        return Ok(Contents { rows: 0, highest: 0, missing: 0, newest_unix_ms: None, integrity });
    }
    let (rows, highest): (i64, i64) =
        connection.query_row("SELECT count(*), ifnull(max(number), 0) FROM entries", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let newest_unix_ms =
        connection
            .query_row("SELECT max(committed_unix_ms) FROM entries WHERE number = ?1", [highest], |row| row.get(0))?;
    Ok(Contents { rows, highest, missing: highest - rows, newest_unix_ms, integrity })
}

/// Writes one row in a transaction of its own. `number` is the row number, `at_unix_ms` the time of the commit.
pub(crate) fn commit(connection: &Connection, number: i64, at_unix_ms: i64) -> anyhow::Result<()> {
    connection
        .prepare_cached("INSERT INTO entries (number, committed_unix_ms) VALUES (?1, ?2)")?
        .execute([number, at_unix_ms])
        .with_context(|| format!("row {number} was not committed"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("parallax-writer-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        folder.join("app.db")
    }

    #[test]
    fn rows_gaps_and_integrity_are_reported() {
        let path = scratch("rows");
        let connection = open(&path).unwrap();
        let empty = look(&path).unwrap();
        assert_eq!((empty.rows, empty.highest, empty.newest_unix_ms), (0, 0, None));
        for number in [1, 2, 5] {
            commit(&connection, number, 1_000 + number).unwrap();
        }
        let expected =
            Contents { rows: 3, highest: 5, missing: 2, newest_unix_ms: Some(1_005), integrity: "ok".to_owned() };
        assert_eq!(look(&path).unwrap(), expected);
        assert!(commit(&connection, 5, 0).unwrap_err().to_string().contains("row 5 was not committed"));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_is_not_a_database_is_reported() {
        let path = scratch("none");
        assert!(look(&path).unwrap_err().to_string().contains("failed to open"));
        std::fs::write(&path, "not a database, but long enough to be read as one ".repeat(200)).unwrap();
        let seen = look(&path).unwrap();
        assert!(seen.integrity.contains("not a database") && seen.rows == 0, "{seen:?}");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
