//! The functions behind the commands that only read the project's files.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use parallax_vocab::event::Exit;
use parallax_vocab::{VariantId, inert};

use crate::cli::args::{Lint, Plan, Shard};
use crate::cli::filter::{self, Candidate, FilterError};
use crate::cli::wiring::past::Past;
use crate::cli::{CliError, printer};
use parallax_images::{Lock, Recipes};
use parallax_language::fixture::{Fixture, Library};
use parallax_language::scenario::diagnostic::suggest;
use parallax_language::scenario::{self, Diagnostic, Loaded, Variant, diagnostic};
use parallax_plan::{AtOnce, Namespaces, Order, PlanError};
use parallax_record::Noted as _;

/// One variant in the output of `parallax list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The id of the variant, which is a baseline or a break.
    pub variant: VariantId,
    /// The summary of the scenario or of the break.
    pub summary: String,
    /// The scenario's labels.
    pub labels: Vec<String>,
    /// The path of the scenario file, relative to the project.
    pub file: String,
}

/// A project whose files have no mistakes.
#[derive(Debug)]
pub struct Project {
    /// The root folder of the project.
    pub root: PathBuf,
    /// The fixtures that the project can use.
    pub library: Library,
    /// The project's scenarios, sorted by path.
    pub scenarios: Vec<Loaded>,
}

impl Project {
    /// Reads all scenarios and fixtures of the project. If the files contain mistakes, prints the mistakes and returns
    /// a usage error.
    pub fn load(root: &Path) -> Result<Self, CliError> {
        let (project, mut diagnostics) = read(root, &[]);
        // The user may choose the images.lock that Parallax ships (`--lock shipped`). Therefore an image is unknown
        // only if neither the project's images.lock nor the shipped one lists it. If the project's file contains a
        // mistake, this is reported later, when the file is used.
        let own = Lock::listed(&Recipes::of(root.to_owned())).noted("read the project's images.lock");
        let shipped = Lock::listed(&Recipes::shipped())?;
        let known = own.iter().chain([&shipped]).flat_map(Lock::names).collect::<Vec<_>>();
        diagnostics.extend(unknown_images(&project, &known));
        diagnostics.extend(super::objects::mistakes(&project, &known));
        if diagnostics.is_empty() {
            return Ok(project);
        }
        show(&diagnostics);
        Err(CliError::Usage(count(&diagnostics)))
    }

    /// Returns every variant. Scenarios are sorted by path, and each baseline is before its breaks.
    pub fn list(&self) -> Vec<Listed> {
        let variants = self.scenarios.iter().flat_map(|loaded| loaded.variants.iter().map(move |it| (loaded, it)));
        let listed = variants.map(|(loaded, variant)| Listed {
            variant: variant.id.clone(),
            summary: variant.summary.clone(),
            labels: loaded.scenario.labels.clone(),
            file: loaded.file.clone(),
        });
        listed.collect()
    }

    /// Returns the ids of the steps in the flow of a variant.
    pub fn steps(&self, variant: &VariantId) -> Vec<String> {
        let variants = self.scenarios.iter().flat_map(|it| &it.variants).filter(|it| it.id == *variant);
        variants.flat_map(|it| &it.scenario.flow).map(|it| it.id.clone()).collect()
    }

