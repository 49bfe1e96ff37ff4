//! The objects that fixtures take from `helm` and `kustomize`: checks of the files for every command, and the programs
//! themselves for a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::Path;

use parallax_images::{Lock, Recipes};
use parallax_language::fixture::{Maker, Source, plain};
use parallax_language::scenario::diagnostic::{self, suggest};
use parallax_language::scenario::document::join;
use parallax_language::scenario::{Diagnostic, Loaded, Variant};
use parallax_plan::Plan;

use super::project::{Project, read};
use crate::cli::args::HostPrograms;
use crate::cli::{CliError, printer};
use crate::render::{RenderError, Settings, render};

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

/// Returns the plan with the objects that `helm` and `kustomize` make. Nothing of the run has started yet.
pub async fn with_objects(
    project: &Project,
    plan: &Plan,
    recipes: &Recipes,
    allowed: Option<HostPrograms>,
) -> Result<Plan, CliError> {
    let mut plan = plan.clone();
    let fixtures = plan.clusters.iter().flat_map(|it| &it.environments).flat_map(|it| it.fixtures.values());
    if fixtures.flat_map(|it| &it.sources).next().is_none() {
        return Ok(plan);
    }
    let lock = Lock::listed(recipes)?;
    let reference = |it: &parallax_images::Entry| Some((plain(it.published()?).to_owned(), it.name.value.clone()));
    let published: BTreeMap<String, String> = lock.images.iter().filter_map(reference).collect();
    // `check_host_programs` has refused the run if the user has not allowed the programs.
    let apart = allowed != Some(HostPrograms::Unconfined);
    let settings = Settings { project: &project.root, apart, published: &published };
    render(&mut plan, &settings).await.map_err(|error| {
        if let RenderError::Objects { diagnostics, .. } = &error {
            printer::word(diagnostic::render(diagnostics, std::io::stderr().is_terminal()).trim_end());
        }
        let text = format!("{error}; nothing was started");
        let text = if let RenderError::Failed { .. } = &error { error.to_string() } else { text };
        match error {
            RenderError::Missing { .. } | RenderError::Machine { .. } => CliError::Harness(text),
            RenderError::Files { .. } | RenderError::Failed { .. } | RenderError::Objects { .. } => {
                CliError::Usage(text)
            }
        }
    })?;
    Ok(plan)
}
