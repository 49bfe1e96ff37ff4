//! Makes the objects that fixtures take from `helm` and `kustomize`, before anything of a run starts.
//!
//! **Architecture Invariant:** only a run with `--allow-host-programs` comes here; `lint` and `plan` start no program. The
//! program sees a copy of the files that the scenario names, its shared libraries, and nothing else of the machine: no other
//! file, no other process, and no network. With `--allow-host-programs=unconfined`, it sees the whole machine.

mod program;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use parallax_images::digest::Fields;
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
    /// Another machine made the objects, but not these, and no program may run on this one.
    #[error(
        "{at}: the objects of `{command}` are not among those that `shards` made, because the files or the version of Parallax differ; --allow-host-programs makes them here"
    )]
    NotMade {
        /// The place in the scenario that asks for the objects.
        at: String,
        /// The command as the user would type it.
        command: String,
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
    /// Whether the program sees nothing of the machine: no other file, no other process, and no network.
    pub apart: bool,
    /// The name of each image of images.lock, by its published reference.
    pub published: &'a BTreeMap<String, String>,
    /// The folder with what the programs wrote on another machine ([`outputs`]). No program runs for what it has.
    pub ready_made: Option<&'a Path>,
    /// Whether the user has allowed the programs.
    pub may_run: bool,
}

/// The files of a project of which `helm` and `kustomize` make objects, by the paths that name them. The variants of a
/// scenario have the same few charts, so each is read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs(BTreeMap<(String, Vec<String>), BTreeMap<String, Vec<u8>>>);

impl Inputs {
    /// Reads the files for all objects of a plan.
    ///
    /// # Errors
    /// Returns the first path that cannot be used.
    pub fn read(plan: &Plan, project: &Path) -> Result<Self, RenderError> {
        let mut inputs = BTreeMap::new();
        for source in sources(plan) {
            if let Entry::Vacant(entry) = inputs.entry(Self::key(source)) {
                entry.insert(source.files(project).map_err(|error| RenderError::Files {
                    at: source.folder.at.clone(),
                    path: error.path,
                    why: format!("{}; {}", error.message, error.fix),
                })?);
            }
        }
        Ok(Self(inputs))
    }

    fn key(source: &Source) -> (String, Vec<String>) {
        (source.folder.path.clone(), source.paths())
    }

    /// All files: the path, relative to the project's folder, and the content.
    pub fn files(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.0.values().flatten()
    }

    /// The name of what a program writes for a source and a namespace. The name depends on all that the program sees.
    fn name(&self, source: &Source, namespace: &str) -> String {
        let mut fields = Fields::new("rendered 1");
        let command = arguments(source, namespace, false).join("\0");
        let values = values(source);
        for (name, value) in [("namespace", namespace.as_bytes()), ("command", command.as_bytes()), ("values", &values)]
        {
            fields.add(name, value);
        }
        self.of(source).iter().for_each(|(path, content)| fields.add(path, content));
        format!("{}.yaml", fields.finish())
    }

    fn of(&self, source: &Source) -> &BTreeMap<String, Vec<u8>> {
        static NONE: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        self.0.get(&Self::key(source)).unwrap_or(&NONE)
    }
}

/// The charts and kustomizations of a plan.
pub fn sources(plan: &Plan) -> impl Iterator<Item = &Source> {
    let environments = plan.clusters.iter().flat_map(|it| &it.environments);
    environments.flat_map(|it| it.fixtures.values()).flat_map(|it| &it.sources)
}

