//! Digests of everything on which the verdicts of a scenario depend. The verdicts stay valid while the digest is
//! unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::machine::{own_programs, policy};
use super::project::Project;
use crate::cli::CliError;
use crate::cli::args::K3s;
use crate::run;
use parallax_images::digest::{Fields, of_file};
use parallax_images::{Cache, Lock, Recipes};
use parallax_language::fixture::{Fixture, Source};
use parallax_language::scenario::Loaded;
use parallax_record::Noted as _;
use parallax_vocab::VariantId;
use walkdir::WalkDir;

/// The digests of scenarios, by the path of the scenario.
pub type Prints = BTreeMap<String, String>;

/// The largest number of files and folders in a scenario's folder. A scenario with more of them has no digest.
const FILES_LIMIT: usize = 2_000;

/// Returns the digest of each scenario of the project. A digest covers the scenario's folder, its fixtures, its
/// images, the running `parallax` and the kind of node image. An image is represented by its published reference, its
/// digest and the tag of its build. A scenario whose digest cannot be computed is missing in the result, and so
/// counts as changed.
pub async fn prints(project: &Project, recipes: &Recipes, k3s: K3s) -> Result<Prints, CliError> {
    let program = tokio::task::spawn_blocking(|| of_file(&std::env::current_exe()?));
    let images = image_tags(recipes).await?;
    let harness = |error: &dyn std::fmt::Display| CliError::Harness(format!("this program cannot be read: {error}"));
    let program = program.await.map_err(|error| harness(&error))?.map_err(|error| harness(&error))?;
    let mut prints = Prints::new();
    let mut made_of = MadeOf::default();
    for loaded in &project.scenarios {
        let Some(names) = images_of(project, loaded) else { continue };
        let mut fields = Fields::new("scenario 1");
        fields.add("program", program.as_bytes());
        fields.add("k3s", format!("{:?}", policy(k3s)).as_bytes());
        for name in &names {
            fields.add(&format!("image {name}"), images.get(name).map_or(&[][..], |tag| tag.as_bytes()));
        }
        if add_files(project, loaded, (&mut made_of, &mut fields)).await {
            prints.insert(loaded.path.clone(), fields.finish());
        }
    }
    Ok(prints)
}

/// Adds to a digest the text of a scenario, the definitions and manifests of its fixtures, and the other files in the
/// scenario's folder. Returns `false` if one of these files could not be read.
async fn add_files(project: &Project, loaded: &Loaded, (made_of, fields): (&mut MadeOf, &mut Fields)) -> bool {
    for name in fixtures_of(loaded) {
        let Some(fixture) = project.library.get(&name) else { continue };
        add_fixture(&name, fixture, fields);
    }
    let sources = loaded.variants.iter().flat_map(|it| loaded.sources(&project.library, it));
    let digests: Option<BTreeSet<String>> = sources.map(|(_, source)| made_of.digest(&source, &project.root)).collect();
    let Some(digests) = digests else { return false };
    for digest in digests {
        fields.add("made of", digest.as_bytes());
    }
    fields.add("scenario", loaded.document.source.text().as_bytes());
    let file = project.root.join(&loaded.file);
    // The files are read on a separate thread, because reading blocks, and a run may be in progress at the same time.
    let files = tokio::task::spawn_blocking(move || other_files(&file)).await;
    let Some(files) = files.noted("read a scenario's folder").flatten() else { return false };
    for (name, digest) in &files {
        fields.add(name, digest.as_bytes());
    }
    true
}

/// The digests of the files of which `helm` and `kustomize` make objects, by the folder and all paths. Most variants of a
/// project have the same few charts, so each is read only once. The value is `None` if a file cannot be used.
#[derive(Debug, Default)]
struct MadeOf(BTreeMap<(String, Vec<String>), Option<String>>);

impl MadeOf {
    /// Returns the digest of the paths and the contents of all files that `source` reads.
    fn digest(&mut self, source: &Source, root: &Path) -> Option<String> {
        let key = (source.folder.path.clone(), source.paths());
        let read = || {
            let mut fields = Fields::new("made of 1");
            for (path, content) in source.files(root).ok()? {
                fields.add(&path, &content);
            }
            Some(fields.finish())
        };
        self.0.entry(key).or_insert_with(read).clone()
    }
}

/// Adds to a digest the texts of a fixture: its definition and all its manifests.
fn add_fixture(name: &str, fixture: &Fixture, fields: &mut Fields) {
    fields.add(&format!("fixture {name}"), fixture.document.source.text().as_bytes());
    for (path, text) in fixture.all_manifests() {
        fields.add(path, text.as_bytes());
    }
}