    /// Returns the ids of the vantages of a variant at which the user can run programs. A vantage whose pod names no
    /// image is left out, because such a pod contains only the agent.
    pub fn vantages_with_programs(&self, variant: &VariantId) -> Vec<String> {
        let variants = self.scenarios.iter().flat_map(|it| &it.variants).filter(|it| it.id == *variant);
        let vantages = variants.flat_map(|it| &it.scenario.vantages);
        vantages.filter(|(_, it)| it.image().is_some() || it.pod.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// Returns the variants that the query selects.
    pub fn select(&self, query: &filter::Query) -> Result<Vec<VariantId>, FilterError> {
        let is_store = |name: &str| self.library.get(name).is_some_and(Fixture::is_store);
        if let Some(store) = query.stores.iter().find(|it| !is_store(it)) {
            let known = self.library.names().filter(|name| is_store(name)).map(str::to_owned).collect();
            return Err(FilterError::NoStore { store: store.clone(), known });
        }
        let candidates = self.scenarios.iter().flat_map(|loaded| {
            loaded.variants.iter().map(|variant| {
                let fixtures = variant.scenario.fixtures.values().map(|it| it.fixture.as_str()).collect();
                Candidate { id: &variant.id, labels: &loaded.scenario.labels, fixtures }
            })
        });
        filter::select(query, &candidates.collect::<Vec<_>>())
    }
}

pub(super) fn read(root: &Path, paths: &[PathBuf]) -> (Project, Vec<Diagnostic>) {
    let (library, mut diagnostics) = Library::load(root);
    let (mut scenarios, errors) = scenario::load(&library, root, paths);
    diagnostics.extend(errors);
    scenarios.sort_by(|a, b| a.path.cmp(&b.path));
    (Project { root: root.to_owned(), library, scenarios }, diagnostics)
}

/// Returns a diagnostic for each vantage whose image is not one of `known`.
fn unknown_images(project: &Project, known: &[&str]) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for loaded in &project.scenarios {
        // Most breaks have the same vantages as their baseline, and so the same mistakes. Each mistake is reported
        // only once.
        let mut told = BTreeSet::new();
        for variant in &loaded.variants {
            for (vantage, image) in &variant.scenario.vantages {
                let Some(image) = image.image().filter(|it| !known.contains(it)) else { continue };
                if told.insert((vantage, image)) {
                    let mark = loaded.document.mark(&place_of_image(loaded, variant, vantage));
                    let error =
                        loaded.document.source.error(&mark, format!("no image is called `{image}` in images.lock"));
                    mistakes.push(error.fix(suggest(image, known.iter().copied(), "it lists")));
                }
            }
        }
    }
    mistakes
}

/// Returns the JSON pointer to the place in the scenario's file at which the image of a vantage is written: in the
/// change of the variant, or else in the scenario itself.
fn place_of_image(loaded: &Loaded, variant: &Variant, vantage: &str) -> String {
    let changes = variant.break_id.iter().flat_map(|id| ["breaks", "variants"].map(|it| format!("/{it}/{id}/change")));
    let images = changes.chain([String::new()]).flat_map(|root| {
        let vantage = format!("{root}/vantages/{vantage}");
        [format!("{vantage}/pod/image"), format!("{vantage}/outside/image")]
    });
    images.into_iter().find(|it| loaded.document.has(it)).unwrap_or_default()
}

fn show(diagnostics: &[Diagnostic]) {
    let terminal = std::io::stderr().is_terminal();
    printer::word(diagnostic::render(diagnostics, terminal).trim_end());
}

fn count(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.len() {
        1 => "1 mistake in the project's files; nothing was started".to_owned(),
        n => format!("{n} mistakes in the project's files; nothing was started"),
    }
}

/// Checks files and prints each mistake. Also computes the plan of all scenarios, because some mistakes are found only
/// in the plan.
pub fn lint(root: &Path, args: &Lint) -> Result<Exit, CliError> {
    // An argument that is an existing file or folder is a path. Any other argument selects scenarios.
    let (paths, filters): (Vec<&String>, Vec<&String>) = args.paths.iter().partition(|it| Path::new(it).exists());
    let looks_like_a_path = |it: &&&String| it.starts_with('/') || it.starts_with("./") || it.starts_with("../");
    if let Some(missing) = filters.iter().find(looks_like_a_path) {
        return Err(CliError::Usage(format!("{missing} is not there")));
    }
    let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
    // The files to check are those on the command line and those of the selected scenarios. If there are filters, all
    // files are read first, because a filter also matches scenarios that cannot be read.
    let (mut project, mut diagnostics) =
        if paths.is_empty() || !filters.is_empty() { read(root, &[]) } else { read(root, &paths) };
    let real = |path: &Path| path.canonicalize().ok();
    // Names of files in the project are relative to the project's root. Names of other files are relative to the
    // current folder.
    let is_in = |file: &str, path: &Path| {
        let files = [real(&root.join(file)), real(Path::new(file))];
        real(path).is_some_and(|path| files.iter().flatten().any(|file| file.starts_with(&path)))
    };
    let files = || project.scenarios.iter().map(|it| &it.file).chain(diagnostics.iter().map(|it| &it.file));
    // Whether a path is in the folder of fixtures. Such a path contains no scenario, but it is accepted, because all
    // fixtures have been read together with the project.
    let of_fixtures =
        |path: &Path| real(path).zip(real(&root.join("fixtures"))).is_some_and(|(path, all)| path.starts_with(all));
    if let Some(empty) = paths.iter().find(|path| !of_fixtures(path) && !files().any(|file| is_in(file, path))) {
        return Err(CliError::Usage(format!("{} contains no scenario", empty.display())));
    }
    if diagnostics.is_empty() && !args.labels.is_empty() {
        // Fails if the user gave a label that no scenario of the whole project has.
        let whole = if paths.is_empty() || !filters.is_empty() { None } else { Some(read(root, &[]).0) };
        let query = filter::Query { labels: args.labels.clone(), ..filter::Query::default() };
        whole.as_ref().unwrap_or(&project).select(&query)?;
    }
    if !filters.is_empty() {
        let named = |file: &str| paths.iter().any(|path| is_in(file, path));
        let scenario =
            |file: &'_ str| file.strip_prefix("scenarios/")?.strip_suffix("/scenario.yaml").map(str::to_owned);
        // The variants of a scenario that cannot be read are unknown. So a filter is compared only with the name of
        // this scenario.
        let unread: BTreeSet<String> = diagnostics.iter().filter_map(|it| scenario(&it.file)).collect();
        let mut chosen = BTreeSet::new();
        for filter in filters {
            let unread: Vec<&String> = unread.iter().filter(|name| filter::means(filter, name)).collect();
            let query = filter::Query { filters: vec![filter.clone()], ..filter::Query::default() };
            match project.select(&query) {
                Ok(variants) => chosen.extend(variants.iter().map(|it| it.scenario().to_owned())),
                Err(error) if unread.is_empty() => return Err(error.into()),
                Err(_) => {}
            }
            chosen.extend(unread.into_iter().cloned());
        }
        let meant = |file: &str| named(file) || scenario(file).is_some_and(|it| chosen.contains(&it));
        project.scenarios.retain(|it| meant(&it.file));
        diagnostics.retain(|it| meant(&it.file) || !it.file.starts_with("scenarios/"));
    }
    project.scenarios.retain(|it| filter::has_labels(&args.labels, &it.scenario.labels));
    if project.scenarios.is_empty() && diagnostics.is_empty() && !paths.iter().any(|path| of_fixtures(path)) {
        let because = "the labels leave out all of it";
        return Err(
            if args.labels.is_empty() { FilterError::Nothing } else { FilterError::NothingLeft { because } }.into()
        );
    }
    let lock = Lock::listed(&Recipes::of(root.to_owned()))?;
    let known = lock.names().collect::<Vec<_>>();
    diagnostics.extend(unknown_images(&project, &known));
    diagnostics.extend(super::objects::mistakes(&project, &known));
    if !diagnostics.is_empty() {
        show(&diagnostics);
        printer::word(&count(&diagnostics));
        return Ok(Exit::Usage);
    }
    let selected: BTreeSet<VariantId> = project.list().into_iter().map(|it| it.variant).collect();
    parallax_plan::check(&project.library, &project.scenarios, &selected).map_err(|error| shown(&error))?;
    let warnings: Vec<Diagnostic> = project.scenarios.iter().flat_map(|it| it.warnings.iter().cloned()).collect();
    if !warnings.is_empty() {
        show(&warnings);
    }
    let breaks: usize = project.scenarios.iter().map(|it| it.variants.len().saturating_sub(1)).sum();
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    let scenarios = project.scenarios.len();
    printer::data(&format!(
        "{scenarios} scenario{} and {breaks} break{} are in order{}\n",
        plural(scenarios),
        plural(breaks),
        warned(warnings.len())
    ));
    printer::data(&inert(&on_this_machine(&project, &selected.into_iter().collect::<Vec<_>>())));
    Ok(if args.deny_warnings && !warnings.is_empty() { Exit::Usage } else { Exit::AsExpected })
}

fn warned(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        n => format!(", with {n} warnings"),
    }
}

