//! Finding and reading scenario files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::variant::Loaded;
use crate::files::{Bounds, Found, entries, is_nearly};
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
    let mut walk = Walk { root: root.to_owned(), ..Walk::default() };
    if paths.is_empty() {
        walk.start(&scenarios);
    }
    for path in paths {
        walk.start(path);
    }
    walk.files.sort_by(|(a, _), (b, _)| a.cmp(b));
    walk.files.dedup_by(|(a, _), (b, _)| a == b);
    let mut loaded = Vec::new();
    let mut errors = walk.errors;
    for outcome in side_by_side(&walk.files, |(path, bounds)| read_one(library, root, &scenarios, path, bounds)) {
        match outcome {
            Ok(scenario) => loaded.push(scenario),
            Err(wrong) => errors.extend(wrong),
        }
    }
    (loaded, errors)
}

fn read_one(
    library: &Library,
    root: &Path,
    scenarios: &Path,
    path: &Path,
    bounds: &Bounds,
) -> Result<Loaded, Vec<Diagnostic>> {
    let file = shown(path, root);
    let folder = path.parent().unwrap_or(path);
    let below = folder.strip_prefix(scenarios).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.map_or_else(|| folder.file_name().unwrap_or_default().into(), Path::to_path_buf);
    let bytes = bounds.read(path).map_err(|refused| vec![refused.at(&file, "the file")])?;
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

/// A path as it is shown: from the project on.
fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[derive(Default)]
struct Walk {
    root: PathBuf,
    /// Each with what may be read there.
    files: Vec<(PathBuf, Bounds)>,
    seen: HashSet<PathBuf>,
    errors: Vec<Diagnostic>,
}

impl Walk {
    /// Looks at a file or a folder that was named. Beyond the project, its own folder is what may be read.
    fn start(&mut self, path: &Path) {
        let place = shown(path, &self.root);
        let beside = if path.is_dir() {
            path
        } else {
            path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."))
        };
        let bounds =
            Bounds::of(&self.root).ok().filter(|project| project.hold(beside)).map_or_else(|| Bounds::of(beside), Ok);
        let bounds = match bounds {
            Ok(bounds) => bounds,
            Err(refused) => {
                self.errors.push(refused.at(place, "the folder").fix("`parallax init` makes a first scenario"));
                return;
            }
        };
        match bounds.look(path) {
            Ok(Found::File(_)) => self.files.push((path.to_owned(), bounds)),
            Ok(Found::Folder(real)) => self.folder(path, real, &bounds, 0),
            Err(refused) => self.errors.push(refused.at(place, "the path")),
        }
    }

    fn folder(&mut self, folder: &Path, real: PathBuf, bounds: &Bounds, depth: usize) {
        // By its real path, so that a symbolic link that leads back is seen once only.
        if !self.seen.insert(real) {
            return;
        }
        let place = shown(folder, &self.root);
        if depth > DEPTH_LIMIT || self.seen.len() > FOLDERS_LIMIT {
            let message =
                format!("more than {DEPTH_LIMIT} folders deep, or {FOLDERS_LIMIT} in all, are not looked into");
            self.errors.push(Diagnostic::of_file(place, message));
            return;
        }
        match entries(folder) {
            Ok(entries) => entries.into_iter().for_each(|path| self.entry(path, bounds, depth)),
            Err(refused) => self.errors.push(refused.at(place, "the folder")),
        }
    }

    fn entry(&mut self, path: PathBuf, bounds: &Bounds, depth: usize) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = shown(&path, &self.root);
        if is_nearly(&name, FILE) {
            let error = Diagnostic::of_file(place, "a file of this name is not read");
            self.errors.push(error.fix(format!("rename it to `{FILE}`")));
            return;
        }
        match bounds.look(&path) {
            Ok(Found::Folder(real)) if name != FILE => self.folder(&path, real, bounds, depth + 1),
            // What it is and why it cannot be read is said when it is read.
            _ if name == FILE => self.files.push((path, bounds.clone())),
            // Another folder may hold scenarios; of other files a project has many, and links among them.
            Err(refused) if path.is_dir() => self.errors.push(refused.at(place, "the folder")),
            _ => {}
        }
    }
}
