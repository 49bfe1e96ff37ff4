//! Loaded scenarios and their variants: the baseline, and one for each change.

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
    /// The file, as messages name it.
    pub file: String,
    /// The text of the file, and the place of each value.
    pub document: Document,
    /// The scenario as it is written.
    pub scenario: Scenario,
    /// The baseline, then the entries of `variants`, then the entries of `breaks`, each in the order of the file.
    pub variants: Vec<Variant>,
    /// Warnings of `parallax lint`. The file can be used in spite of them.
    pub warnings: Vec<Diagnostic>,
}

/// The baseline, or the baseline with one change.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The id: `presign/presigned-url` for a baseline, `presign/presigned-url+no-rewrite` for a break.
    pub id: VariantId,
    /// The id of the entry of `breaks` or `variants`. `None` for the baseline.
    pub break_id: Option<String>,
    /// One line that describes the variant.
    pub summary: String,
    /// The merged value, without `variants` and `breaks`.
    pub value: Value,
    /// The merged value as a typed scenario.
    pub scenario: Scenario,
    /// The parts of the scenario that the change touches. The baseline touches nothing.
    pub touches: Touched,
    /// The steps that must fail, with their causes.
    pub fails: indexmap::IndexMap<String, CauseSpec>,
    /// The steps that are not run.
    pub blocks: Vec<String>,
}

impl Loaded {
    /// Reads one scenario. `path` is the scenario's folder below `scenarios/`. The last part of `path` must be the name
    /// of the scenario.
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
        // If a step is wrong, this check would report the same mistake again, so it is skipped.
        if baseline.is_empty() {
            errors.extend(meaning::assertions(&subject));
        }
        let mut variants = vec![Variant::baseline(path, &document, &scenario)];
        // If the baseline is wrong, each variant would repeat its mistakes. Then the resolved fixtures are not passed
        // on, and variants are not checked against them.
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
        if errors.is_empty() {
            Ok(Self { path: path.to_owned(), file: file.to_owned(), document, scenario, variants, warnings })
        } else {
            Err(errors)
        }
    }

    /// The `file:line` of a step, or of the flow if there is no such step.
    pub fn place_of(&self, step: &str) -> String {
        let found = self.scenario.steps().into_iter().find(|it| it.step.id == step);
        self.document.place(&found.map_or_else(|| "/flow".to_owned(), |it| format!("{}/id", it.at)))
    }

    /// The `file:line` of a fixture.
    pub fn place_of_fixture(&self, id: &str) -> String {
        self.document.place(&join("/fixtures", id))
    }

    /// An error at the place of a fixture.
    pub fn fixture_error(&self, id: &str, message: String) -> Diagnostic {
        self.document.key_error(&join("/fixtures", id), message)
    }

    /// The `file:line` of the cause that a break declares for a step, or of the break itself.
    pub fn place_of_cause(&self, break_id: &str, step: &str) -> String {
        self.document.place(&join(&join(&join("/breaks", break_id), "fails"), step))
    }

    /// Returns the contributions of each fixture of a variant to a namespace.
    pub fn expand(
        &self,
        library: &Library,
        variant: &Variant,
        namespace: &str,
    ) -> Result<BTreeMap<String, Contributions>, Vec<Diagnostic>> {
        self.with_places(variant, |places| expand(library, &variant.scenario, namespace, places))
    }

    /// Calls `then` with the places where the parts of a variant are written.
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

    /// The readiness conditions that must fail (`store.ready`), with their causes. If there are any, the flow does not
    /// run.
    pub fn readiness_fails(&self) -> impl Iterator<Item = (&str, &CauseSpec)> {
        let fails = self.fails.iter().map(|(what, spec)| (what.as_str(), spec));
        fails.filter(|(what, _)| meaning::is_readiness(what))
    }

    /// Returns the same variant with its host names replaced everywhere. Variants that share a cluster need different
    /// host names.
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
    /// The scenario with the host names of its fixtures replaced, and without its flow and vantages. This is enough to
    /// compute what the fixtures claim.
    ///
    /// # Panics
    /// As [`Self::with_hosts`].
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

/// Creates the variants of a scenario.
struct VariantBuilder<'a> {
    library: &'a Library,
    path: &'a str,
    document: &'a Document,
    baseline: &'a Scenario,
    /// The resolved fixtures of the baseline, if the baseline is valid.
    resolved_baseline: Option<&'a Resolutions<'a>>,
}

impl VariantBuilder<'_> {
    /// Creates a variant in which every expectation must hold.
    fn alternative(&self, id: &str, spec: &Alternative) -> Result<Variant, Vec<Diagnostic>> {
        let changed = self.changed(&join("/variants", id))?;
        if !changed.errors.is_empty() {
            return Err(changed.errors);
        }
        let (fails, blocks) = (indexmap::IndexMap::new(), Vec::new());
        Ok(self.build(id, spec.summary.as_deref(), changed, fails, blocks))
    }

    /// Creates a variant in which steps must fail. Returns it with a warning if the break has no control.
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

    /// Merges the change at `at` into the baseline, and checks the result.
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

/// A scenario after the change of a break.
struct Changed {
    value: Value,
    scenario: Scenario,
    touches: Touched,
    errors: Vec<Diagnostic>,
}