/// Returns the plan and its expected duration, as text or as JSON.
pub fn plan(project: &Project, selected: &[VariantId], args: &Plan) -> Result<String, CliError> {
    let at_once = super::at_once(args.at_once);
    let plan = arranged(project, selected, args.shuffle, at_once, Namespaces::Each)?;
    let expected = plan.expected(&Past::of(&project.root).took, at_once);
    if args.json {
        let images: BTreeSet<String> = crate::run::wants(&plan).into_iter().map(|want| want.name).collect();
        let order: Vec<&VariantId> = plan.variants().map(|(.., variant)| &variant.id).collect();
        let whole = serde_json::json!({
            "images": images,
            "clusters": plan.clusters,
            "order": order,
            "expected-seconds": expected,
            "host-programs": super::consent::host_programs(project, selected).iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&whole).map_err(|error| CliError::Harness(error.to_string()))?;
        return Ok(format!("{text}\n"));
    }
    Ok(parallax_plan::show(&plan, &expected) + &on_this_machine(project, selected))
}

/// Returns the programs that would run on this machine itself, one in each line. The text is empty if there are none.
fn on_this_machine(project: &Project, selected: &[VariantId]) -> String {
    let programs = super::consent::host_programs(project, selected);
    let lines = programs.iter().fold(String::new(), |lines, it| lines + &format!("  {it}\n"));
    if lines.is_empty() {
        return lines;
    }
    format!("on this machine itself, as you, and only with `e2e --allow-host-programs`:\n{lines}")
}

/// Returns the plan, arranged in the order in which it runs. With a seed, the order is random. Otherwise the work
/// with the longest expected duration comes first. `namespaces` decides which namespaces the environments get.
pub fn arranged(
    project: &Project,
    selected: &[VariantId],
    seed: Option<u64>,
    at_once: AtOnce,
    namespaces: Namespaces<'_>,
) -> Result<parallax_plan::Plan, CliError> {
    let plan = planned_in(project, &selected.iter().cloned().collect(), namespaces)?;
    Ok(match seed {
        Some(seed) => plan.arranged(Order::Shuffled(seed), at_once.clusters),
        None => plan.arranged(Order::LongestFirst(&Past::of(&project.root).took), at_once.clusters),
    })
}

/// Returns the variants of one shard. Fails if there are more shards than scenarios, because a scenario is not divided.
pub fn part(project: &Project, selected: &[VariantId], shard: Shard) -> Result<BTreeSet<VariantId>, CliError> {
    let plan = planned(project, &selected.iter().cloned().collect())?;
    let parts = plan.parts(usize::from(shard.of));
    if let Some(filled) = parts.iter().position(BTreeSet::is_empty) {
        return Err(CliError::Usage(format!(
            "--shard {}/{}: a scenario is not divided, so there can be at most {filled} {}",
            shard.number,
            shard.of,
            if filled == 1 { "part" } else { "parts" }
        )));
    }
    Ok(parts.into_iter().nth(usize::from(shard.number) - 1).unwrap_or_default())
}

pub(super) fn planned(project: &Project, selected: &BTreeSet<VariantId>) -> Result<parallax_plan::Plan, CliError> {
    planned_in(project, selected, Namespaces::Each)
}

fn planned_in(
    project: &Project,
    selected: &BTreeSet<VariantId>,
    namespaces: Namespaces<'_>,
) -> Result<parallax_plan::Plan, CliError> {
    let plan = parallax_plan::build_in(&project.library, &project.scenarios, selected, namespaces);
    plan.map_err(|error| shown(&error))
}

fn shown(error: &PlanError) -> CliError {
    if let PlanError::Diagnostics(diagnostics) = error {
        show(diagnostics);
    }
    CliError::Usage(error.to_string())
}
