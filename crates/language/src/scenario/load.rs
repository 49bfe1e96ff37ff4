//! Finds and reads scenario files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::variant::Loaded;
use crate::files::{Bounds, Found, entries, is_misspelt};
use crate::fixture::Library;

/// The file name of a scenario.
const FILE: &str = "scenario.yaml";
/// The deepest level of folders that is searched for scenarios.
const DEPTH_LIMIT: usize = 8;
/// The largest number of folders that are searched for scenarios.
const FOLDERS_LIMIT: usize = 20_000;

/// Reads the scenarios under `paths` (files or folders), or all of `root/scenarios` if `paths` is empty. Returns the
/// valid scenarios, and the errors in the invalid ones.
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
    for outcome in map_in_parallel(&walk.files, |(path, bounds)| read_one(library, root, &scenarios, path, bounds)) {
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

/// Applies `map` to each item, in parallel, with one thread for each core. The results have the order of the items.
///
/// # Panics
/// If `map` panics.
pub fn map_in_parallel<I: Sync, O: Send>(items: &[I], map: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let map = &map;
        let parts = items.chunks(share).map(|part| scope.spawn(move || part.iter().map(map).collect::<Vec<O>>()));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().expect("no part panicked")).collect()
    })
}

/// Returns a path relative to the project, for messages. A path outside the project stays as it is.
fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[derive(Default)]
struct Walk {
    root: PathBuf,
    /// The scenario files that were found. Each file has the folder that limits its reading: no file outside this
    /// folder may be read for the scenario.
    files: Vec<(PathBuf, Bounds)>,
    seen: HashSet<PathBuf>,
    errors: Vec<Diagnostic>,
}

impl Walk {
    /// Visits a file or a folder that the caller of [`load`] gave. If the path is outside the project, only the folder
    /// itself, or the folder of the file, may be read.
    fn start(&mut self, path: &Path) {
        let place = shown(path, &self.root);
        let folder = if path.is_dir() {
            path
        } else {
            path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."))
        };
        let bounds = Bounds::of(&self.root)
            .ok()
            .filter(|project| project.contains(folder))
            .map_or_else(|| Bounds::of(folder), Ok);
        let bounds = match bounds {
            Ok(bounds) => bounds,
            Err(refused) => {
                self.errors.push(refused.at(place, "the folder").fix("`parallax init` creates a first scenario"));
                return;
            }
        };
        match bounds.inspect(path) {
            Ok(Found::File(_)) => self.files.push((path.to_owned(), bounds)),
            Ok(Found::Folder(real)) => self.folder(path, real, &bounds, 0),
            Err(refused) => self.errors.push(refused.at(place, "the path")),
        }
    }

    fn folder(&mut self, folder: &Path, real: PathBuf, bounds: &Bounds, depth: usize) {
        // Folders are recorded by their real paths, so that a cycle of symbolic links is visited only once.
        if !self.seen.insert(real) {
            return;
        }
        let place = shown(folder, &self.root);
        if depth > DEPTH_LIMIT || self.seen.len() > FOLDERS_LIMIT {
            let message = format!(
                "the search stops here: it goes at most {DEPTH_LIMIT} folders deep, and into at most {FOLDERS_LIMIT} folders"
            );
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
        if is_misspelt(&name, FILE) {
            let error = Diagnostic::of_file(place, "a file with this name is not read");
            self.errors.push(error.fix(format!("rename it to `{FILE}`")));
            return;
        }
        match bounds.inspect(&path) {
            Ok(Found::Folder(real)) if name != FILE => self.folder(&path, real, bounds, depth + 1),
            // This file may be unreadable. The error is then reported later, when the file is read.
            _ if name == FILE => self.files.push((path, bounds.clone())),
            // A folder that cannot be read could contain scenarios, so this is an error. Files and links with other
            // names are ignored, even if they are unreadable.
            Err(refused) if path.is_dir() => self.errors.push(refused.at(place, "the folder")),
            _ => {}
        }
    }
}
