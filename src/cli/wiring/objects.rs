//! The objects that fixtures take from `helm` and `kustomize`: checks of the files for every command, and the programs
//! themselves for a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::Path;

use parallax_images::{ImageError, Lock, Recipes};
use parallax_language::fixture::{Maker, Source, plain};
use parallax_language::scenario::diagnostic::{self, suggest};
use parallax_language::scenario::document::join;
use parallax_language::scenario::{Diagnostic, Loaded, Variant};
use parallax_plan::{Namespaces, Plan};
use parallax_vocab::VariantId;

use super::project::{Project, read};
use crate::cli::args::{E2e, HostPrograms, Shard};
use crate::cli::{CliError, printer};
use crate::render::{Inputs, RenderError, Settings, outputs, render, sources};

/// Returns a diagnostic for each chart or kustomization whose files cannot be used, and for each of its images that is
/// not one of `known`. No program is run.
pub(super) fn mistakes(project: &Project, known: &[&str]) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for loaded in &project.scenarios {
        // Most breaks have the same chart as their baseline. Each mistake is reported only once.
        let mut told: Vec<Source> = Vec::new();
        for variant in &loaded.variants {
            for (id, source) in loaded.sources(&project.library, variant) {
                if told.contains(&source) {
                    continue;
                }
                if let Err(error) = source.files(&project.root) {
                    let message = format!("`{}` {}", error.path, error.message);
                    mistakes.push(at(loaded, variant, &id, &error.path, message).fix(error.fix));
                }
                for image in source.images.iter().filter(|it| !known.contains(&it.as_str())) {
                    let message = format!("no image is called `{image}` in images.lock");
                    let fix = suggest(image, known.iter().copied(), "it lists");
                    mistakes.push(at(loaded, variant, &id, image, message).fix(fix));
                }
                told.push(source);
            }
        }
    }
    mistakes
}

/// Returns a diagnostic at the parameter of the fixture `id` that contains `text`, or at the fixture.
fn at(loaded: &Loaded, variant: &Variant, id: &str, text: &str, message: String) -> Diagnostic {
    let fixture = join("/fixtures", id);
    let parameters = variant.scenario.fixtures.get(id).into_iter().flat_map(|it| &it.parameters);
    let mut pointers = parameters.filter_map(|(name, value)| match value {
        serde_json::Value::Array(items) => {
            items.iter().position(|it| it == text).map(|index| format!("{}/{index}", join(&fixture, name)))
        }
        value => (value == text).then(|| join(&fixture, name)),
    });
    let pointer = pointers.next();
    loaded.with_places(variant, |places| match &pointer {
        Some(pointer) => places.error(pointer, message),
        None => places.key_error(&fixture, message),
    })
}

/// Returns the programs that the project's scenarios need to make objects, by their names in the table of programs. The
/// set is empty if the project cannot be read.
pub(super) fn programs(root: &Path) -> BTreeSet<&'static str> {
    let (project, _) = read(root, &[]);
    let variants = project.scenarios.iter().flat_map(|loaded| loaded.variants.iter().map(move |it| (loaded, it)));
    let sources = variants.flat_map(|(loaded, variant)| loaded.sources(&project.library, variant));
    let names = sources.flat_map(|(_, source)| match source.maker {
        Maker::Helm { .. } => &["helm"][..],
        Maker::Kustomize { .. } => &["kustomize", "kubectl"],
    });
    names.copied().collect()
}

/// A plan with the objects that `helm` and `kustomize` make, and the files of which they were made.
#[derive(Clone, Debug)]
pub struct Complete {
    /// The plan with the objects.
    pub plan: Plan,
    /// The files of the project.
    pub(super) inputs: Inputs,
}

/// Returns the plan with the objects that `helm` and `kustomize` make. Nothing of the run has started yet.
pub async fn with_objects(
    project: &Project,
    plan: &Plan,
    recipes: &Recipes,
    allowed: Option<HostPrograms>,
) -> Result<Complete, CliError> {
    complete(&project.root, plan, recipes, allowed).await.map_err(unmade)
}

