//! Reads the project again for a variant that `up` keeps, and makes the objects of its charts and kustomizations again
//! if their files have changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parallax_images::Recipes;
use parallax_language::fixture::{Contributions, Source};
use parallax_language::scenario::diagnostic;
use parallax_plan::{EnvironmentPlan, Plan};
use parallax_vocab::VariantId;
use serde_json::Value;
use tokio::sync::Mutex;

use super::objects::{Complete, Unmade, complete};
use super::steady;
use crate::cli::args::HostPrograms;
use crate::render::{Inputs, RenderError, sources};
use crate::run::standing::{Answer, Reload, Renewed};

/// What a kept variant is read from, and what was made of its charts and kustomizations last.
struct Kept {
    root: PathBuf,
    variant: VariantId,
    /// The environment that stands. It cannot become another one.
    environment: Value,
    allowed: Option<HostPrograms>,
    recipes: Recipes,
    rendered: Mutex<Rendered>,
}

/// The objects that `helm` and `kustomize` made, and what they were made of.
struct Rendered {
    sources: Vec<Source>,
    inputs: Inputs,
    /// The contributions of each fixture that has a chart or a kustomization.
    made: BTreeMap<String, Contributions>,
}

/// Returns a function that reads the project again and returns the changed plan of the variant, with the objects of its
/// charts and kustomizations. The environment that is kept can follow changed objects, and no other change. Therefore
/// the returned function fails if the new plan needs a different environment.
pub fn reload(
    root: &Path,
    variant: &VariantId,
    (plan, complete): (&Plan, &Complete),
    (allowed, recipes): (Option<HostPrograms>, &Recipes),
) -> Reload {
    let kept = Arc::new(Kept {
        root: root.to_owned(),
        variant: variant.clone(),
        environment: environment(plan),
        allowed,
        recipes: recipes.clone(),
        rendered: Mutex::new(Rendered::of(complete)),
    });
    Reload(Arc::new(move || {
        let kept = Arc::clone(&kept);
        Box::pin(async move { kept.renewed().await })
    }))
}

impl Rendered {
    fn of(complete: &Complete) -> Self {
        let sources = sources(&complete.plan).map(without_place).collect();
        let made = only_environment(&complete.plan).map(|it| it.fixtures.clone()).unwrap_or_default();
        let made = made.into_iter().filter(|(_, it)| !it.sources.is_empty()).collect();
        Self { sources, inputs: complete.inputs.clone(), made }
    }
}

impl Kept {
    async fn renewed(self: Arc<Self>) -> Result<Renewed, Answer> {
        let this = Arc::clone(&self);
        // Reading the project's files and planning the run blocks the thread, so both are done on a thread of their own.
        let (plan, inputs) = match tokio::task::spawn_blocking(move || this.planned()).await {
            Ok(planned) => planned.map_err(Answer::No)?,
            Err(error) => return Err(Answer::Failed(error.to_string())),
        };
        let mut kept = Vec::new();
        let mut rendered = self.rendered.lock().await;
        let now: Vec<Source> = sources(&plan).map(without_place).collect();
        if rendered.sources != now || rendered.inputs != inputs {
            let make = async || complete(&self.root, &plan, &self.recipes, self.allowed).await.map_err(answer);
            let mut new = Rendered::of(&make().await?);
            let again = Rendered::of(&make().await?);
            for (id, made) in &mut new.made {
                let (Some(old), Some(again)) = (rendered.made.get(id), again.made.get(id)) else { continue };
                kept.extend(steady::keep(old, made, again));
            }
            *rendered = new;
        }
        let variant = only_environment(&plan).and_then(|it| it.variants.first()).cloned();
        let variant = variant.ok_or_else(|| Answer::No(format!("{} is gone from the project", self.variant)))?;
        Ok(Renewed { variant, made: rendered.made.clone(), kept })
    }

