//! The list of uploads, in an SQLite database.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;

/// The longest time that a write waits for the database's write lock. litestream takes this lock briefly during a
/// checkpoint.
const BUSY_WITHIN: Duration = Duration::from_secs(5);

/// One upload of the list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Upload {
    /// The number of the upload, from 1.
    pub(crate) number: i64,
    /// The key of the uploaded object in the store.
    pub(crate) key: String,
    /// The size of the uploaded object in bytes. `None` until the store has the object.
    pub(crate) bytes: Option<i64>,
}

/// Opens the database, and creates it if it does not exist. litestream needs a write-ahead log without automatic
/// checkpoints. So this function switches the log on, and the automatic checkpoints off.
pub(crate) fn open(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    connection.busy_timeout(BUSY_WITHIN)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal;
             PRAGMA synchronous = normal;
             PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE IF NOT EXISTS uploads (number INTEGER PRIMARY KEY, key TEXT NOT NULL, bytes INTEGER);",
        )
        .with_context(|| format!("{} cannot be opened as a database for writing", path.display()))?;
    Ok(connection)
}

/// Adds an upload of a file with this name. The key of its object contains the upload's number, so that no upload
/// replaces another in the store.
pub(crate) fn add(connection: &mut Connection, name: &str) -> anyhow::Result<Upload> {
    let transaction = connection.transaction()?;
    let number: i64 = transaction.query_row("SELECT ifnull(max(number), 0) + 1 FROM uploads", [], |row| row.get(0))?;
    let key = format!("uploads/{number}/{name}");
    transaction.execute("INSERT INTO uploads (number, key) VALUES (?1, ?2)", (number, &key))?;
    transaction.commit()?;
    Ok(Upload { number, key, bytes: None })
}

/// Returns the key of an upload. `None` if the list has no upload with this number.
pub(crate) fn key(connection: &Connection, number: i64) -> anyhow::Result<Option<String>> {
    let found = connection.query_row("SELECT key FROM uploads WHERE number = ?1", [number], |row| row.get(0));
    Ok(found.optional()?)
}

/// Notes in the list that the store has the object of an upload, with the object's size in bytes.
pub(crate) fn done(connection: &Connection, number: i64, bytes: i64) -> anyhow::Result<()> {
    connection.execute("UPDATE uploads SET bytes = ?2 WHERE number = ?1", [number, bytes])?;
    Ok(())
}

/// Returns all uploads, the newest first.
pub(crate) fn all(connection: &Connection) -> anyhow::Result<Vec<Upload>> {
    let mut query = connection.prepare_cached("SELECT number, key, bytes FROM uploads ORDER BY number DESC")?;
    let rows = query.query_map([], |row| Ok(Upload { number: row.get(0)?, key: row.get(1)?, bytes: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_numbered_and_their_sizes_are_noted() {
        let mut connection = open(Path::new(":memory:")).expect("a database");
        let first = add(&mut connection, "a.txt").expect("an upload");
        let second = add(&mut connection, "a.txt").expect("an upload");
        assert_eq!((first.key.as_str(), second.key.as_str()), ("uploads/1/a.txt", "uploads/2/a.txt"));
        assert_eq!(key(&connection, 2).expect("a query").as_deref(), Some("uploads/2/a.txt"));
        assert_eq!(key(&connection, 3).expect("a query"), None);
        done(&connection, 2, 5).expect("an update");
        let sizes: Vec<_> = all(&connection).expect("a list").into_iter().map(|it| (it.number, it.bytes)).collect();
        assert_eq!(sizes, [(2, Some(5)), (1, None)]);
    }
}
