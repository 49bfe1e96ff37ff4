//! Makes the objects that fixtures take from `helm` and `kustomize`, before anything of a run starts.
//!
//! **Architecture Invariant:** only a run with `--allow-host-programs` comes here; `lint` and `plan` start no program. The
//! program sees a copy of the files that the scenario names, its shared libraries, and nothing else of the machine: no other
//! file, no other process, and no network. With `--allow-host-programs=unconfined`, it sees the whole machine.

mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parallax_language::fixture::{Maker, Scopes, Source};
use parallax_language::scenario::Diagnostic;
use parallax_plan::Plan;
use parallax_provision::{ProvisionError, Tool, Use, ensure_tool};
use parallax_record::Sink;

use program::Command;

/// Why the objects of a fixture cannot be made. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The program is not on this machine.
    #[error("{at}: {source}; {fix}", fix = .source.fix().unwrap_or_default())]
    Missing {
        /// The place in the scenario that needs the program.
        at: String,
        /// The missing program, and how to install it.
        source: ProvisionError,
    },
    /// A file of the project cannot be used.
    #[error("{at}: `{path}` {why}")]
    Files {
        /// The place in the scenario that names the path.
        at: String,
        /// The path in the project.
        path: String,
        /// The reason and the fix.
        why: String,
    },
    /// The program failed, took too long, or wrote too much.
    #[error("{at}: `{command}` {how}{fix}{}", said(.words))]
    Failed {
        /// The place in the scenario that asks for the objects.
        at: String,
        /// The command as the user would type it.
        command: String,
        /// What happened.
        how: String,
        /// The program's own words, with paths of the project.
        words: String,
        /// What helps, after `; `. Empty if only the program's words help.
        fix: &'static str,
    },
    /// The objects are not permitted in this scenario.
    #[error("{at}: {} mistakes in what `{command}` made", .diagnostics.len())]
    Objects {
        /// The place in the scenario that asks for the objects.
        at: String,
        /// The command as the user would type it.
        command: String,
        /// The mistakes.
        diagnostics: Vec<Diagnostic>,
    },
    /// This machine failed: the program did not start, did not end in time, or was ended by a signal.
    #[error("`{command}` {why}")]
    Machine {
        /// The command as the user would type it.
        command: String,
        /// The reason.
        why: String,
    },
}

fn said(words: &str) -> String {
    words.lines().fold(String::new(), |text, line| text + "\n  " + line)
}

/// The settings of [`render`].
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The project's folder.
    pub project: &'a Path,
    /// Whether the program sees nothing of the machine: no other file, no other process, and no network.
    pub apart: bool,
    /// The name of each image of images.lock, by its published reference.
    pub published: &'a BTreeMap<String, String>,
}

/// Adds to a plan the objects that `helm` and `kustomize` make of the project's files.
///
/// # Errors
/// Returns the first reason why the objects cannot be made. All programs are looked for before the first one runs.
pub async fn render(plan: &mut Plan, settings: &Settings<'_>) -> Result<(), RenderError> {
    let mut programs: BTreeMap<bool, (PathBuf, bool)> = BTreeMap::new();
    let environments = || plan.clusters.iter().flat_map(|it| &it.environments);
    for source in environments().flat_map(|it| it.fixtures.values()).flat_map(|it| &it.sources) {
        if let std::collections::btree_map::Entry::Vacant(entry) = programs.entry(is_helm(source)) {
            entry.insert(find(source).await?);
        }
    }
    for environment in plan.clusters.iter_mut().flat_map(|it| &mut it.environments) {
        let mut outputs = Vec::new();
        for (id, contributions) in &environment.fixtures {
            for source in &contributions.sources {
                let (program, is_kubectl) = &programs[&is_helm(source)];
                let output = run(source, &environment.namespace, (program, *is_kubectl), settings).await?;
                let objects = source.objects(&output, settings.published).map_err(|them| wrong(source, them))?;
                outputs.push((id.clone(), source.clone(), objects));
            }
        }
        // A custom kind may be defined by another fixture, or by a step.
        let scenarios = environment.variants.iter().map(|it| &it.variant.scenario);
        let scopes = Scopes::in_use(environment.fixtures.values(), scenarios)
            .with(outputs.iter().flat_map(|(_, _, objects)| objects).map(|it| &it.manifest));
        for (id, source, objects) in outputs {
            let made = source.made(objects, &environment.namespace, &scopes).map_err(|them| wrong(&source, them))?;
            let contributions = environment.fixtures.entry(id).or_default();
            contributions.objects.extend(made.objects);
            contributions.cluster_objects.extend(made.cluster_objects);
        }
    }
    Ok(())
}

