//! Loaded scenarios and their variants: the baseline, and one variant for each change.

use std::collections::BTreeMap;

use parallax_vocab::VariantId;
use serde::Deserialize as _;
use serde_json::Value;

use super::change::{ChangedPlaces, Touched, merge, rename_hosts, without_changes};
use super::check::{self, Places};
use super::diagnostic::{Diagnostic, tidy};
use super::document::{Document, join};
use super::matrix;
use super::meaning::{self, Expectations, Resolutions, Subject};
use super::model::{Alternative, Break, CauseSpec, Scenario};
use super::schema;
use crate::fixture::{Contributions, Library, expand};

/// A checked scenario file, and its variants.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The path of the scenario below `scenarios/`: `presign/presigned-url`.
    pub path: String,
    /// The name of the scenario's file, as messages give it.
    pub file: String,
    /// The parsed document of the file, with the text of the file and the place of each value.
    pub document: Document,
    /// The typed scenario, which is the baseline with its declared variants and breaks.
    pub scenario: Scenario,
    /// The baseline, then the entries of `variants`, then the entries of `breaks`, each in the order of the file.
    pub variants: Vec<Variant>,
    /// The warnings that `parallax lint` prints for the file. The file can be used in spite of these warnings.
    pub warnings: Vec<Diagnostic>,
}

/// The baseline, or the baseline with one change.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The id of the variant: `presign/presigned-url` for a baseline, `presign/presigned-url+no-rewrite` for a break.
    pub id: VariantId,
    /// The id of the variant's entry in `breaks` or `variants`. `None` for the baseline.
    pub break_id: Option<String>,
    /// One line that describes the variant.
    pub summary: String,
    /// The scenario's value with the variant's change merged into it, without `variants` and `breaks`.
    pub value: Value,
    /// The scenario with the variant's change merged into it, as a typed value.
    pub scenario: Scenario,
    /// The parts of the scenario that the change touches. The baseline touches nothing.
    pub touches: Touched,
    /// The steps and readiness conditions that must fail, each with its cause. Empty unless the variant is a break.
    pub fails: indexmap::IndexMap<String, CauseSpec>,
    /// The ids of the steps that are not run because a step that they depend on fails.
    pub blocks: Vec<String>,
}

impl Loaded {
    /// Reads one scenario from `bytes`. `path` is the scenario's folder below `scenarios/`; its last part must be the
    /// name of the scenario. `file` is the name of the file for messages.
    pub fn read(library: &Library, path: &str, file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let (document, errors) = Document::parse_bytes(file, bytes);
        let Some(mut document) = document else { return Err(tidy(errors)) };
        match matrix::expand(&mut document) {
            Ok(expansion) => Self::of_document(library, path, file, document, errors)
                .map_err(|errors| tidy(expansion.deduplicate(errors))),
            Err(wrong) => Err(tidy(errors.into_iter().chain(wrong).collect())),
        }
    }

