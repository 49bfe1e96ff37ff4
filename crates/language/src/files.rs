//! Reads the files of a project. The project may be somebody else's, so its content is not trusted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use crate::scenario::Diagnostic;
use crate::scenario::document::SIZE_LIMIT_BYTES;

/// The folder that contains all files that may be read. A path that leads out of the folder, for example through a
/// symbolic link, is refused.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The path of the folder, with all symbolic links resolved.
    root: PathBuf,
}

/// What exists at a path: a folder or a regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A folder. The path has all symbolic links resolved.
    Folder(PathBuf),
    /// A regular file. The path has all symbolic links resolved.
    File(PathBuf),
}

/// The reason why a path is refused, as a message, with the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) fix: Option<&'static str>,
}

impl Refused {
    fn new(message: &str, fix: &'static str) -> Self {
        Self { message: message.to_owned(), fix: Some(fix) }
    }

    fn unreadable(error: &std::io::Error) -> Self {
        let fix =
            (error.kind() == std::io::ErrorKind::PermissionDenied).then_some("change its permissions, or delete it");
        Self { message: format!("cannot be read: {error}"), fix }
    }

    /// Returns the diagnostic that reports the refused path `place`. `what` is the word for the path in the message,
    /// such as `the file`.
    pub(crate) fn at(&self, place: impl Into<String>, what: &str) -> Diagnostic {
        Diagnostic::of_file(place, format!("{what} {}", self.message)).maybe_fix(self.fix.map(str::to_owned))
    }
}

impl Bounds {
    /// Returns bounds that permit only paths inside `root`.
    pub(crate) fn of(root: &Path) -> Result<Self, Refused> {
        let root = root.canonicalize().map_err(|error| Refused::unreadable(&error))?;
        Ok(Self { root })
    }

