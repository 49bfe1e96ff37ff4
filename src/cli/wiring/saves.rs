//! Waits for saves of the files of a kept variant: its scenario, and the charts, kustomizations and values files of which
//! its objects are made.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parallax_vocab::VariantId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;
use walkdir::WalkDir;

use crate::cli::CliError;
use crate::standing::Handle;

/// The events that are read. The watches are on folders, because many editors write another file and then rename it to
/// the file's name.
const FLAGS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// A save of several files, such as a change of the branch, counts as one if its parts follow each other within this time.
const SETTLES_WITHIN: Duration = Duration::from_millis(100);
/// The longest wait for the end of such a save.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// The largest number of folders that are watched below one path. A chart has far fewer.
const FOLDERS_LIMIT: usize = 2_000;

/// Which entries of a folder count.
#[derive(Debug, Default)]
struct Interest {
    /// Whether each entry counts.
    all: bool,
    /// The entries that count, by name. The value says whether their removal counts, too.
    names: BTreeMap<OsString, bool>,
}

/// An entry of a watched folder has changed.
#[derive(Debug)]
struct Event {
    watch: i32,
    /// The name of the entry. `None` if the folder itself has changed.
    name: Option<OsString>,
    flags: ReadFlags,
}

/// A watch on the files of a kept variant.
#[derive(Debug)]
pub struct Saves {
    watch: Arc<OwnedFd>,
    events: mpsc::UnboundedReceiver<std::io::Result<Event>>,
    project: PathBuf,
    variant: VariantId,
    /// The scenario's file.
    file: PathBuf,
    /// The paths in the project of the files and folders of which objects are made.
    made_of: Vec<String>,
    /// The watched folders, by the number of the watch.
    folders: HashMap<i32, Interest>,
    /// The number of the watch on the scenario's folder.
    home: i32,
}

/// Starts to watch the files of a kept variant.
pub fn saves(handle: &Handle) -> Result<Saves, CliError> {
    Saves::begin(&handle.project, &handle.file, &handle.variant)
}

impl Saves {
    fn begin(project: &Path, file: &Path, variant: &VariantId) -> Result<Self, CliError> {
        let watch = Arc::new(inotify::init(CreateFlags::CLOEXEC).map_err(|error| failed(&error))?);
        let (send, events) = mpsc::unbounded_channel();
        let read = Arc::clone(&watch);
        // Reading blocks. The thread ends with the process, or with the first event that nobody receives.
        std::thread::spawn(move || pass_on(&read, &send));
        let mut saves = Self {
            watch,
            events,
            project: project.to_owned(),
            variant: variant.clone(),
            file: project.join(file),
            made_of: Vec::new(),
            folders: HashMap::new(),
            home: -1,
        };
        saves.look()?;
        Ok(saves)
    }

