//! The cache of layers and image archives. The name of a file contains the hash of the inputs from which it was built.
//! A file is either complete or absent.
//!
//! **Architecture Invariant:** a file is written under `tmp/` and renamed when it is complete. Therefore a killed build
//! leaves no file that looks complete. The folder of a build under `tmp/` has a lock that ends with the process, and
//! the next run removes folders without a lock.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use parallax_record::{Noted as _, Present as _};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::entry::{self, Entry};
use super::error::ImageError;

/// The interval between two attempts to take a file lock that another process holds. The attempts are repeated, because
/// the kernel cannot notify an asynchronous task, and a thread that waits for the lock could not be interrupted.
const LOCK_RETRY: Duration = Duration::from_millis(200);
/// The time limit of the wait for a lock. It is longer than any build takes.
const LOCK_LIMIT: Duration = Duration::from_mins(45);
/// A file that was used within this time is never pruned, because another run may be about to read it.
const IN_USE: Duration = Duration::from_hours(1);
/// The largest total size, in bytes, of files that no present recipe produces. They are kept so that the user can
/// return to an earlier recipe without a new build.
pub const SPARE_BYTES: u64 = 3 * 1024 * 1024 * 1024;

/// The cache of layers and image archives, in one folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    /// One line for each file that was refused because its content is not the original, or because another user could
    /// write it.
    refused: Arc<Mutex<Vec<String>>>,
}

/// What a prune of the cache removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The number of files that were removed, or would be removed.
    pub files: usize,
    /// The total size, in bytes, of the files that were removed, or would be removed.
    pub bytes: u64,
}

impl Pruned {
    /// Counts files and their sizes.
    pub(super) fn of(files: &[(PathBuf, u64)]) -> Self {
        Self { files: files.len(), bytes: files.iter().map(|(_, bytes)| bytes).sum() }
    }
}