/// Adds to a plan the objects that `helm` and `kustomize` make of the project's files.
///
/// # Errors
/// Returns the first reason why the objects cannot be made. All programs are looked for before the first one runs.
pub async fn render(plan: &mut Plan, inputs: &Inputs, settings: &Settings<'_>) -> Result<(), RenderError> {
    let outputs_of_plan = outputs(plan, inputs, settings).await?;
    for environment in plan.clusters.iter_mut().flat_map(|it| &mut it.environments) {
        let mut outputs = Vec::new();
        for (id, contributions) in &environment.fixtures {
            for source in &contributions.sources {
                let output = &outputs_of_plan[&inputs.name(source, &environment.namespace)];
                let objects = source.objects(output, settings.published).map_err(|them| wrong(source, them))?;
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

/// Runs the programs for a plan, and returns what they write, by a name that depends on all that they see. Environments
/// for which a program sees the same get the same.
///
/// # Errors
/// Returns the first reason why a program does not write it. All programs are looked for before the first one runs.
pub async fn outputs(
    plan: &Plan,
    inputs: &Inputs,
    settings: &Settings<'_>,
) -> Result<BTreeMap<String, String>, RenderError> {
    let environments = plan.clusters.iter().flat_map(|it| &it.environments);
    let wanted = environments.flat_map(|it| it.fixtures.values().map(move |fixture| (&it.namespace, &fixture.sources)));
    let wanted = wanted.flat_map(|(namespace, sources)| sources.iter().map(move |source| (source, namespace)));
    let mut outputs = BTreeMap::new();
    // The first place that asks for something is reported, so the order of the plan matters.
    let mut missing: Vec<(String, &Source, &String)> = Vec::new();
    for (source, namespace) in wanted {
        let name = inputs.name(source, namespace);
        let ready_made = settings.ready_made.and_then(|folder| std::fs::read_to_string(folder.join(&name)).ok());
        match ready_made {
            Some(output) => drop(outputs.insert(name, output)),
            None if missing.iter().any(|(known, _, _)| *known == name) => {}
            None => missing.push((name, source, namespace)),
        }
    }
    if let Some((_, source, _)) = missing.first().filter(|_| !settings.may_run) {
        return Err(RenderError::NotMade { at: source.folder.at.clone(), command: source.command() });
    }
    let mut programs: BTreeMap<bool, (PathBuf, bool)> = BTreeMap::new();
    for (_, source, _) in &missing {
        if let Entry::Vacant(entry) = programs.entry(is_helm(source)) {
            entry.insert(find(source).await?);
        }
    }
    for (name, source, namespace) in missing {
        let (program, is_kubectl) = &programs[&is_helm(source)];
        outputs.insert(name, run((source, inputs), namespace, (program, *is_kubectl), settings).await?);
    }
    Ok(outputs)
}

/// The values that a scenario gives to a chart, as `helm` reads them.
fn values(source: &Source) -> Vec<u8> {
    match &source.maker {
        Maker::Helm { values, .. } => serde_json::to_vec(values).unwrap_or_default(),
        Maker::Kustomize { .. } => Vec::new(),
    }
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
    (source, inputs): (&Source, &Inputs),
    namespace: &str,
    (program, is_kubectl): (&Path, bool),
    settings: &Settings<'_>,
) -> Result<String, RenderError> {
    let command = Command { program, arguments: arguments(source, namespace, is_kubectl), apart: settings.apart };
    let ended = command.run(inputs.of(source), &values(source)).await;
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

    #[tokio::test]
    async fn what_another_machine_made_is_taken_only_for_the_same_files_values_and_namespace() {
        let text = |values: &str| {
            format!(
                "name: s\nsummary: A chart\nfixtures:\n  app: {{ use: helm, chart: charts/app, values: {values} }}\n\
                 flow:\n  - {{ id: a, resource: {{ api-version: v1, kind: ConfigMap, name: a }}, expect: {{ absent: true }} }}\n"
            )
        };
        let library = parallax_language::fixture::Library::shipped();
        let plan = |values: &str| {
            let loaded = parallax_language::scenario::Loaded::read(&library, "s", "s.yaml", text(values).as_bytes());
            let loaded = loaded.expect("no mistake");
            let selected = [loaded.variants[0].id.clone()].into_iter().collect();
            parallax_plan::build(&library, &[loaded], &selected).expect("a plan")
        };
        let home = tempfile::tempdir().expect("a folder");
        let chart = home.path().join("charts/app");
        std::fs::create_dir_all(&chart).expect("made");
        std::fs::write(chart.join("Chart.yaml"), "name: app").expect("written");
        let inputs = Inputs::read(&plan("{}"), home.path()).expect("readable");
        let made = home.path().join("made");
        std::fs::create_dir(&made).expect("made");
        let name = |plan: &Plan, inputs: &Inputs| {
            let source = sources(plan).next().expect("a source");
            inputs.name(source, &plan.clusters[0].environments[0].namespace)
        };
        let own = name(&plan("{}"), &inputs);
        let object = "{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }";
        std::fs::write(made.join(&own), object).expect("written");
        let published = BTreeMap::new();
        let settings = Settings { apart: true, published: &published, ready_made: Some(&made), may_run: false };
        let mut complete = plan("{}");
        render(&mut complete, &inputs, &settings).await.expect("no program is needed");
        assert_eq!(complete.clusters[0].environments[0].fixtures["app"].objects.len(), 1);
        let refused = render(&mut plan("{ a: 1 }"), &inputs, &settings).await.expect_err("not made");
        assert!(
            refused.to_string().contains("s.yaml:4: the objects of `helm template app charts/app` are not"),
            "{refused}"
        );
        let mut elsewhere = plan("{}");
        elsewhere.clusters[0].environments[0].namespace = "other".to_owned();
        assert_ne!(name(&elsewhere, &inputs), own);
        std::fs::write(chart.join("values.yaml"), "a: 1").expect("written");
        let changed = Inputs::read(&plan("{}"), home.path()).expect("readable");
        assert_ne!(name(&plan("{}"), &changed), own);
    }
}