    fn of_document(
        library: &Library,
        path: &str,
        file: &str,
        document: Document,
        mut errors: Vec<Diagnostic>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let scenario: Scenario = match check::read(&schema::SCENARIO, &document.value, &document) {
            Ok(scenario) => scenario,
            Err(wrong) => {
                errors.extend(wrong);
                return Err(errors);
            }
        };
        let folder = path.rsplit('/').next().unwrap_or(path);
        if scenario.name != folder {
            let error =
                document.error("/name", format!("the name is `{}`, but the folder is `{folder}`", scenario.name));
            errors.push(error.fix(format!("write `name: {folder}`, or rename the folder")));
        }
        let subject = Subject { scenario: &scenario, library, places: &document };
        if let Some(error) = meaning::too_long(&subject) {
            errors.push(error);
            return Err(errors);
        }
        let (resolved, mut baseline) = meaning::fixtures(&subject);
        baseline.extend(meaning::check(&subject, &resolved));
        // A baseline without assertions can be the consequence of another mistake, which is already reported. So the
        // check for assertions runs only if there are no other mistakes.
        if baseline.is_empty() {
            errors.extend(meaning::assertions(&subject));
        }
        let mut variants = vec![Variant::baseline(path, &document, &scenario)];
        // A mistake in the baseline would be reported again for each variant. Therefore, if the baseline has a mistake,
        // `resolved_baseline` is `None`, and `VariantBuilder::changed` does not check the rules again.
        let resolved_baseline = baseline.is_empty().then_some(&resolved);
        let builder = VariantBuilder { library, path, document: &document, baseline: &scenario, resolved_baseline };
        for (id, spec) in &scenario.variants {
            match builder.alternative(id, spec) {
                Ok(variant) => variants.push(variant),
                Err(wrong) => errors.extend(wrong),
            }
        }
        let mut warnings = Vec::new();
        for (id, spec) in &scenario.breaks {
            match builder.variant(id, spec) {
                Ok((variant, warned)) => {
                    variants.push(variant);
                    warnings.extend(warned);
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
        errors.extend(baseline);
        warnings.extend(meaning::indistinguishable(&document, &scenario.breaks));
        let subject = Subject { scenario: &scenario, library, places: &document };
        warnings.extend(meaning::unlisted_buckets(&subject));
        if errors.is_empty() {
            Ok(Self { path: path.to_owned(), file: file.to_owned(), document, scenario, variants, warnings })
        } else {
            Err(errors)
        }
    }

    /// Returns the place of a step as `file:line`. If the scenario has no step with this id, returns the place of the
    /// flow.
    pub fn place_of(&self, step: &str) -> String {
        let found = self.scenario.steps().into_iter().find(|it| it.step.id == step);
        self.document.place(&found.map_or_else(|| "/flow".to_owned(), |it| format!("{}/id", it.at)))
    }

    /// Returns the place of a fixture as `file:line`.
    pub fn place_of_fixture(&self, id: &str) -> String {
        self.document.place(&join("/fixtures", id))
    }

    /// Returns the diagnostic for a mistake at the place of the fixture `id`.
    pub fn fixture_error(&self, id: &str, message: String) -> Diagnostic {
        self.document.key_error(&join("/fixtures", id), message)
    }

    /// Returns the place, as `file:line`, of the cause that the break `break_id` declares for `step`. If the break
    /// declares no cause for `step`, returns the place of the break's `fails`.
    pub fn place_of_cause(&self, break_id: &str, step: &str) -> String {
        self.document.place(&join(&join(&join("/breaks", break_id), "fails"), step))
    }

    /// Returns the contributions of each fixture of a variant (objects, DNS rules, containers, …), by the fixture's id.
    /// The fixtures are expanded for `namespace`.
    pub fn expand(
        &self,
        library: &Library,
        variant: &Variant,
        namespace: &str,
    ) -> Result<BTreeMap<String, Contributions>, Vec<Diagnostic>> {
        self.with_places(variant, |places| expand(library, &variant.scenario, namespace, places))
    }

    /// Calls `then` with an object that finds the places of the variant's parts in the file.
    pub fn with_places<T>(&self, variant: &Variant, then: impl FnOnce(&dyn Places) -> T) -> T {
        match &variant.break_id {
            None => then(&self.document),
            Some(id) => {
                let section = if self.scenario.breaks.contains_key(id) { "/breaks" } else { "/variants" };
                then(&ChangedPlaces::new(&self.document, &join(section, id), &variant.value))
            }
        }
    }
}

impl Variant {
    fn baseline(path: &str, document: &Document, scenario: &Scenario) -> Self {
        let value = without_changes(document.value.clone());
        let scenario =
            Scenario { breaks: indexmap::IndexMap::new(), variants: indexmap::IndexMap::new(), ..scenario.clone() };
        Self {
            id: VariantId::new(path),
            break_id: None,
            summary: scenario.summary.clone(),
            value,
            scenario,
            touches: Touched::default(),
            fails: indexmap::IndexMap::new(),
            blocks: Vec::new(),
        }
    }

    /// Returns the readiness conditions that must fail, such as `store.ready`, with their causes. If there are any, the
    /// flow does not run.
    pub fn readiness_fails(&self) -> impl Iterator<Item = (&str, &CauseSpec)> {
        let fails = self.fails.iter().map(|(what, spec)| (what.as_str(), spec));
        fails.filter(|(what, _)| meaning::is_readiness(what))
    }

    /// Returns the same variant with its host names replaced everywhere. `names` maps old names to new names. Variants
    /// that share a cluster need different host names.
    ///
    /// # Panics
    ///
    /// If a new name is not a valid host name, so that a typed text cannot be deserialised.
    #[must_use]
    pub fn with_hosts(&self, names: &BTreeMap<String, String>) -> Self {
        let value = rename_hosts(&self.value, names);
        let scenario = Scenario::deserialize(&value).expect("other host names leave the types as they are");
        Self { value, scenario, ..self.clone() }
    }
}

impl Variant {
    /// Returns the scenario with the host names of its fixtures replaced, and without its flow and vantages. The
    /// fixtures alone are enough to compute which host names, edges and cluster-scoped objects the fixtures need.
    ///
    /// # Panics
    /// If a new name is not a valid host name, as with [`Self::with_hosts`].
    #[must_use]
    pub fn fixtures_with_hosts(&self, names: &BTreeMap<String, String>) -> Scenario {
        let fixtures = rename_hosts(&self.value["fixtures"], names);
        let fixtures = match fixtures {
            Value::Null => indexmap::IndexMap::new(),
            fixtures => serde_json::from_value(fixtures).expect("other host names leave the types as they are"),
        };
        Scenario { fixtures, flow: Vec::new(), vantages: indexmap::IndexMap::new(), ..self.scenario.clone() }
    }
}

/// Creates the variants of a scenario from its baseline.
struct VariantBuilder<'a> {
    library: &'a Library,
    path: &'a str,
    document: &'a Document,
    baseline: &'a Scenario,
    /// The resolved fixtures of the baseline. `None` if the baseline has errors.
    resolved_baseline: Option<&'a Resolutions<'a>>,
}

impl VariantBuilder<'_> {
    /// Creates a variant of the section `variants`, in which every expectation must hold.
    fn alternative(&self, id: &str, spec: &Alternative) -> Result<Variant, Vec<Diagnostic>> {
        let changed = self.changed(&join("/variants", id))?;
        if !changed.errors.is_empty() {
            return Err(changed.errors);
        }
        let (fails, blocks) = (indexmap::IndexMap::new(), Vec::new());
        Ok(self.build(id, spec.summary.as_deref(), changed, fails, blocks))
    }

    /// Creates the variant of a break, in which steps must fail. Returns it with a warning if the break has no control.
    fn variant(&self, id: &str, spec: &Break) -> Result<(Variant, Option<Diagnostic>), Vec<Diagnostic>> {
        let mut changed = self.changed(&join("/breaks", id))?;
        let (library, document, touches) = (self.library, self.document, &changed.touches);
        let (baseline, scenario) = (self.baseline, &changed.scenario);
        let expectations = Expectations { id, spec, baseline, changed: scenario, touches, library, document };
        let wrong = meaning::expectations(&expectations);
        let warned = meaning::uncontrolled(&expectations);
        changed.errors.extend(wrong);
        if !changed.errors.is_empty() {
            return Err(changed.errors);
        }
        let variant = self.build(id, spec.summary.as_deref(), changed, spec.fails.clone(), spec.blocks.clone());
        Ok((variant, warned))
    }

    fn build(
        &self,
        id: &str,
        summary: Option<&str>,
        changed: Changed,
        fails: indexmap::IndexMap<String, CauseSpec>,
        blocks: Vec<String>,
    ) -> Variant {
        let Changed { value, scenario, touches, .. } = changed;
        Variant {
            id: VariantId::new(format!("{}+{id}", self.path)),
            break_id: Some(id.to_owned()),
            summary: summary.map_or_else(|| id.replace('-', " "), str::to_owned),
            value,
            scenario,
            touches,
            fails,
            blocks,
        }
    }

    /// Merges the change at `at` (`/breaks/ID` or `/variants/ID`) into the baseline, and checks the result.
    fn changed(&self, at: &str) -> Result<Changed, Vec<Diagnostic>> {
        let (value, touches) = merge(self.document, at)?;
        let places = ChangedPlaces::new(self.document, at, &value);
        let changed: Scenario = check::read(&schema::SCENARIO, &value, &places)?;
        let mut errors = Vec::new();
        if let Some(resolved) = self.resolved_baseline {
            let subject = Subject { scenario: &changed, library: self.library, places: &places };
            if touches.fixtures.is_empty() {
                errors.extend(meaning::check(&subject, resolved));
            } else {
                let (resolved, wrong) = meaning::fixtures(&subject);
                errors.extend(wrong);
                errors.extend(meaning::check(&subject, &resolved));
            }
        }
        Ok(Changed { value, scenario: changed, touches, errors })
    }
}

/// A scenario after a change of `breaks` or `variants` was applied.
struct Changed {
    value: Value,
    scenario: Scenario,
    touches: Touched,
    errors: Vec<Diagnostic>,
}
