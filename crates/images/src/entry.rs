//! Verifies the files of the cache: that a file still has its original content, and that no other user can write it.
//!
//! Each file has a record with the SHA-256 of its content. If the inode, the size and the change time of a file are
//! those of its last verification, the file is not read again. This is safe because only the kernel sets the change
//! time.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parallax_record::{Noted as _, Present as _};
use serde::{Deserialize, Serialize};

use super::digest;

/// The name of the folder with the records, in the folder of the cache.
const RECORDS: &str = "digests";
/// The time after a file was marked as used in which it is not marked again.
const RECENT: Duration = Duration::from_mins(10);
/// The mode of a file of the cache: only its owner can write it.
const MODE: u32 = 0o644;

/// The recorded facts about a file of the cache.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// The SHA-256 of the file's content; `None` for a file of a cache that is older than the records.
    sha256: Option<String>,
    /// The inode, size and change time at the last verification.
    seen: Option<String>,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There is no such file.
    Absent,
    /// The file has its original content.
    Whole,
    /// The file is not usable, for this reason.
    Refused(&'static str),
}

/// Whether a cache has its folder of records.
pub(super) fn has_records(root: &Path) -> bool {
    root.join(RECORDS).symlink_metadata().is_ok_and(|about| about.is_dir())
}

/// Creates the folder of the records for a cache that has none. The files of the cache are adopted: their digests are
/// computed at their first use. `work` is a folder for this call only, on the same disk.
///
/// The folder gets its name when it is complete. If this process is killed before that, the next process adopts all
/// files. Until then, no process can find a file without a record and remove it.
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

/// Renames the complete folder of the records to its final name, unless another process adopted the files in the
/// meantime.
fn give_name(adopted: &Path, records: &Path) -> io::Result<()> {
    match fs::rename(adopted, records) {
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => Ok(()),
        renamed => renamed,
    }
}

/// Renames a finished file to its final name, and records its digest.
pub(super) fn keep(finished: &Path, name: &Path) -> io::Result<()> {
    fs::set_permissions(finished, Permissions::from_mode(MODE))?;
    let sha256 = Some(digest::of_file(finished)?);
    // The record is written first. If the process is killed in between, a file without a record would be refused and
    // built again.
    write(name, &Record { sha256: sha256.clone(), seen: None })?;
    fs::rename(finished, name)?;
    let seen = Some(seen(&name.symlink_metadata()?));
    write(name, &Record { sha256, seen })
}

/// Verifies a file, and marks it as used now. A file that is refused is removed.
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

/// Removes a file and its record. If the removal fails, the file is replaced when it is built again.
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
        // A read-only cache is still useful. Only the order of pruning is lost.
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

/// The folder of the records of the cache in which this file is.
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

/// Writes a record through a temporary file, so that another process never reads a part of it.
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

    /// Prepares the records in the same way as `Cache::at`.
    fn prepared(root: &Path) -> io::Result<()> {
        if has_records(root) { Ok(()) } else { adopt(root, tempfile::tempdir_in(root).expect("a folder").path()) }
    }

    fn kept(root: &Path, path: &Path) {
        let finished = root.join("finished");
        fs::write(&finished, "content").expect("written");
        keep(&finished, path).expect("kept");
    }

    /// Waits until the kernel's clock for files is later than the last change of a file. This clock ticks every few
    /// milliseconds.
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
                // The modification time is restored, but the kernel's own change time is not.
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
        // Files are adopted only once. After that, a file without a record of its digest is refused.
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
        // The folder of the images is read last, so the record of the layer has already been written.
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
        // The other process checked for records before the first process had finished.
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