fn wrong(source: &Source, diagnostics: Vec<Diagnostic>) -> RenderError {
    RenderError::Objects { at: source.folder.at.clone(), command: source.command(), diagnostics }
}

fn is_helm(source: &Source) -> bool {
    matches!(source.maker, Maker::Helm { .. })
}

/// Finds the program of a source, and whether it is `kubectl` in place of `kustomize`.
async fn find(source: &Source) -> Result<(PathBuf, bool), RenderError> {
    let find = async |tool| ensure_tool(tool, Use::Objects, false, &Sink::silent()).await;
    let missing = |error| RenderError::Missing { at: source.folder.at.clone(), source: error };
    if is_helm(source) {
        return find(Tool::Helm).await.map(|path| (path, false)).map_err(missing);
    }
    match find(Tool::Kustomize).await {
        Ok(path) => Ok((path, false)),
        Err(error) => find(Tool::Kubectl).await.map(|path| (path, true)).map_err(|_| missing(error)),
    }
}

/// Runs the program of a source on a copy of its files. Returns what the program wrote.
async fn run(
    source: &Source,
    namespace: &str,
    (program, is_kubectl): (&Path, bool),
    settings: &Settings<'_>,
) -> Result<String, RenderError> {
    let files = source.files(settings.project).map_err(|error| RenderError::Files {
        at: source.folder.at.clone(),
        path: error.path,
        why: format!("{}; {}", error.message, error.fix),
    })?;
    let command = Command { program, arguments: arguments(source, namespace, is_kubectl), apart: settings.apart };
    let values = match &source.maker {
        Maker::Helm { values, .. } => serde_json::to_vec(values).unwrap_or_default(),
        Maker::Kustomize { .. } => Vec::new(),
    };
    let ended = command.run(&files, &values).await;
    let ended = ended.map_err(|why| RenderError::Machine { command: source.command(), why })?;
    ended.map_err(|(how, words)| RenderError::Failed {
        at: source.folder.at.clone(),
        command: source.command(),
        how,
        fix: fix(&words),
        words,
    })
}

/// The program's arguments. The program runs in the copy of the project, whose paths are the project's own. Each path
/// begins with `./`: Helm would take `a/b` for a chart of a repository and `http:/…` for an address.
fn arguments(source: &Source, namespace: &str, is_kubectl: bool) -> Vec<String> {
    let path = format!("./{}", source.folder.path);
    let own: Vec<&str> = match &source.maker {
        Maker::Helm { release, values_files, .. } => {
            let mut all = ["template", "--include-crds", "--namespace", namespace].map(str::to_owned).to_vec();
            let files = values_files.iter().map(|file| format!("./{file}"));
            for file in files.chain([program::VALUES.to_owned()]) {
                all.extend(["--values".to_owned(), file]);
            }
            all.extend(["--".to_owned(), release.clone(), path]);
            return all;
        }
        Maker::Kustomize { .. } if is_kubectl => vec!["kustomize", "--", &path],
        Maker::Kustomize { .. } => vec!["build", "--", &path],
    };
    own.into_iter().map(str::to_owned).collect()
}

/// What helps against an error that the programs do not explain by themselves.
fn fix(words: &str) -> &'static str {
    if words.contains("missing in charts/") {
        return "; `helm dependency build` puts charts into the chart's folder `charts`: nothing is downloaded in a run";
    }
    if words.contains("security; file") || words.contains("must build at directory") {
        return "; `within` names the folder of the project that contains all files of the kustomization";
    }
    ""
}

#[cfg(test)]
mod tests {
    use parallax_language::fixture::ProjectFile;
    use serde_json::Map;

    use super::*;

    #[test]
    fn the_arguments_name_paths_of_the_project_and_the_variants_namespace() {
        let maker =
            Maker::Helm { release: "r".to_owned(), values: Map::new(), values_files: vec!["a.yaml".to_owned()] };
        let folder = ProjectFile { path: "charts/app".to_owned(), at: "s.yaml:4".to_owned() };
        let helm = Source { folder, maker, images: Vec::new(), cluster_wide: false };
        let expected =
            "template --include-crds --namespace ns --values ./a.yaml --values ../values.json -- r ./charts/app";
        assert_eq!(arguments(&helm, "ns", false).join(" "), expected);
        let kustomize = Source { maker: Maker::Kustomize { within: "charts".to_owned() }, ..helm };
        assert_eq!(arguments(&kustomize, "ns", false), ["build", "--", "./charts/app"]);
        assert_eq!(arguments(&kustomize, "ns", true), ["kustomize", "--", "./charts/app"]);
    }
}
