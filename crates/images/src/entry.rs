//! Verifies the files of the cache: that a file still has its original content, and that no other user can write it.
//!
//! Each file has a record (a JSON file) with the SHA-256 of its content. If the inode, the size and the change time of
//! a file are the same as at its last verification, the file is not read again. This is safe, because only the kernel
//! can set the change time.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parallax_record::{Noted as _, Present as _};
use serde::{Deserialize, Serialize};

use super::digest;

/// The name of the folder with the digest records of the files, within the folder of the cache.
const RECORDS: &str = "digests";
/// If a file was marked as used less than this time ago, it is not marked again. Pruning does not need a more exact
/// time of use.
const RECENT: Duration = Duration::from_mins(10);
/// The file mode of each file of the cache: only the owner can write it.
const MODE: u32 = 0o644;

/// What the cache has recorded about one of its files: the digest record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// The SHA-256 of the file's content. `None` if the file was already in the cache when the digest records were
    /// introduced, and was not used since.
    sha256: Option<String>,
    /// The inode, size and change time of the file at its last verification; `None` before the first one.
    seen: Option<String>,
}

/// The result of verifying a file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The file does not exist.
    Absent,
    /// The file has its original content.
    Whole,
    /// The file must not be used. The value is the reason, as a sentence fragment.
    Refused(&'static str),
}

/// Whether a cache has the folder with the digest records. A cache of an old version of Parallax has none.
pub(super) fn has_records(root: &Path) -> bool {
    root.join(RECORDS).symlink_metadata().is_ok_and(|about| about.is_dir())
}

/// Creates the folder with the digest records for a cache that has none. The existing files are adopted: each gets an
/// empty digest record, and its digest is computed at its first use. `work` is a folder for this call only, on the same
/// disk.
///
/// The folder with the records gets its final name only when each file has a record. So no process can find a file
/// without a record and remove it. If this process is killed before, the next process adopts all files.
pub(super) fn adopt(root: &Path, work: &Path) -> io::Result<()> {
    let records = root.join(RECORDS);
    let adopted = work.join(RECORDS);
    fs::create_dir(&adopted)?;
    for folder in ["layers", "images"] {
        for file in fs::read_dir(root.join(folder))? {
            write_in(&adopted, &file?.path(), &Record::default())?;
        }
    }
    give_name(&adopted, &records)
}

/// Renames the complete folder with the digest records to its final name. If another process was faster, the folder of
/// that process stays.
fn give_name(adopted: &Path, records: &Path) -> io::Result<()> {
    match fs::rename(adopted, records) {
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => Ok(()),
        renamed => renamed,
    }
}

/// Renames a finished file from `finished` to `name`, and records its digest.
pub(super) fn keep(finished: &Path, name: &Path) -> io::Result<()> {
    fs::set_permissions(finished, Permissions::from_mode(MODE))?;
    let sha256 = Some(digest::of_file(finished)?);
    // The digest record is written before the rename. If the process were killed after a rename without a record, the
    // file would be refused and built again.
    write(name, &Record { sha256: sha256.clone(), seen: None })?;
    fs::rename(finished, name)?;
    let seen = Some(seen(&name.symlink_metadata()?));
    write(name, &Record { sha256, seen })
}

/// Verifies a file of the cache. A good file is marked as used now. A file that is refused is removed.
pub(super) fn check(path: &Path) -> Entry {
    let entry = verify(path).unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Entry::Absent,
        _ => Entry::Refused("cannot be read"),
    });
    if matches!(entry, Entry::Refused(_)) {
        remove(path);
    }
    entry
}

/// Removes a file of the cache and its digest record. A failure is only logged, because a new build replaces the file.
pub(super) fn remove(path: &Path) {
    fs::remove_file(path).present("remove a file of the cache");
    fs::remove_file(record_of(path)).present("remove the digest of a file of the cache");
}

fn verify(path: &Path) -> io::Result<Entry> {
    let about = path.symlink_metadata()?;
    if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() {
        return Ok(Entry::Refused("is not a file of this user"));
    }
    let Some(mut record) = read(path) else { return Ok(Entry::Refused("has no digest")) };
    if record.sha256.is_none() {
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
    } else if about.mode() & 0o022 != 0 {
        return Ok(Entry::Refused("could be written by others"));
    }
    let unchanged = record.sha256.is_some() && record.seen.as_ref() == Some(&seen(&about));
    if !unchanged {
        let now = digest::of_file(path)?;
        if record.sha256.as_ref().is_some_and(|it| *it != now) {
            return Ok(Entry::Refused("was changed"));
        }
        record.sha256 = Some(now);
    }
    let used = about.modified().ok().and_then(|it| it.elapsed().ok());
    if used.is_none_or(|age| age > RECENT) {
        // In a read-only cache, the mark fails. The cache is still usable, but a later prune may remove files in
        // another order.
        let marked = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        marked.noted("mark a file of the cache as used");
    }
    record.seen = Some(seen(&path.symlink_metadata()?));
    write(path, &record).noted("record the digest of a file of the cache");
    Ok(Entry::Whole)
}

fn seen(about: &fs::Metadata) -> String {
    format!("{}:{}:{}.{:09}", about.ino(), about.len(), about.ctime(), about.ctime_nsec())
}

fn record_of(path: &Path) -> PathBuf {
    record_in(&records_of(path), path)
}

/// The folder with the digest records of the cache that contains this file.
fn records_of(path: &Path) -> PathBuf {
    path.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join(RECORDS)
}

fn record_in(records: &Path, path: &Path) -> PathBuf {
    records.join(path.file_name().unwrap_or_default()).with_extension("json")
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_str(&fs::read_to_string(record_of(path)).ok()?).ok()
}