    /// The files and folders that are watched, for messages.
    pub fn paths(&self) -> String {
        let file = self.file.display().to_string();
        std::iter::once(&file).chain(&self.made_of).map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Waits until a file was written, replaced or removed. Other files in the same folders do not count, for example
    /// the temporary file that an editor writes and then renames.
    pub async fn next(&mut self) -> Result<(), CliError> {
        while !self.event().await? {}
        let began = tokio::time::Instant::now();
        while began.elapsed() < SETTLED_AFTER {
            match tokio::time::timeout(SETTLES_WITHIN, self.event()).await {
                Ok(more) => drop(more?),
                Err(_) => break,
            }
        }
        // The save may have made folders, or may have named another chart. They are watched before anybody reads them, so
        // that no later save is lost.
        self.look()
    }

    /// Watches all folders that matter now.
    fn look(&mut self) -> Result<(), CliError> {
        // While the scenario has a mistake, its charts are not known. The former ones are watched meanwhile.
        if let Some(made_of) = made_of(&self.project, &self.variant) {
            self.made_of = made_of;
        }
        self.folders.clear();
        let (folder, name) = (self.file.parent().map(Path::to_owned), self.file.file_name().map(OsStr::to_owned));
        let (Some(folder), Some(name)) = (folder, name) else { return Err(failed(&"it has no folder")) };
        self.home = inotify::add_watch(&self.watch, &folder, FLAGS).map_err(|error| match error {
            Errno::NOENT => gone(),
            other => failed(&other),
        })?;
        self.folders.entry(self.home).or_default().names.insert(name, false);
        for path in self.made_of.clone() {
            self.below(Path::new(&path))?;
        }
        Ok(())
    }

    /// Watches a file or folder of the project, and each folder above it, because they may be removed and made again.
    fn below(&mut self, path: &Path) -> Result<(), CliError> {
        let mut folder = self.project.clone();
        for part in path {
            self.entry(&folder, part)?;
            folder.push(part);
        }
        let whole = WalkDir::new(&folder).into_iter().flatten();
        let mut folders = 0;
        for entry in whole.take_while(|it| {
            folders += usize::from(it.file_type().is_dir());
            folders <= FOLDERS_LIMIT
        }) {
            if entry.file_type().is_dir() {
                if let Some(watch) = self.add(entry.path())? {
                    self.folders.entry(watch).or_default().all = true;
                }
            } else if entry.path_is_symlink()
                && let Ok(target) = entry.path().canonicalize()
                && let (Some(folder), Some(name)) = (target.parent(), target.file_name())
            {
                self.entry(folder, name)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Path, name: &OsStr) -> Result<(), CliError> {
        if let Some(watch) = self.add(folder)? {
            self.folders.entry(watch).or_default().names.entry(name.to_owned()).or_insert(true);
        }
        Ok(())
    }

    /// Watches a folder. `None` if it is none, or does not exist any more.
    fn add(&self, folder: &Path) -> Result<Option<i32>, CliError> {
        match inotify::add_watch(&self.watch, folder, FLAGS) {
            Ok(watch) => Ok(Some(watch)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Waits for an event, and returns whether it counts.
    async fn event(&mut self) -> Result<bool, CliError> {
        let event = self.events.recv().await.ok_or_else(|| failed(&"no more events come"))?;
        let Event { watch, name, flags } = event.map_err(|error| failed(&error))?;
        // If the folder is removed, the kernel ends the watch. If the folder is moved, the kernel continues to watch it at
        // its new path, but there it is no longer the scenario's folder.
        if watch == self.home && flags.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF) {
            return Err(gone());
        }
        Ok(flags.contains(ReadFlags::QUEUE_OVERFLOW) || self.counts(watch, name.as_deref(), flags))
    }

    fn counts(&self, watch: i32, name: Option<&OsStr>, flags: ReadFlags) -> bool {
        let (Some(interest), Some(name)) = (self.folders.get(&watch), name) else { return false };
        let is_removal = flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        // A new file counts when it was written.
        if flags.contains(ReadFlags::CREATE) && !flags.contains(ReadFlags::ISDIR) {
            return false;
        }
        interest.all || interest.names.get(name).is_some_and(|removal_counts| *removal_counts || !is_removal)
    }
}

/// Returns the paths of the files and folders of which the objects of a variant are made. `None` if the variant cannot be
/// read.
fn made_of(project: &Path, variant: &VariantId) -> Option<Vec<String>> {
    let (project, _) = super::project::read(project, &[]);
    let all = project.scenarios.iter().flat_map(|loaded| loaded.variants.iter().map(move |it| (loaded, it)));
    let (loaded, variant) = all.into_iter().find(|(_, it)| it.id == *variant)?;
    let mut paths: Vec<String> =
        loaded.sources(&project.library, variant).iter().flat_map(|(_, source)| source.paths()).collect();
    paths.sort();
    paths.dedup();
    Some(paths)
}

fn failed(why: &dyn std::fmt::Display) -> CliError {
    CliError::Harness(format!("failed to watch the scenario's files: {why}"))
}

fn gone() -> CliError {
    CliError::Usage("the scenario's folder was removed or moved, so the watch ends".to_owned())
}

/// Passes the events of a watch on, until nobody receives them.
fn pass_on(watch: &OwnedFd, to: &mpsc::UnboundedSender<std::io::Result<Event>>) {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    let mut is_open = true;
    while is_open {
        let event = events.next().map(|it| Event {
            watch: it.wd(),
            name: it.file_name().map(|it| OsStr::from_bytes(it.to_bytes()).to_owned()),
            flags: it.events(),
        });
        is_open = event.is_ok();
        is_open &= to.send(event.map_err(Into::into)).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "name: s\nsummary: A chart\nfixtures:\n  app: { use: helm, chart: charts/app, values-files: [values/a.yaml] }\n\
                            flow:\n  - { id: a, resource: { api-version: v1, kind: ConfigMap, name: a }, expect: { absent: true } }\n";

    /// A project with a scenario that has a chart, and the watch on it.
    fn project() -> (tempfile::TempDir, Saves) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("scenarios/s/scenario.yaml", SCENARIO);
        write("charts/app/templates/a.yaml", "a: 1");
        write("values/a.yaml", "a: 1");
        let saves = Saves::begin(folder.path(), Path::new("scenarios/s/scenario.yaml"), &VariantId::from("s"));
        (folder, saves.expect("watches"))
    }

    async fn is_seen(saves: &mut Saves) -> bool {
        // A save that counts is seen at once; on a busy machine within seconds.
        tokio::time::timeout(Duration::from_secs(10), saves.next()).await.is_ok_and(|it| it.is_ok())
    }

    async fn is_ignored(saves: &mut Saves) -> bool {
        tokio::time::timeout(Duration::from_millis(300), saves.next()).await.is_err()
    }

    #[tokio::test]
    async fn a_save_by_renaming_is_one_save() {
        let (folder, mut saves) = project();
        let file = folder.path().join("scenarios/s/scenario.yaml");
        let other = folder.path().join("scenarios/s/.scenario.yaml.new");
        std::fs::write(&other, SCENARIO).expect("written");
        assert!(is_ignored(&mut saves).await, "the file that the editor wrote first is not the scenario's file");
        std::fs::rename(&other, &file).expect("renamed");
        assert!(is_seen(&mut saves).await, "the file was replaced");
        assert!(is_ignored(&mut saves).await, "once");
        std::fs::write(&file, SCENARIO).expect("written");
        assert!(is_seen(&mut saves).await, "the file was written");
    }

    #[tokio::test]
    async fn a_watch_ends_if_the_folder_of_the_scenario_is_removed_or_moved() {
        for is_moved in [false, true] {
            let (folder, mut saves) = project();
            let own = folder.path().join("scenarios/s");
            if is_moved {
                std::fs::rename(&own, folder.path().join("scenarios/t")).expect("moved");
            } else {
                std::fs::remove_dir_all(&own).expect("removed");
            }
            let ended = tokio::time::timeout(Duration::from_secs(10), saves.next()).await.expect("the watch ends");
            let error = ended.expect_err("nothing was saved");
            assert!(matches!(&error, CliError::Usage(why) if why.contains("removed or moved")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_save_of_anything_that_a_chart_is_made_of_is_seen() {
        let (folder, mut saves) = project();
        let path = |it: &str| folder.path().join(it);
        assert!(saves.paths().ends_with("scenarios/s/scenario.yaml, charts/app, values/a.yaml"), "{}", saves.paths());
        let steps: [(&str, &dyn Fn()); 8] = [
            ("a template", &|| std::fs::write(path("charts/app/templates/a.yaml"), "a: 2").expect("written")),
            ("a values file", &|| std::fs::write(path("values/a.yaml"), "a: 2").expect("written")),
            ("a new folder", &|| {
                std::fs::create_dir(path("charts/app/crds")).expect("made");
                std::fs::write(path("charts/app/crds/b.yaml"), "b: 1").expect("written");
            }),
            ("a file in it", &|| std::fs::write(path("charts/app/crds/b.yaml"), "b: 2").expect("written")),
            ("a removal", &|| std::fs::remove_file(path("charts/app/templates/a.yaml")).expect("removed")),
            ("the chart is gone", &|| std::fs::rename(path("charts"), path("others")).expect("moved")),
            ("the chart is back", &|| std::fs::rename(path("others"), path("charts")).expect("moved")),
            ("a template again", &|| std::fs::write(path("charts/app/templates/a.yaml"), "a: 3").expect("written")),
        ];
        for (what, step) in steps {
            step();
            assert!(is_seen(&mut saves).await, "{what}");
        }
        std::fs::write(path("values/b.yaml"), "b: 1").expect("written");
        std::fs::write(path("others.yaml"), "b: 1").expect("written");
        assert!(is_ignored(&mut saves).await, "no chart is made of these");
        // Another chart is named, and then edited.
        std::fs::create_dir_all(path("charts/second")).expect("made");
        let other = SCENARIO.replace("charts/app", "charts/second");
        std::fs::write(path("scenarios/s/scenario.yaml"), other).expect("written");
        assert!(is_seen(&mut saves).await, "the scenario");
        std::fs::write(path("charts/second/Chart.yaml"), "name: second").expect("written");
        assert!(is_seen(&mut saves).await, "the other chart");
    }
}
