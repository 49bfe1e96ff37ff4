//! Packs the failed variants of a run into a bundle, and compares a bundle with this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use parallax_vocab::event::Outcome;
use parallax_vocab::{RunId, VariantId};

use super::prints;
use super::project::{Project, planned};
use crate::bundle::{self, Bundle, BundleError, Failed, Look};
use crate::cli::args::K3s;
use crate::cli::{CliError, is_of_the_path};
use crate::run;
use parallax_images::Recipes;
use parallax_language::scenario::Variant;
use parallax_record::Redactor;
use parallax_report::Summary;

/// The folder of the project that contains images.lock and the recipes.
const IMAGES: &str = "images";

impl From<BundleError> for CliError {
    fn from(error: BundleError) -> Self {
        let text = error.to_string();
        match error {
            BundleError::File { source, .. } if !is_of_the_path(&source) => Self::Harness(text),
            BundleError::File { .. } | BundleError::Wrong { .. } | BundleError::Format { .. } => Self::Usage(text),
        }
    }
}

/// Returns the failed variants of a run. Each comes with its first step whose result differs from what the scenario
/// declares.
pub fn failed(project: &Project, summary: &Summary) -> Vec<Failed> {
    let mut all = Vec::new();
    for variant in summary.variants() {
        let first = match &variant.outcome {
            Some(Outcome::NotAsExpected { problems }) => problems.first().map(|it| it.step.as_str()),
            Some(Outcome::Error { .. }) => None,
            _ => continue,
        };
        let planned = project.scenarios.iter().flat_map(|it| &it.variants).find(|it| it.id == variant.id);
        let step = planned.zip(first).and_then(|(planned, first)| in_the_flow(planned, first));
        let seed = variant.steps.iter().find_map(|it| it.course.round.as_ref()).map(|it| it.seed);
        all.push(Failed { variant: variant.id.clone(), step, seed });
    }
    all
}

/// Returns the step of the flow with the id `step`. If the step is inside a `repeat`, returns the `repeat` step.
/// Returns `None` if the flow has no step with this id: for example, `step` may be a readiness condition of the
/// environment.
fn in_the_flow(variant: &Variant, step: &str) -> Option<String> {
    let is = |it: &&parallax_language::scenario::model::Step| {
        it.id == step || it.repeat().is_some_and(|repeat| repeat.flow.iter().any(|inner| inner.id == step))
    };
    variant.scenario.flow.iter().find(is).map(|it| it.id.clone())
}

/// Writes the bundle of the failed variants into the run's folder. Returns the path of the bundle.
pub async fn pack(
    project: &Project,
    failed: Vec<Failed>,
    (recipes, k3s): (&Recipes, K3s),
    redactor: &Redactor,
    directory: &Path,
) -> Result<PathBuf, CliError> {
    let ids: BTreeSet<VariantId> = failed.iter().map(|it| it.variant.clone()).collect();
    let images = images_of(project, &ids, recipes).await?;
    let run = directory.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let mut bundle = Bundle::new(RunId::new(run), (super::flag(&k3s), recipes.versions().clone()), failed, images);
    let (redactor, directory) = (redactor.clone(), directory.to_owned());
    let (root, mut files) = (project.root.clone(), resolved(project, &ids, &redactor));
    let folders = folders(project, &ids, &mut files, &redactor);
    // Reading and writing files blocks the thread, so it is done outside the async runtime.
    let written = tokio::task::spawn_blocking(move || {
        for folder in folders {
            let prefix = format!("{}/{folder}", bundle::PROJECT);
            let look = if folder == IMAGES { Look::Known } else { Look::Form };
            let (more, redacted) = bundle::below(&root.join(&folder), &prefix, &redactor, look)?;
            files.extend(more);
            bundle.redacted.extend(redacted);
        }
        files.extend(bundle::of_run(&directory, &redactor)?);
        let path = directory.join(bundle::FILE);
        bundle.write(&path, &files).map(|()| path)
    });
    Ok(written.await.map_err(|error| CliError::Harness(error.to_string()))??)
}

