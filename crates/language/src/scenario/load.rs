//! Finding and reading scenario files.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::document::SIZE_LIMIT_BYTES;
use super::variant::Loaded;
use crate::fixture::Library;

/// Name of a scenario's file.
const FILE: &str = "scenario.yaml";
/// How deep folders are looked into.
const DEPTH_LIMIT: usize = 8;
/// How many folders are looked into.
const FOLDERS_LIMIT: usize = 20_000;

/// Reads the scenarios under `paths` (files or folders), or all of `root/scenarios` where none are given. Scenarios that
/// are in order come with the errors of those that are not.
pub fn load(library: &Library, root: &Path, paths: &[PathBuf]) -> (Vec<Loaded>, Vec<Diagnostic>) {
    let scenarios = root.join("scenarios");
    let mut walk = Walk::default();
    if paths.is_empty() {
        walk.folder(&scenarios, 0);
    }
    for path in paths {
        if path.is_file() { walk.files.push(path.clone()) } else { walk.folder(path, 0) }
    }
    walk.files.sort();
    walk.files.dedup();
    let mut loaded = Vec::new();
    let mut errors = walk.errors;
    for outcome in side_by_side(&walk.files, |path| read_one(library, root, &scenarios, path)) {
        match outcome {
            Ok(scenario) => loaded.push(scenario),
            Err(wrong) => errors.extend(wrong),
        }
    }
    (loaded, errors)
}

fn read_one(library: &Library, root: &Path, scenarios: &Path, path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let file = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let folder = path.parent().unwrap_or(path);
    let below = folder.strip_prefix(scenarios).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.map_or_else(|| folder.file_name().unwrap_or_default().into(), Path::to_path_buf);
    let bytes =
        read(path).map_err(|error| vec![Diagnostic::of_file(&file, format!("the file cannot be read: {error}"))])?;
    Loaded::read(library, &name.to_string_lossy(), &file, &bytes)
}

/// Maps in as many threads as the machine has cores; the order is kept.
///
/// # Panics
/// Where `map` does.
pub fn side_by_side<I: Sync, O: Send>(items: &[I], map: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let map = &map;
        let parts = items.chunks(share).map(|part| scope.spawn(move || part.iter().map(map).collect::<Vec<O>>()));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().expect("no part panicked")).collect()
    })
}

/// One byte more than the limit is read, so that the parser sees that it is passed.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(SIZE_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    seen: HashSet<PathBuf>,
    errors: Vec<Diagnostic>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let shown = folder.display().to_string();
        // By its real path, so that a symbolic link that leads back is seen once only.
        let real = match folder.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                let error = Diagnostic::of_file(shown, format!("the folder cannot be read: {error}"));
                self.errors.push(error.fix("`parallax init` makes a first scenario"));
                return;
            }
        };
        if !self.seen.insert(real) {
            return;
        }
        if depth > DEPTH_LIMIT || self.seen.len() > FOLDERS_LIMIT {
            let message =
                format!("more than {DEPTH_LIMIT} folders deep, or {FOLDERS_LIMIT} in all, are not looked into");
            self.errors.push(Diagnostic::of_file(shown, message));
            return;
        }
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                self.folder(&path, depth + 1);
            } else if path.file_name().is_some_and(|name| name == FILE) {
                self.files.push(path);
            }
        }
    }
}