    /// Whether the path lies in this folder after its symbolic links are resolved.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| real.starts_with(&self.root))
    }

    /// Resolves the symbolic links of a path, and returns whether the path is a file or a folder. Refuses a path
    /// outside this folder.
    pub(crate) fn inspect(&self, path: &Path) -> Result<Found, Refused> {
        let real = path.canonicalize().map_err(|error| Refused::unreadable(&error))?;
        if !real.starts_with(&self.root) {
            let fix = "copy the target into the project: nothing outside the project is read";
            return Err(Refused::new("is a link that leads out of the project", fix));
        }
        let kind = real.symlink_metadata().map_err(|error| Refused::unreadable(&error))?.file_type();
        if kind.is_dir() {
            Ok(Found::Folder(real))
        } else if kind.is_file() {
            Ok(Found::File(real))
        } else {
            Err(Refused::new("is a pipe, a socket or a device, not a regular file", "replace it with a regular file"))
        }
    }

    /// Reads at most one byte more than the size limit, `SIZE_LIMIT_BYTES`. If the result has this extra byte, the
    /// caller knows that the file is too long.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, Refused> {
        self.read_up_to(path, SIZE_LIMIT_BYTES as u64 + 1)
    }

    /// Reads at most the first `limit` bytes of a file.
    fn read_up_to(&self, path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
        let Found::File(real) = self.inspect(path)? else {
            return Err(Refused::new("is a folder", "a file of this name is expected; rename the folder"));
        };
        let unreadable = |error: std::io::Error| Refused::unreadable(&error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(open(&real, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?);
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }
}

/// Reads a text file of a project. The limits are the same as for scenario files: a path that leads out of the project
/// is refused, and so is a file longer than `SIZE_LIMIT_BYTES`.
///
/// # Errors
/// Returns a message that says why the file cannot be read, for example `cannot be read: No such file or directory`.
pub fn text_of_project(project: &Path, path: &str) -> Result<String, String> {
    let words = |refused: Refused| refused.message;
    let bytes = Bounds::of(project).map_err(words)?.read(&project.join(path)).map_err(words)?;
    if bytes.len() > SIZE_LIMIT_BYTES {
        return Err(format!("is longer than {SIZE_LIMIT_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// The largest number of files of a chart or a kustomization.
const FOLDER_FILES_LIMIT: usize = 2_000;
/// The largest size of all files of a chart or a kustomization, in bytes.
const FOLDER_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Reads all files below a folder of a project. Each path is relative to the project's folder. A link to a file of the
/// project counts as this file.
///
/// # Errors
/// Returns the path that is refused, and the reason: it leads out of the project, it is a link to a folder, it is
/// neither a file nor a folder, or the files are too many or too large.
pub(crate) fn folder_of_project(project: &Path, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, (String, String)> {
    let bounds = Bounds::of(project).map_err(|refused| (".".to_owned(), refused.message))?;
    let (mut files, mut left, mut waiting) = (BTreeMap::new(), FOLDER_LIMIT_BYTES, vec![folder.to_owned()]);
    while let Some(path) = waiting.pop() {
        let here = |refused: Refused| (path.clone(), refused.message);
        let at = project.join(&path);
        match bounds.inspect(&at).map_err(here)? {
            // Without this rule, a link to a folder above it would have no end.
            Found::Folder(_) if at.is_symlink() => return Err((path, "is a link to a folder".to_owned())),
            Found::Folder(_) => {
                for entry in entries(&at).map_err(here)? {
                    let name = entry.file_name().unwrap_or_default().to_str();
                    let name = name.ok_or_else(|| (path.clone(), "has a name that is not UTF-8".to_owned()))?;
                    waiting.push(format!("{path}/{name}"));
                }
            }
            Found::File(_) => {
                let bytes = bounds.read_up_to(&at, left + 1).map_err(here)?;
                left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                    (folder.to_owned(), format!("has more than {} MiB", FOLDER_LIMIT_BYTES / 1024 / 1024))
                })?;
                files.insert(path, bytes);
            }
        }
        if files.len() + waiting.len() > FOLDER_FILES_LIMIT {
            return Err((folder.to_owned(), format!("has more than {FOLDER_FILES_LIMIT} files")));
        }
    }
    Ok(files)
}

/// Returns the paths of all entries of a folder, sorted by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Refused> {
    let unreadable = |error: std::io::Error| Refused::unreadable(&error);
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

/// Whether a name differs from `wanted` only in upper and lower case, or in the ending `.yml` instead of `.yaml`. The
/// caller reports a file with such a name, because the file would otherwise be ignored silently.
pub(crate) fn is_misspelt(name: &str, wanted: &str) -> bool {
    let stem = |name: &str| {
        let name = name.to_lowercase();
        [".yaml", ".yml"].iter().find_map(|end| name.strip_suffix(end).map(str::to_owned))
    };
    name != wanted && stem(name).is_some() && stem(name) == stem(wanted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_within_the_project_are_read() {
        let home = tempfile::tempdir().expect("a folder");
        let project = home.path().join("project");
        std::fs::create_dir_all(project.join("folder")).expect("made");
        std::fs::write(home.path().join("secret"), "password: x").expect("written");
        std::fs::write(project.join("file"), "text").expect("written");
        symlink("../secret", project.join("out")).expect("linked");
        symlink("/proc/self/environ", project.join("environ")).expect("linked");
        symlink("/dev/zero", project.join("zero")).expect("linked");
        symlink("file", project.join("within")).expect("linked");
        symlink("loop", project.join("loop")).expect("linked");
        let _socket = UnixListener::bind(project.join("socket")).expect("bound");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            project.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("made");
        let bounds = Bounds::of(&project).expect("is there");
        for (name, expected) in [
            ("file", Ok("text")),
            ("within", Ok("text")),
            ("out", Err("leads out of the project")),
            ("environ", Err("leads out of the project")),
            ("zero", Err("leads out of the project")),
            ("loop", Err("cannot be read")),
            ("none", Err("cannot be read: No such file")),
            ("folder", Err("is a folder")),
            ("socket", Err("not a regular file")),
            ("pipe", Err("not a regular file")),
        ] {
            match (bounds.read(&project.join(name)), expected) {
                (Ok(bytes), Ok(text)) => assert_eq!(bytes, text.as_bytes(), "{name}"),
                (Err(refused), Err(says)) => assert!(refused.message.contains(says), "{name}: {refused:?}"),
                (read, _) => panic!("{name}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_misspelt_file_name_is_recognised() {
        for name in ["scenario.yml", "Scenario.yaml", "SCENARIO.YML"] {
            assert!(is_misspelt(name, "scenario.yaml"), "{name}");
        }
        for name in ["scenario.yaml", "scenario.md", "other.yaml", "scenario"] {
            assert!(!is_misspelt(name, "scenario.yaml"), "{name}");
        }
    }
}