/// Returns one file for each variant. The file contains the variant as it ran: with the values of the scenario's
/// `matrix` filled in, and with the change that the variant declares.
fn resolved(project: &Project, ids: &BTreeSet<VariantId>, redactor: &Redactor) -> Vec<bundle::Packed> {
    let variants = project.scenarios.iter().flat_map(|it| &it.variants).filter(|it| ids.contains(&it.id));
    let files = variants.map(|variant| {
        let text = serde_json::to_string_pretty(&variant.value).unwrap_or_default();
        (format!("resolved/{}.json", variant.id), redactor.text(&text).into_bytes())
    });
    files.collect()
}

/// Returns the folders of the project that the variants need. The variants may also use fixtures that Parallax ships.
/// The files of these fixtures are added to `files`. So another version of Parallax uses the files in the bundle, and
/// not the fixtures that it ships itself.
fn folders(
    project: &Project,
    ids: &BTreeSet<VariantId>,
    files: &mut Vec<bundle::Packed>,
    redactor: &Redactor,
) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for loaded in project.scenarios.iter().filter(|it| it.variants.iter().any(|variant| ids.contains(&variant.id))) {
        folders.extend(loaded.file.rsplit_once('/').map(|(folder, _)| folder.to_owned()));
        for name in prints::fixtures_of(loaded) {
            let folder = format!("fixtures/{name}");
            if project.root.join(&folder).is_dir() {
                folders.insert(folder);
                continue;
            }
            let Some(fixture) = project.library.get(&name) else { continue };
            let definition = (format!("{folder}/fixture.yaml"), fixture.document.source.text().to_owned());
            let manifests = fixture.all_manifests().cloned();
            for (path, text) in std::iter::once(definition).chain(manifests) {
                let path = format!("{}/{path}", bundle::PROJECT);
                if files.iter().all(|(there, _)| *there != path) {
                    files.push((path, redactor.text(&text).into_bytes()));
                }
            }
        }
    }
    for loaded in &project.scenarios {
        let variants = loaded.variants.iter().filter(|it| ids.contains(&it.id));
        for (_, source) in variants.flat_map(|it| loaded.sources(&project.library, it)) {
            for (path, content) in source.files(&project.root).unwrap_or_default() {
                let there = format!("{}/{path}", bundle::PROJECT);
                let is_in = folders.iter().any(|it| Path::new(&path).starts_with(it));
                if !is_in && files.iter().all(|(other, _)| *other != there) {
                    let content = match std::str::from_utf8(&content) {
                        Ok(text) => redactor.text(text).into_bytes(),
                        Err(_) => content,
                    };
                    files.push((there, content));
                }
            }
        }
    }
    // The folder with images.lock and recipes is included only if it differs from the one that Parallax ships. The
    // other machine already has the shipped folder.
    if Recipes::of(project.root.clone()).are_foreign() {
        folders.insert(IMAGES.to_owned());
    }
    folders
}

/// Returns the differences between this machine and the machine on which the bundle was made, one sentence for each
/// difference.
pub async fn differences(project: &Project, bundle: &Bundle, recipes: &Recipes) -> Result<Vec<String>, CliError> {
    let ids = bundle.failed.iter().map(|it| it.variant.clone()).collect();
    Ok(bundle.differences(&images_of(project, &ids, recipes).await?))
}

/// Maps the name of each image that the variants use to a text that identifies the image: its published reference and
/// digest, and the tag of its build.
async fn images_of(
    project: &Project,
    ids: &BTreeSet<VariantId>,
    recipes: &Recipes,
) -> Result<BTreeMap<String, String>, CliError> {
    let wanted: BTreeSet<String> = run::wants(&planned(project, ids)?).into_iter().map(|want| want.name).collect();
    let mut images = prints::image_words(recipes).await?;
    images.retain(|name, _| wanted.contains(name));
    Ok(images)
}