fn unmade(error: Unmade) -> CliError {
    let has_words = matches!(&error, Unmade::Objects(RenderError::Failed { .. }));
    let text = if has_words { error.to_string() } else { format!("{error}; nothing was started") };
    match error {
        Unmade::Objects(RenderError::Missing { .. } | RenderError::Machine { .. }) => CliError::Harness(text),
        Unmade::Objects(error) => {
            if let RenderError::Objects { diagnostics, .. } = &error {
                printer::word(diagnostic::render(diagnostics, std::io::stderr().is_terminal()).trim_end());
            }
            CliError::Usage(text)
        }
        Unmade::Lock(error) => error.into(),
    }
}

/// The reason why a plan has no objects.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmade {
    /// The programs did not make them.
    #[error(transparent)]
    Objects(#[from] RenderError),
    /// The list of images cannot be read.
    #[error(transparent)]
    Lock(#[from] ImageError),
}

/// Returns the plan with the objects that `helm` and `kustomize` make. `check_host_programs` must have succeeded before.
pub(super) async fn complete(
    root: &Path,
    plan: &Plan,
    recipes: &Recipes,
    allowed: Option<HostPrograms>,
) -> Result<Complete, Unmade> {
    let mut plan = plan.clone();
    if sources(&plan).next().is_none() {
        return Ok(Complete { plan, inputs: Inputs::default() });
    }
    let inputs = Inputs::read(&plan, root)?;
    let published = published(recipes)?;
    let ready_made = super::consent::ready_made();
    let settings = Settings { ready_made: ready_made.as_deref(), ..settings(allowed, &published) };
    render(&mut plan, &inputs, &settings).await?;
    Ok(Complete { plan, inputs })
}

/// The settings with which the programs of this machine run.
fn settings(allowed: Option<HostPrograms>, published: &BTreeMap<String, String>) -> Settings<'_> {
    Settings {
        apart: allowed != Some(HostPrograms::Unconfined),
        published,
        ready_made: None,
        may_run: allowed.is_some(),
    }
}

/// What the shards of a run need of the charts and kustomizations of a project.
#[derive(Debug, Default)]
pub struct ReadyMade {
    /// What the programs wrote on this machine, by the name of the file that contains it.
    pub outputs: BTreeMap<String, String>,
    /// The files of which it was made: the path, relative to the project's folder, and the content.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Makes the objects of the charts and kustomizations for each of `of` shards of a run of the variants in `whole`. The
/// programs run on this machine, which the option `--allow-host-programs` of the run must permit.
pub async fn ready_made(
    project: &Project,
    (whole, of): (&[VariantId], u16),
    options: &E2e,
    recipes: &Recipes,
) -> Result<ReadyMade, CliError> {
    let allowed = options.common.allow_host_programs;
    let mut made = ReadyMade::default();
    let namespaces = || if options.unshared { Namespaces::Unshared } else { Namespaces::Each };
    super::consent::check_makers(project, whole, allowed)?;
    for number in 1..=of {
        // A shard has other namespaces than the whole run, and so do its objects.
        let part: Vec<VariantId> = super::part(project, whole, Shard { number, of })?.into_iter().collect();
        let plan = super::arranged(project, &part, None, super::at_once(options.at_once), namespaces())?;
        if sources(&plan).next().is_none() {
            continue;
        }
        let inputs = Inputs::read(&plan, &project.root).map_err(|error| unmade(error.into()))?;
        let published = published(recipes)?;
        let outputs = outputs(&plan, &inputs, &settings(allowed, &published)).await;
        made.outputs.extend(outputs.map_err(|error| unmade(error.into()))?);
        // Mistakes in the objects are reported now, and not in each pod.
        complete(&project.root, &plan, recipes, allowed).await.map_err(unmade)?;
        made.files.extend(inputs.files().map(|(path, content)| (path.clone(), content.clone())));
    }
    Ok(made)
}

/// Returns the name of each image of images.lock by its published reference.
fn published(recipes: &Recipes) -> Result<BTreeMap<String, String>, ImageError> {
    let lock = Lock::listed(recipes)?;
    let reference = |it: &parallax_images::Entry| Some((plain(it.published()?).to_owned(), it.name.value.clone()));
    Ok(lock.images.iter().filter_map(reference).collect())
}
