//! npm layers: the packages that a `package-lock.json` lists. npm checks each package against its hash in this file.
//!
//! npm fetches the packages from the registry in the machine's settings. If the lock file of a recipe contains a host,
//! the recipe is refused when it is read. The scripts in packages do not run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::ImageError;
use super::process::Step;
use super::recipe::{Npm, check_folder, check_path};
use super::tree::{self, Entry};

/// The time limit for fetching some hundreds of small packages.
const LIMIT: Duration = Duration::from_mins(10);
const PACKAGE: &str = "package.json";
const LOCK: &str = "package-lock.json";
/// The name of the file in which npm stores its own state. The file contains the address of the registry that npm used,
/// so it must not be in the image.
const NOTES: &str = ".package-lock.json";

impl Npm {
    /// Checks an npm layer of a recipe, and the lock file of the layer. The error is a sentence about the mistake.
    pub(super) fn check(&self, folder: &Path) -> Result<(), String> {
        check_path(&self.to)?;
        check_folder(folder, &self.folder, Some(PACKAGE))?;
        let lock = folder.join(&self.folder).join(LOCK);
        let again = format!(
            "write it with `npm install --package-lock-only --omit-lockfile-registry-resolved` in {}",
            self.folder
        );
        match std::fs::read_to_string(&lock) {
            // The field `resolved` contains a host. npm would fetch the package from this host, instead of from the
            // registry in the machine's settings.
            Ok(text) if text.contains("\"resolved\"") => Err(format!("{LOCK} names a registry's host; {again}")),
            Ok(text) => match without_hash(&text) {
                None => Ok(()),
                Some(package) => Err(format!("{LOCK} holds no hash (`integrity`) of {package}; {again}")),
            },
            Err(_) => Err(format!("folder {:?} holds no {LOCK}; {again}", self.folder)),
        }
    }
}

/// The name of the first package that has no hash in the lock file. npm would not check this package. `None` if all
/// packages have a hash, or if the file is not JSON; npm itself reports the latter. The entry with the empty name is
/// the project itself, which has no hash.
fn without_hash(lock: &str) -> Option<String> {
    let lock: serde_json::Value = serde_json::from_str(lock).ok()?;
    let packages = lock["packages"].as_object()?;
    let unchecked =
        |(name, package): &(&String, &serde_json::Value)| !name.is_empty() && !package["integrity"].is_string();
    packages.iter().find(unchecked).map(|(name, _)| name.clone())
}

/// The files from which the layer is built, each with its path below `folder`: `package.json` and the lock file.
pub(super) fn inputs(folder: &Path) -> [(String, PathBuf); 2] {
    [PACKAGE, LOCK].map(|name| (name.to_owned(), folder.join(name)))
}

/// The build of one layer with npm packages.
pub(super) struct NpmBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The layer of the recipe that this build makes.
    pub(super) npm: &'a Npm,
    /// The path of the recipe's folder.
    pub(super) recipe: &'a Path,
    /// The path of the `npm` program.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
}

impl NpmBuild<'_> {
    /// Fetches and unpacks the packages, and returns the layer's entries.
    pub(super) async fn run(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, ImageError> {
        let project = self.scratch.join("project");
        tree::copy(&inputs(&self.recipe.join(&self.npm.folder)), &project)?;
        self.step(&project).run(say, cancel).await?;
        let modules = project.join("node_modules");
        entries(&modules, &format!("{}/node_modules", self.npm.to)).map_err(ImageError::cache("read", &modules))
    }

    fn step(&self, project: &Path) -> Step<'_> {
        // npm would create symbolic links to the packages' programs (`node_modules/.bin`). Nothing uses them, and a
        // layer accepts no links.
        let plain = ["ci", "--omit=dev", "--ignore-scripts", "--no-bin-links"];
        let quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--prefer-offline"];
        Step {
            image: self.image,
            title: format!("npm ci in {}", self.npm.folder),
            shown: format!("npm {} (in {})", plain.join(" "), self.npm.folder),
            program: self.program.to_owned(),
            arguments: plain.into_iter().chain(quiet).map(OsString::from).collect(),
            environment: Vec::new(),
            folder: Some(project.to_owned()),
            output: None,
            limit: LIMIT,
        }
    }
}

/// The entries of the layer: everything below `node_modules`, except npm's state file, type declarations and source
/// maps.
fn entries(modules: &Path, to: &str) -> std::io::Result<Vec<Entry>> {
    let files = tree::files_below(modules)?.into_iter().filter(|(path, _)| path != NOTES && !is_for_developers(path));
    files
        .map(|(path, source)| {
            let executable = tree::is_executable(&source)?;
            Ok(Entry::File { path: format!("{to}/{path}"), source, executable })
        })
        .collect()
}

/// Whether a file is a type declaration or a source map, which only developers need. These files would be a third of
/// the layer's bytes, and half of its files.
fn is_for_developers(path: &str) -> bool {
    [".d.ts", ".d.mts", ".d.cts", ".map"].iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn npm_is_told_no_registry_and_runs_nothing_of_the_packages() {
        let npm = Npm { folder: "node".into(), to: "opt/clients".into() };
        let (recipe, program, scratch) = (Path::new("/r"), Path::new("npm"), Path::new("/s"));
        let build = NpmBuild { image: "clients", npm: &npm, recipe, program, scratch };
        let step = build.step(Path::new("/s/project"));
        assert_eq!(step.shown, "npm ci --omit=dev --ignore-scripts --no-bin-links (in node)");
        assert!(!step.arguments.iter().any(|argument| argument.to_string_lossy().contains("registry")));
    }

    #[test]
    fn each_package_of_a_lock_file_has_its_hash() {
        for (packages, expected) in [
            (r#""": {}, "node_modules/a": { "integrity": "sha512-x" }"#, None),
            (r#""": {}, "node_modules/a": { "version": "1" }"#, Some("node_modules/a")),
            (r#""node_modules/a": { "integrity": null }"#, Some("node_modules/a")),
        ] {
            let found = without_hash(&format!(r#"{{ "packages": {{ {packages} }} }}"#));
            assert_eq!(found.as_deref(), expected, "{packages}");
        }
    }

    #[test]
    fn what_npm_notes_and_developers_read_stays_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [".package-lock.json", "a/index.js", "a/index.d.ts", "a/index.js.map", "@b/c/package.json"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "x").expect("written");
        }
        let entries = entries(folder.path(), "opt/x/node_modules").expect("read");
        let paths: Vec<_> = entries.iter().map(Entry::path).collect();
        assert_eq!(paths, ["opt/x/node_modules/@b/c/package.json", "opt/x/node_modules/a/index.js"]);
    }
}
