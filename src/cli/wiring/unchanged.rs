//! Implements `--breaks changed`: finds the breaks that need not run, because there is evidence that nothing has
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::process::Command;

use parallax_language::scenario::Loaded;
use parallax_vocab::{RunId, VariantId};

use super::past::Past;
use super::prints::{Prints, fixtures_of};
use super::project::Project;

/// The breaks that need not run, because nothing has changed for them. Each field stands for one kind of evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchanged {
    /// The breaks that failed as declared in their last run on this machine, and whose digest is still the same. The
    /// value is the id of that run.
    pub since_run: BTreeMap<VariantId, RunId>,
    /// The breaks whose files are the same as in the commit at which the branch left main.
    pub since_main: BTreeSet<VariantId>,
}

impl Unchanged {
    /// Returns all breaks that may be left out, by either kind of evidence.
    pub fn all(&self) -> BTreeSet<VariantId> {
        self.since_run.keys().chain(&self.since_main).cloned().collect()
    }

    /// Describes in one sentence how many breaks were left out, and why. The sentence is written to the record.
    pub fn words(&self) -> String {
        let breaks = |number: usize| if number == 1 { "1 break".to_owned() } else { format!("{number} breaks") };
        let all = self.since_run.len() + self.since_main.len();
        let runs: BTreeSet<&str> = self.since_run.values().map(RunId::as_str).collect();
        let runs = runs.into_iter().collect::<Vec<_>>().join(", ");
        let mut why = Vec::new();
        if !self.since_run.is_empty() {
            why.push(format!("{} since green in {runs}", breaks(self.since_run.len())));
        }
        if !self.since_main.is_empty() {
            why.push(format!("{} as on main", breaks(self.since_main.len())));
        }
        if all == 0 {
            return "--breaks changed: nothing is known to be unchanged, so every break is run".to_owned();
        }
        format!("--breaks changed: {} left out as unchanged ({})", breaks(all), why.join(", "))
    }
}

/// Returns the breaks of the project that need not run, with the evidence.
pub fn unchanged(project: &Project, prints: &Prints, past: &Past) -> Unchanged {
    let differing = differing_from_main(&project.root);
    let program = program_within(&project.root);
    let mut unchanged = Unchanged::default();
    for loaded in &project.scenarios {
        let as_on_main = differing.as_ref().is_some_and(|differing| {
            let fixtures = fixtures_of(loaded);
            let made_of = made_of(project, loaded);
            !differing.iter().any(|path| concerns(path, &loaded.file, &fixtures, &made_of, program))
        });
        for variant in loaded.variants.iter().filter(|variant| variant.break_id.is_some()) {
            match past.last.get(&variant.id) {
                Some(last) if !last.green => {}
                Some(last) if last.print.is_some() && last.print.as_ref() == prints.get(&loaded.path) => {
                    unchanged.since_run.insert(variant.id.clone(), last.run.clone());
                }
                _ if as_on_main => {
                    unchanged.since_main.insert(variant.id.clone());
                }
                _ => {}
            }
        }
    }
    unchanged
}

/// Returns the paths of the files and folders of which `helm` and `kustomize` make objects for a scenario.
fn made_of(project: &Project, loaded: &Loaded) -> BTreeSet<String> {
    let sources = loaded.variants.iter().flat_map(|it| loaded.sources(&project.library, it));
    sources.flat_map(|(_, source)| source.paths()).collect()
}

/// Whether a change of the file `path` may change the verdicts of a scenario. `program` says whether the running
/// `parallax` was built from the project. If it was, any file of the project may be its source code. So every file
/// counts, except files of other scenarios, of other fixtures and of the documentation. A chart or a kustomization of the
/// scenario, whose paths are `made_of`, may be in any folder.
fn concerns(
    path: &str,
    scenario: &str,
    fixtures: &BTreeSet<String>,
    made_of: &BTreeSet<String>,
    program: bool,
) -> bool {
    if made_of.iter().any(|it| Path::new(path).starts_with(it)) {
        return true;
    }
    let folder = scenario.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts = path.split('/');
    match (parts.next(), parts.next()) {
        (Some("scenarios"), _) => path.starts_with(&format!("{folder}/")),
        (Some("fixtures"), Some(name)) => fixtures.contains(name),
        // A change of any image counts, because every scenario needs the images of the node. As a result, some breaks
        // run without need, but only rarely, because recipes seldom change.
        (Some("images"), _) => true,
        (Some("docs"), _) => false,
        _ if Path::new(path).extension().is_some_and(|it| it == "md") => false,
        _ => program,
    }
}