/// Returns the digests that must be equal in all shards of a run, by name: the digest of the files of each scenario,
/// the digest of the list of images, and the kind of node image. The program `parallax` is not included, because each
/// machine may have built its own.
pub async fn contents(
    project: &Project,
    whole: &[VariantId],
    recipes: &Recipes,
    k3s: K3s,
) -> Result<BTreeMap<String, String>, CliError> {
    let names: BTreeSet<&str> = whole.iter().map(VariantId::scenario).collect();
    let (mut contents, mut made_of) = (BTreeMap::new(), MadeOf::default());
    for loaded in project.scenarios.iter().filter(|it| names.contains(it.path.as_str())) {
        let mut fields = Fields::new("scenario files 1");
        // A digest that leaves out a file could be equal for shards with different files. Therefore a file that cannot
        // be added is an error.
        if !add_files(project, loaded, (&mut made_of, &mut fields)).await {
            return Err(CliError::Usage(format!(
                "the shards cannot be compared, because the folder of {} contains a link to a folder, a file that \
                 cannot be read, or more than {FILES_LIMIT} files",
                loaded.file
            )));
        }
        contents.insert(loaded.path.clone(), fields.finish());
    }
    contents.insert("images.lock".to_owned(), listed(&Lock::of(recipes, &Cache::open()?)?));
    contents.insert("--k3s".to_owned(), format!("{:?}", policy(k3s)).to_lowercase());
    Ok(contents)
}

/// Returns the digest of a list of images: of each image, its references, its version and the name of its recipe.
fn listed(lock: &Lock) -> String {
    let mut fields = Fields::new("images 2");
    for entry in &lock.images {
        let [digest, recipe] = [&entry.digest, &entry.recipe].map(|it| it.as_ref().map(|it| &it.value));
        let words = format!("{:?} {digest:?} {:?} {recipe:?}", entry.published(), entry.named_version());
        fields.add(&entry.name.value, words.as_bytes());
    }
    fields.finish()
}

/// Maps the name of each image to one text: the published reference, the published digest and the tag of the build. The
/// tag contains the hash of all inputs of the build.
async fn image_tags(recipes: &Recipes) -> Result<BTreeMap<String, String>, CliError> {
    let cache = Cache::open()?;
    let lock = Lock::of(recipes, &cache)?;
    let binaries = own_programs()?;
    let rows = parallax_images::list(&lock, &binaries, &cache, None).await?;
    let digest = |name: &str| lock.entry(name).ok().and_then(|it| it.digest.as_ref().map(|it| it.value.clone()));
    let words = |row: &parallax_images::Row| format!("{:?} {:?} {:?}", row.reference, digest(&row.name), row.built);
    Ok(rows.iter().map(|row| (row.name.clone(), words(row))).collect())
}

/// Maps the name of each image to a description for messages: the published reference and digest, and the tag of the
/// build.
pub(super) async fn image_words(recipes: &Recipes) -> Result<BTreeMap<String, String>, CliError> {
    let cache = Cache::open()?;
    let lock = Lock::of(recipes, &cache)?;
    let binaries = own_programs()?;
    let rows = parallax_images::list(&lock, &binaries, &cache, None).await?;
    let words = rows.into_iter().map(|row| {
        let digest = lock.entry(&row.name).ok().and_then(|it| it.digest.as_ref().map(|it| it.value.clone()));
        let all: Vec<String> = [row.reference, digest, row.built].into_iter().flatten().collect();
        (row.name, all.join(", "))
    });
    Ok(words.collect())
}

/// Returns the names of the images that a scenario needs for all its variants. `None` if no plan can be made for the
/// scenario.
fn images_of(project: &Project, loaded: &Loaded) -> Option<BTreeSet<String>> {
    let selected = loaded.variants.iter().map(|variant| variant.id.clone()).collect();
    let plan = parallax_plan::build(&project.library, std::slice::from_ref(loaded), &selected).ok()?;
    Some(run::wants(&plan).into_iter().map(|want| want.name).collect())
}

/// Returns the names of the fixtures that a scenario or one of its breaks uses.
pub(super) fn fixtures_of(loaded: &Loaded) -> BTreeSet<String> {
    let used = loaded.variants.iter().flat_map(|variant| variant.scenario.fixtures.values());
    used.map(|used| used.fixture.clone()).collect()
}