fn write(path: &Path, record: &Record) -> io::Result<()> {
    write_in(&records_of(path), path, record)
}

/// Writes the digest record of a file of the cache. The record is first written to a temporary file, which is then
/// renamed. So another process never reads an incomplete record.
fn write_in(records: &Path, path: &Path, record: &Record) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(records)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.persist(record_in(records, path)).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["layers", "images"] {
            fs::create_dir(root.path().join(folder)).expect("made");
        }
        prepared(root.path()).expect("prepared");
        let path = root.path().join("layers/a.tar");
        (root, path)
    }

    /// Creates the folder with the digest records as `Cache::at` does, if the cache has none.
    fn prepared(root: &Path) -> io::Result<()> {
        if has_records(root) { Ok(()) } else { adopt(root, tempfile::tempdir_in(root).expect("a folder").path()) }
    }

    fn kept(root: &Path, path: &Path) {
        let finished = root.join("finished");
        fs::write(&finished, "content").expect("written");
        keep(&finished, path).expect("kept");
    }

    /// Waits until the kernel's clock for files has ticked, which it does only every few milliseconds. A file that is
    /// written after the wait gets another change time than a file that was written before the wait.
    fn tick(root: &Path, path: &Path) {
        let changed = |path: &Path| {
            let about = path.symlink_metadata().expect("there");
            (about.ctime(), about.ctime_nsec())
        };
        let other = root.join("tick");
        fs::write(&other, "").expect("written");
        while changed(&other) <= changed(path) {
            fs::write(&other, "").expect("written");
        }
    }

    #[test]
    fn a_file_that_changed_after_it_was_kept_is_refused_and_removed() {
        let (root, path) = cache();
        assert_eq!(check(&path), Entry::Absent);
        let changes: [(&str, &dyn Fn()); 6] = [
            ("was changed", &|| fs::write(&path, "CONTENT").expect("written")),
            ("was changed", &|| fs::write(&path, "cont").expect("cut")),
            ("has no digest", &|| fs::remove_file(record_of(&path)).expect("removed")),
            ("could be written by others", &|| {
                fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("set");
            }),
            ("is not a file of this user", &|| {
                fs::rename(&path, root.path().join("elsewhere")).expect("moved");
                std::os::unix::fs::symlink(root.path().join("elsewhere"), &path).expect("linked");
            }),
            ("was changed", &|| {
                // The test changes the content, and then sets the old modification time again. A process cannot set the
                // change time, so the changed content must still be noticed.
                let modified = path.metadata().expect("there").modified().expect("known");
                fs::write(&path, "another").expect("written");
                File::options().write(true).open(&path).expect("opens").set_modified(modified).expect("set");
            }),
        ];
        for (why, change) in changes {
            kept(root.path(), &path);
            assert_eq!((check(&path), check(&path)), (Entry::Whole, Entry::Whole));
            tick(root.path(), &path);
            change();
            assert_eq!(check(&path), Entry::Refused(why));
            assert_eq!(check(&path), Entry::Absent, "{why}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let (root, path) = cache();
        kept(root.path(), &path);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).expect("given away");
            assert_eq!(check(&path), Entry::Refused("is not a file of this user"));
        }
    }

    #[test]
    fn the_files_of_an_older_cache_are_adopted_once() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["layers", "images"] {
            fs::create_dir(root.path().join(folder)).expect("made");
        }
        let path = root.path().join("layers/a.tar");
        fs::write(&path, "content").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o664)).expect("set");
        prepared(root.path()).expect("prepared");
        assert_eq!(check(&path), Entry::Whole);
        tick(root.path(), &path);
        fs::write(&path, "changed").expect("written");
        assert_eq!(check(&path), Entry::Refused("was changed"));
        // Only a cache without digest records is adopted. This cache has them now, so a new file without a digest
        // record is refused.
        fs::write(&path, "content").expect("written");
        prepared(root.path()).expect("prepared");
        assert_eq!(check(&path), Entry::Refused("has no digest"));
    }

    #[test]
    fn an_adoption_that_does_not_finish_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["layers", "images"] {
            fs::create_dir(root.path().join(folder)).expect("made");
        }
        let path = root.path().join("layers/a.tar");
        fs::write(&path, "content").expect("written");
        // The folder `images` is missing, so the adoption fails after the digest record of the layer was written. No
        // folder with digest records may remain.
        fs::remove_dir(root.path().join("images")).expect("removed");
        prepared(root.path()).expect_err("a folder is missing");
        assert!(!root.path().join(RECORDS).exists());
        fs::create_dir(root.path().join("images")).expect("made");
        prepared(root.path()).expect("prepared");
        assert_eq!(check(&path), Entry::Whole);
    }

    #[test]
    fn of_two_adoptions_the_first_one_stays() {
        let (root, path) = cache();
        kept(root.path(), &path);
        let record = fs::read_to_string(record_of(&path)).expect("a record");
        // The test imitates a second process that looked for the digest records before the first process had finished,
        // and then adopts the files too.
        let (records, aside) = (root.path().join(RECORDS), root.path().join("aside"));
        fs::rename(&records, &aside).expect("moved");
        let work = tempfile::tempdir_in(root.path()).expect("a folder");
        let adopted = work.path().join(RECORDS);
        fs::create_dir(&adopted).expect("made");
        write_in(&adopted, &path, &Record::default()).expect("written");
        fs::rename(&aside, &records).expect("moved back");
        give_name(&adopted, &records).expect("the other one won");
        assert_eq!(fs::read_to_string(record_of(&path)).expect("a record"), record);
        assert_eq!(check(&path), Entry::Whole);
    }
}