/// Whether the running `parallax` is in the `target` folder of the project, and so was built from the project. The
/// result is `true` if the paths cannot be determined, so that a change of the program is not overlooked.
fn program_within(root: &Path) -> bool {
    let program = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let root = root.canonicalize().ok();
    let Some((program, root)) = program.zip(root) else { return true };
    let below = program.strip_prefix(root).ok().map(|below| below.components().next());
    matches!(below, Some(Some(Component::Normal(first))) if first == "target")
}

/// Returns the paths of the project's files that differ between the working tree and the commit at which the branch
/// left main. Returns `None` if this commit cannot be found: there is no repository or no main branch, or main itself
/// is checked out.
fn differing_from_main(root: &Path) -> Option<Vec<String>> {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let main = main_of(&git)?;
    let base = git(&["merge-base", "HEAD", &main])?;
    let changed = git(&["diff", "--name-only", "--relative", "--no-renames", "-z", base.trim(), "--", "."])?;
    let new = git(&["ls-files", "--others", "--exclude-standard", "-z", "--", "."])?;
    Some(changed.split('\0').chain(new.split('\0')).filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Returns the name of the main branch of the remote `origin`. If there is none, returns a local main branch that is
/// not checked out. `git` runs git with the given arguments.
fn main_of(git: &dyn Fn(&[&str]) -> Option<String>) -> Option<String> {
    let exists = |name: &&str| git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]).is_some();
    if let Some(published) = ["origin/HEAD", "origin/main", "origin/master"].iter().find(|name| exists(name)) {
        return Some((*published).to_owned());
    }
    let here = git(&["rev-parse", "--abbrev-ref", "HEAD"])?;
    ["main", "master"].into_iter().filter(|name| *name != here.trim()).find(exists).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_concern_a_scenario() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let fixtures = set(&["minio"]);
        for (path, of_program, concerned) in [
            ("scenarios/presign/presigned-url/scenario.yaml", false, true),
            ("scenarios/presign/presigned-url/job.yaml", false, true),
            ("scenarios/presign/presigned-url-two/scenario.yaml", true, false),
            ("fixtures/minio/minio.yaml", false, true),
            ("fixtures/dns-rewrite/fixture.yaml", true, false),
            ("images/images.lock", false, true),
            ("images/minio/recipe.yaml", false, true),
            ("docs/identity.md", true, false),
            ("README.md", true, false),
            ("crates/judge/src/expect.rs", true, true),
            ("crates/judge/src/expect.rs", false, false),
            ("Cargo.lock", true, true),
            ("docs/demo/templates/app.yaml", false, true),
            ("docs/demonstration.yaml", true, false),
            ("deploy/base/README.md", false, true),
            ("values.md", false, true),
            ("scenarios/shared/chart/values.yaml", false, true),
            ("scenarios/shared/other.yaml", true, false),
        ] {
            let made_of = set(&["docs/demo", "deploy", "values.md", "scenarios/shared/chart"]);
            let seen = concerns(path, "scenarios/presign/presigned-url/scenario.yaml", &fixtures, &made_of, of_program);
            assert_eq!(seen, concerned, "{path}");
        }
    }

    /// Creates a git repository with one commit on the branch main.
    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("a"), "1").expect("written");
        git(dir.path(), &["init", "-q", "-b", "main"]);
        commit(dir.path());
        dir
    }

    fn git(folder: &Path, args: &[&str]) {
        let names = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let status = Command::new("git").arg("-C").arg(folder).args(names).args(args).status();
        assert!(status.expect("git runs").success(), "{args:?}");
    }

    fn commit(folder: &Path) {
        git(folder, &["add", "."]);
        git(folder, &["commit", "-q", "-m", "more"]);
    }

    #[test]
    fn what_differs_from_main_is_committed_or_not_and_new_or_not() {
        let dir = repository();
        assert_eq!(differing_from_main(dir.path()), None, "main says nothing about itself");
        git(dir.path(), &["checkout", "-q", "-b", "work"]);
        assert_eq!(differing_from_main(dir.path()), Some(vec![]));
        std::fs::write(dir.path().join("b"), "1").expect("written");
        commit(dir.path());
        std::fs::write(dir.path().join("a"), "2").expect("written");
        std::fs::write(dir.path().join("c"), "1").expect("written");
        let differing = differing_from_main(dir.path()).expect("git says");
        assert_eq!(differing, ["a", "b", "c"]);
        // For a project in a subfolder of the repository, only files in this subfolder are returned.
        std::fs::create_dir(dir.path().join("below")).expect("made");
        assert_eq!(differing_from_main(&dir.path().join("below")), Some(vec![]));
        let nowhere = tempfile::tempdir().expect("a folder");
        assert_eq!(differing_from_main(nowhere.path()), None);
    }
}