    /// Returns the plan of the variant as its files are now, and the files of its charts and kustomizations.
    fn planned(&self) -> Result<(Plan, Inputs), String> {
        let (project, mut diagnostics) = super::project::read(&self.root, &[]);
        // Mistakes in other scenarios are ignored, because they do not concern this variant.
        let file = format!("scenarios/{}/scenario.yaml", self.variant.scenario());
        diagnostics.retain(|it| it.file == file || !it.file.starts_with("scenarios/"));
        if !diagnostics.is_empty() {
            return Err(diagnostic::render(&diagnostics, false));
        }
        let only = std::slice::from_ref(&self.variant);
        super::check_host_programs(&project, only, self.allowed).map_err(|error| error.to_string())?;
        let selected = [self.variant.clone()].into_iter().collect();
        let plan = parallax_plan::build(&project.library, &project.scenarios, &selected);
        let plan = plan.map_err(|error| error.to_string())?;
        if environment(&plan) != self.environment {
            return Err("fixtures, vantages or traits changed, and the kept variant cannot follow; `parallax down`, then `parallax up` again".to_owned());
        }
        let inputs = Inputs::read(&plan, &self.root).map_err(|error| error.to_string())?;
        Ok((plan, inputs))
    }
}

/// The answer for objects that cannot be made. The environment stays as it is.
fn answer(error: Unmade) -> Answer {
    let text = format!("the environment stays as it is: {error}");
    match error {
        Unmade::Objects(RenderError::Missing { .. } | RenderError::Machine { .. }) => Answer::Failed(text),
        Unmade::Objects(RenderError::Objects { diagnostics, .. }) => {
            Answer::No(format!("{text}\n{}", diagnostic::render(&diagnostics, false).trim_end()))
        }
        Unmade::Objects(_) => Answer::No(text),
        Unmade::Lock(error) => Answer::No(error.to_string()),
    }
}

fn only_environment(plan: &Plan) -> Option<&EnvironmentPlan> {
    plan.clusters.first()?.environments.first()
}

/// The source without the line that names it. An edit above that line changes nothing that the program sees.
fn without_place(source: &Source) -> Source {
    let mut source = source.clone();
    source.folder.at = String::new();
    source
}

/// Returns the clusters of a plan without their variants, as JSON. The result describes only the environment, without
/// what `helm` and `kustomize` are asked to make: that the environment can follow. If the result is equal for two plans,
/// both need the same environment.
fn environment(plan: &Plan) -> Value {
    let mut clusters = serde_json::to_value(&plan.clusters).unwrap_or_default();
    for cluster in clusters.as_array_mut().into_iter().flatten() {
        for environment in cluster["environments"].as_array_mut().into_iter().flatten() {
            if let Some(environment) = environment.as_object_mut() {
                environment.remove("variants");
            }
            let fixtures = environment["fixtures"].as_object_mut().into_iter().flat_map(|it| it.values_mut());
            for source in fixtures.filter_map(|it| it.get_mut("sources")?.as_array_mut()).flatten() {
                // What remains decides which images the nodes have, and whether others share the cluster.
                if let Some(source) = source.as_object_mut() {
                    source.retain(|key, _| key == "images" || key == "cluster-wide");
                }
            }
        }
    }
    clusters
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn an_environment_can_follow_its_charts_and_not_their_images() {
        let plan = |chart: &str, values: &str, images: &str, line: &str| {
            let text = format!(
                "{line}name: s\nsummary: A chart\nfixtures:\n  app: {{ use: helm, chart: {chart}, values: {values}, images: [{images}] }}\n\
                 flow:\n  - {{ id: a, resource: {{ api-version: v1, kind: ConfigMap, name: a }}, expect: {{ absent: true }} }}\n"
            );
            let library = parallax_language::fixture::Library::shipped();
            let loaded = parallax_language::scenario::Loaded::read(&library, "s", "s.yaml", text.as_bytes());
            let loaded = loaded.expect("no mistake");
            let selected = [loaded.variants[0].id.clone()].into_iter().collect();
            parallax_plan::build(&library, &[loaded], &selected).expect("a plan")
        };
        let stands = plan("charts/app", "{}", "busybox", "");
        let now = |plan: &Plan| sources(plan).map(without_place).collect::<Vec<_>>();
        for (other, follows, same) in [
            (plan("charts/app", "{}", "busybox", "# a line\n"), true, true),
            (plan("charts/app", "{ a: 1 }", "busybox", ""), true, false),
            (plan("charts/other", "{}", "busybox", ""), true, false),
            (plan("charts/app", "{}", "minio", ""), false, false),
        ] {
            assert_eq!(environment(&other) == environment(&stands), follows, "{other:?}");
            assert_eq!(now(&other) == now(&stands), same, "{other:?}");
        }
    }
}