/// A temporary folder for the files of a build. The folder is removed when this value is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: TempDir,
    _lock: File,
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Cache {
    /// Opens the cache of the user. Its folder is `PARALLAX_CACHE`, otherwise `parallax` in `XDG_CACHE_HOME`, otherwise
    /// `~/.cache/parallax`.
    pub fn open() -> Result<Self, ImageError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        match folder(&set) {
            Some(root) => Self::at(root),
            // Without HOME, the cache cannot be used. A folder that all users can write, such as /tmp, must not take
            // its place: another user could put images there, and images from the cache run privileged.
            None => Err(ImageError::cache("find", Path::new("~/.cache/parallax"))(io::Error::other("HOME is not set"))),
        }
    }

    /// Opens the cache in a given folder, and creates the folder if it is missing. Temporary folders of killed builds
    /// are removed.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self, ImageError> {
        let cache = Self { root: root.into(), refused: Arc::default() };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&cache.root)
            .and_then(|()| belongs_to_us(&cache.root))
            .map_err(ImageError::cache("use", &cache.root))?;
        for folder in ["layers", "images", "programs", "locks", "recipes", "tmp"] {
            let path = cache.root.join(folder);
            fs::create_dir_all(&path).map_err(ImageError::cache("make", &path))?;
        }
        if !entry::has_records(&cache.root) {
            // The temporary folder is directly in the cache's folder and not in the subfolder `tmp`. A rename works
            // only within one disk, and `tmp` may be on another disk.
            let work = tempfile::Builder::new().prefix(".adopted-").tempdir_in(&cache.root);
            let work = work.map_err(ImageError::cache("use", &cache.root))?;
            entry::adopt(&cache.root, work.path()).map_err(ImageError::cache("use", &cache.root))?;
        }
        cache.sweep();
        Ok(cache)
    }

    /// The folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path in the cache of a layer. `kind` is the kind of the layer, such as `go`, and `hash` is the hash of its
    /// inputs. The file need not exist.
    pub(super) fn layer(&self, kind: &str, hash: &str) -> PathBuf {
        self.root.join("layers").join(format!("{kind}-{hash}.tar"))
    }

    /// The path in the cache of the archive of an image that is built from a recipe. The file need not exist.
    pub(super) fn image(&self, name: &str, hash: &str) -> PathBuf {
        self.root.join("images").join(format!("{name}-{hash}.tar"))
    }

    /// The path in the cache of the archive of a published image, which was saved from the engine. `id` is the image's
    /// id in the engine. The file need not exist.
    pub(super) fn saved(&self, name: &str, id: &str) -> PathBuf {
        let id: String = id.rsplit(':').next().unwrap_or(id).chars().take(16).collect();
        self.root.join("images").join(format!("{name}-saved-{id}.tar"))
    }

    /// The path in the cache of the archive of a published image that came from an image bundle. `digest` is the digest
    /// that images.lock states for the image. The file need not exist.
    pub(super) fn bundled(&self, name: &str, digest: &str) -> PathBuf {
        let digest = digest.rsplit(':').next().unwrap_or(digest);
        self.root.join("images").join(format!("{name}-bundled-{digest}.tar"))
    }

    /// The path in the cache of the folder into which the shipped recipes are unpacked. The folder need not exist.
    pub(super) fn recipes(&self, hash: &str) -> PathBuf {
        self.root.join("recipes").join(hash)
    }

    /// The path in the cache to which an embedded program is unpacked. `hash` is the hash of the compressed program.
    /// The file need not exist.
    pub(super) fn program(&self, name: &str, hash: &str) -> PathBuf {
        self.root.join("programs").join(format!("{name}-{hash}"))
    }

    /// Does the same as [`Self::has_whole`], on a thread for blocking work, because a file may have hundreds of
    /// megabytes.
    pub(super) async fn has(&self, path: &Path) -> bool {
        let (cache, path) = (self.clone(), path.to_owned());
        let checked = tokio::task::spawn_blocking(move || cache.has_whole(&path)).await;
        checked.expect("a verification does not panic")
    }

    /// Whether a file of the cache exists and still has its original content. If so, it is marked as used now. A file
    /// with other content is removed, so that it is made again.
    pub(super) fn has_whole(&self, path: &Path) -> bool {
        match entry::check(path) {
            Entry::Whole => true,
            Entry::Absent => false,
            Entry::Refused(why) => {
                let name = path.strip_prefix(&self.root).unwrap_or(path).display();
                let line = format!("{name} in the image cache {why}; it is not used, and is made again");
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                false
            }
        }
    }

    /// Returns one line for each file that was refused since the last call of this function.
    pub(super) fn refused(&self) -> Vec<String> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Creates a temporary folder for the files of a build.
    pub(super) fn temporary(&self) -> Result<Temporary, ImageError> {
        let parent = self.root.join("tmp");
        let folder = tempfile::Builder::new()
            .prefix("build-")
            .tempdir_in(&parent)
            .map_err(ImageError::cache("make a folder in", &parent))?;
        let path = folder.path().join(".lock");
        let lock = File::create(&path).map_err(ImageError::cache("write", &path))?;
        lock.lock().map_err(ImageError::cache("lock", &path))?;
        Ok(Temporary { folder, _lock: lock })
    }

    /// Renames a finished file of the cache from `finished` to `name`, and records its digest.
    pub(super) async fn keep(finished: &Path, name: &Path) -> Result<(), ImageError> {
        let (from, to) = (finished.to_owned(), name.to_owned());
        let kept = tokio::task::spawn_blocking(move || entry::keep(&from, &to)).await;
        kept.expect("hashing does not panic").map_err(ImageError::cache("name", name))
    }

    /// Renames a finished folder of the cache from `finished` to `name`.
    pub(super) fn settle(finished: &Path, name: &Path) -> Result<(), ImageError> {
        fs::rename(finished, name).map_err(ImageError::cache("name", name))
    }

    /// Takes the lock of one layer or image, so that no other process builds it at the same time. If another process
    /// holds the lock, calls `waiting` once and then waits.
    pub(super) async fn lock(
        &self,
        what: &str,
        waiting: impl FnOnce(),
        cancel: &CancellationToken,
    ) -> Result<File, ImageError> {
        let path = self.root.join("locks").join(what);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(ImageError::cache("open", &path))?;
        let started = tokio::time::Instant::now();
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(ImageError::cache("lock", &path)(source)),
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            if started.elapsed() > LOCK_LIMIT {
                return Err(ImageError::Locked { what: what.to_owned(), waited: started.elapsed() });
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(ImageError::Cancelled),
                // The kernel cannot notify an asynchronous task of a free file lock, so the code polls.
                () = tokio::time::sleep(LOCK_RETRY) => {}
            }
        }
    }

    /// Returns the files that [`Self::prune`] would remove, each with its size in bytes.
    pub(super) fn prunable(
        &self,
        keep: &BTreeSet<PathBuf>,
        spare_bytes: u64,
    ) -> Result<Vec<(PathBuf, u64)>, ImageError> {
        let mut spare = Vec::new();
        for folder in ["layers", "images", "programs"] {
            let folder = self.root.join(folder);
            let files = fs::read_dir(&folder).map_err(ImageError::cache("list", &folder))?;
            for file in files.flatten() {
                let Ok(about) = file.metadata() else { continue };
                let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if about.is_file() && !keep.contains(&file.path()) {
                    spare.push((used, about.len(), file.path()));
                }
            }
        }
        spare.sort();
        let mut left: u64 = spare.iter().map(|(_, bytes, _)| bytes).sum();
        let mut prunable = Vec::new();
        for (used, bytes, path) in spare {
            let recent = used.elapsed().map_or(true, |age| age < IN_USE);
            if left <= spare_bytes || recent {
                break;
            }
            left -= bytes;
            prunable.push((path, bytes));
        }
        Ok(prunable)
    }

    /// Removes files of the cache that are not in `keep`. The removal begins with the files that were not used for the
    /// longest time. It ends when the other files outside `keep` have at most `spare_bytes` bytes together. Files that
    /// were used in the last hour are not removed.
    pub fn prune(&self, keep: &BTreeSet<PathBuf>, spare_bytes: u64) -> Result<Pruned, ImageError> {
        let prunable = self.prunable(keep, spare_bytes)?;
        for (path, _) in &prunable {
            fs::remove_file(path).map_err(ImageError::cache("remove", path))?;
            entry::remove(path);
        }
        Ok(Pruned::of(&prunable))
    }

    /// Removes temporary folders of processes that have ended. If a removal fails, the next run tries again.
    fn sweep(&self) {
        let folders = fs::read_dir(self.root.join("tmp")).present("list the folders for work in progress");
        for folder in folders.into_iter().flatten() {
            let Some(folder) = folder.noted("list the folders for work in progress") else { continue };
            let path = folder.path();
            let abandoned = match File::open(path.join(".lock")) {
                Ok(lock) => lock.try_lock().is_ok(),
                // The folder has no lock file. Either another process has just created the folder and has not locked
                // it yet, or another process is just removing it. So only an old folder counts as abandoned.
                Err(_) => folder
                    .metadata()
                    .and_then(|about| about.modified())
                    .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > IN_USE)),
            };
            if abandoned {
                fs::remove_dir_all(&path).present("remove a folder for work in progress");
            }
        }
    }
}