/// Returns the name and the digest of each file in the scenario's folder, except the scenario file itself. Returns
/// `None` if a file cannot be read, if a link leads to a folder, or if there are more than [`FILES_LIMIT`] files and
/// folders.
fn other_files(file: &Path) -> Option<Vec<(String, String)>> {
    let folder = file.parent()?;
    let mut files = Vec::new();
    let walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
    // A subfolder that contains a scenario of its own does not belong to this scenario.
    let own = walk.filter_entry(|entry| !entry.file_type().is_dir() || !entry.path().join("scenario.yaml").exists());
    for (seen, entry) in own.enumerate() {
        let entry = entry.ok().filter(|_| seen < FILES_LIMIT)?;
        // For a symbolic link to a file, the content of that file counts, because the scenario may use it. The
        // content of a folder behind a symbolic link is not read. A scenario with such a link has no digest, so it
        // counts as changed.
        let about = entry.path().metadata().ok()?;
        if entry.file_type().is_symlink() && about.is_dir() {
            return None;
        }
        if about.is_file() && entry.path() != file {
            let name = entry.path().strip_prefix(folder).ok()?.to_string_lossy().into_owned();
            files.push((name, of_file(entry.path()).ok()?));
        }
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use parallax_language::fixture::{Library, Maker, ProjectFile};

    use super::*;

    #[test]
    fn each_manifest_of_a_fixture_counts() {
        let library = Library::shipped();
        let shipped = library.get("cert-manager").expect("it is shipped");
        let print = |fixture: &Fixture| {
            let mut fields = Fields::new("test");
            add_fixture("cert-manager", fixture, &mut fields);
            fields.finish()
        };
        let mut fixture = shipped.clone();
        fixture.manifests[0].1.push(' ');
        assert_ne!(print(&fixture), print(shipped));
        let mut fixture = shipped.clone();
        fixture.cluster_manifests[0].1.push(' ');
        assert_ne!(print(&fixture), print(shipped));
    }

    #[test]
    fn each_version_of_an_image_has_a_digest_of_its_own() {
        let print = |more: &str| {
            let text = format!("images: [{{ name: k3s, for: x, {more} }}]");
            listed(&Lock::parse(Path::new("images"), &text).expect("valid"))
        };
        let prints = [
            "recipe: node",
            "recipe: node-1.33",
            "recipe: node, version: 1.34.4",
            "reference: 'x/k3s:1', recipe: node, version: 1.34.4",
        ]
        .map(print);
        assert_eq!(prints.iter().collect::<BTreeSet<_>>().len(), prints.len(), "{prints:?}");
    }

    #[test]
    fn a_chart_is_read_once_for_all_variants_and_each_of_its_files_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let chart = root.path().join("app");
        fs::create_dir(&chart).expect("made");
        fs::write(chart.join("Chart.yaml"), "name: app").expect("written");
        let folder = ProjectFile { path: "app".to_owned(), at: "s.yaml:4".to_owned() };
        let source = |values_files: &[&str]| {
            let values_files = values_files.iter().map(|it| (*it).to_owned()).collect();
            let maker = Maker::Helm { release: "r".to_owned(), values: serde_json::Map::new(), values_files };
            Source { folder: folder.clone(), maker, images: Vec::new(), cluster_wide: false }
        };
        let mut run = MadeOf::default();
        let before = run.digest(&source(&[]), root.path()).expect("readable");
        assert_eq!(run.digest(&source(&["absent.yaml"]), root.path()), None);
        fs::write(chart.join("values.yaml"), "a: 1").expect("written");
        assert_eq!(run.digest(&source(&[]), root.path()), Some(before.clone()), "this run has read the chart already");
        let later = MadeOf::default().digest(&source(&[]), root.path()).expect("readable");
        assert_ne!(later, before);
        fs::rename(chart.join("values.yaml"), chart.join("value.yaml")).expect("renamed");
        assert_ne!(MadeOf::default().digest(&source(&[]), root.path()), Some(later));
    }

    #[test]
    fn a_link_in_a_scenarios_folder_counts_as_what_it_leads_to() {
        let root = tempfile::tempdir().expect("a folder");
        let (own, shared) = (root.path().join("s"), root.path().join("shared"));
        fs::create_dir_all(&own).expect("made");
        fs::create_dir_all(&shared).expect("made");
        let file = own.join("scenario.yaml");
        fs::write(&file, "name: s").expect("written");
        fs::write(shared.join("job.yaml"), "one").expect("written");
        symlink("../shared/job.yaml", own.join("job.yaml")).expect("linked");
        let before = other_files(&file).expect("readable");
        assert_eq!(before.len(), 1);
        fs::write(shared.join("job.yaml"), "two").expect("written");
        assert_ne!(other_files(&file).expect("readable"), before);
        symlink("../shared", own.join("all")).expect("linked");
        assert_eq!(other_files(&file), None);
    }
}