/// The folder of the cache. `set` returns the value of an environment variable. `None` if no variable contains a usable
/// path.
fn folder(set: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification declares relative paths invalid. With a relative path, each working directory would also
    // have a cache of its own.
    let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
    set("PARALLAX_CACHE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("parallax")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/parallax")))
}

/// Checks that the cache belongs to this user, and that no other user can write to it. This matters, because images
/// from the cache run privileged.
fn belongs_to_us(root: &Path) -> io::Result<()> {
    let about = root.metadata()?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if about.uid() != rustix::process::geteuid().as_raw() {
        return refuse(format!("it belongs to user {}, who could choose what runs", about.uid()));
    }
    if about.mode() & 0o022 != 0 {
        return refuse("others may write there, and could choose what runs; `chmod go-w` it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cache_that_others_can_fill_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path().join("cache");
        fs::create_dir(&root).expect("made");
        for (mode, good) in [(0o700, true), (0o755, true), (0o775, false), (0o777, false)] {
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(Cache::at(&root).is_ok(), good, "{mode:o}");
        }
        // If the test runs as root, folders such as `/var/tmp` belong to root too and would be accepted. Therefore the
        // test gives its own folder to another user.
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).expect("set");
            std::os::unix::fs::chown(&root, Some(12345), None).expect("given away");
            let error = Cache::at(&root).expect_err("another's").to_string();
            assert!(error.contains("belongs to user 12345"), "{error}");
        }
        let of = |names: &[&str]| folder(&|name| names.contains(&name).then(|| PathBuf::from("/x")));
        assert_eq!(of(&["HOME"]), Some(PathBuf::from("/x/.cache/parallax")));
        assert_eq!(of(&["HOME", "PARALLAX_CACHE"]), Some(PathBuf::from("/x")));
        assert_eq!(of(&[]), None, "no folder that is everybody's");
        assert_eq!(folder(&|name| (name == "XDG_CACHE_HOME").then(|| PathBuf::from("x"))), None, "a relative one");
    }

    fn cache() -> (TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path().join("cache")).expect("opens");
        (folder, cache)
    }

    fn aged(path: &Path, bytes: usize, hours: u64) {
        fs::write(path, vec![0; bytes]).expect("written");
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options().write(true).open(path).expect("opens").set_modified(then).expect("set");
    }

    #[test]
    fn prune_keeps_what_is_named_what_is_recent_and_the_newest() {
        let (_folder, cache) = cache();
        let path = |name: &str| cache.root().join("layers").join(name);
        aged(&path("named"), 100, 90);
        aged(&path("oldest"), 100, 80);
        aged(&path("older"), 100, 70);
        aged(&path("newer"), 100, 60);
        aged(&path("recent"), 100, 0);
        let keep = BTreeSet::from([path("named")]);
        assert_eq!(cache.prunable(&keep, 250).expect("listed"), ["oldest", "older"].map(|it| (path(it), 100)));
        assert!(path("oldest").exists(), "it is only listed");
        assert_eq!(cache.prune(&keep, 250).expect("prunes"), Pruned { files: 2, bytes: 200 });
        for (name, stays) in [("named", true), ("oldest", false), ("older", false), ("newer", true), ("recent", true)] {
            assert_eq!(path(name).exists(), stays, "{name}");
        }
        assert_eq!(cache.prune(&keep, 0).expect("prunes"), Pruned { files: 1, bytes: 100 });
        assert!(path("recent").exists());
    }

    #[test]
    fn a_killed_build_is_swept_and_a_living_one_is_spared() {
        let (_folder, cache) = cache();
        let living = cache.temporary().expect("made");
        let dead = cache.root().join("tmp/build-dead");
        fs::create_dir(&dead).expect("made");
        fs::write(dead.join(".lock"), "").expect("written");
        fs::write(dead.join("half.tar"), "half").expect("written");
        let starting = cache.root().join("tmp/build-starting");
        fs::create_dir(&starting).expect("made");
        Cache::at(cache.root()).expect("opens");
        assert!(living.path().exists() && starting.exists() && !dead.exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_holds_a_lock_and_the_other_says_that_it_waits() {
        let (_folder, cache) = cache();
        let cancel = CancellationToken::new();
        let held = cache.lock("a", || panic!("nobody holds it"), &cancel).await.expect("locked");
        let other = cache.lock("b", || panic!("another lock"), &cancel).await;
        assert!(other.is_ok());
        let (said, heard) = tokio::sync::oneshot::channel();
        let second = tokio::spawn({
            let (cache, cancel) = (cache.clone(), cancel.clone());
            async move { cache.lock("a", || said.send(()).expect("heard"), &cancel).await }
        });
        heard.await.expect("it says that it waits");
        drop(held);
        let _held = second.await.expect("runs").expect("locked");
        let third = cache.lock("a", || cancel.cancel(), &cancel).await;
        assert!(matches!(third, Err(ImageError::Cancelled)));
    }
}
