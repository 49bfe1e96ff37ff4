//! Loaded scenarios and their variants: the baseline, and each break merged into it.

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

/// A scenario's file, checked, and its variants.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The scenario's path below `scenarios/`: `presign/presigned-url`.
    pub path: String,
    /// The file, as messages name it.
    pub file: String,
    /// Its text and places.
    pub document: Document,
    /// The scenario as written.
    pub scenario: Scenario,
    /// The baseline first, then the changes under which everything holds, then the breaks, each in order.
    pub variants: Vec<Variant>,
}

/// The baseline, or the baseline with one break's change.
#[derive(Clone, Debug)]
pub struct Variant {
    /// `presign/presigned-url`, or `presign/presigned-url+no-rewrite`.
    pub id: VariantId,
    /// The break, or the change under which everything holds; none for the baseline.
    pub break_id: Option<String>,
    /// One line for people.
    pub summary: String,
    /// The merged value, without `variants` and `breaks`.
    pub value: Value,
    /// The merged value, typed.
    pub scenario: Scenario,
    /// What the change touches; nothing for the baseline.
    pub touches: Touched,
    /// Steps that must fail, with their causes.
    pub fails: indexmap::IndexMap<String, CauseSpec>,
    /// Steps that are not reached.
    pub blocks: Vec<String>,
}

impl Loaded {
    /// Reads one scenario. `path` is its folder below `scenarios/`; the last part must be the scenario's name.
    pub fn read(library: &Library, path: &str, file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let (document, errors) = Document::parse_bytes(file, bytes);
        let Some(mut document) = document else { return Err(tidy(errors)) };
        match matrix::expand(&mut document) {
            Ok(expansion) => {
                Self::of_document(library, path, file, document, errors).map_err(|errors| tidy(expansion.fold(errors)))
            }
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
        // One whose steps are wrong would be told the same twice.
        if baseline.is_empty() {
            errors.extend(meaning::assertions(&subject));
        }
        let mut variants = vec![Variant::baseline(path, &document, &scenario)];
        // What is wrong with the baseline would be found in each variant again.
        let sound = baseline.is_empty().then_some(&resolved);
        let breaker = Breaker { library, path, document: &document, baseline: &scenario, sound };
        for (id, spec) in &scenario.variants {
            match breaker.alternative(id, spec) {
                Ok(variant) => variants.push(variant),
                Err(wrong) => errors.extend(wrong),
            }
        }
        for (id, spec) in &scenario.breaks {
            match breaker.variant(id, spec) {
                Ok(variant) => variants.push(variant),
                Err(wrong) => errors.extend(wrong),
            }
        }
        errors.extend(baseline);
        errors.extend(meaning::indistinguishable(&document, &scenario.breaks));
        if errors.is_empty() {
            Ok(Self { path: path.to_owned(), file: file.to_owned(), document, scenario, variants })
        } else {
            Err(errors)
        }
    }

    /// `file:line` of a step, of its one matcher (`url`, `body`), or of the whole scenario where there is none such.
    pub fn place_of(&self, step: &str) -> String {
        let found = self.scenario.steps().into_iter().find(|it| it.step.id == step);
        self.document.place(&found.map_or_else(|| "/flow".to_owned(), |it| format!("{}/id", it.at)))
    }

    /// `file:line` of a fixture.
    pub fn place_of_fixture(&self, id: &str) -> String {
        self.document.place(&join("/fixtures", id))
    }

    /// An error of a fixture, at its place.
    pub fn fixture_error(&self, id: &str, message: String) -> Diagnostic {
        self.document.key_error(&join("/fixtures", id), message)
    }

    /// `file:line` of what a break says about a step: its cause in `fails`, or the break itself.
    pub fn place_of_cause(&self, break_id: &str, step: &str) -> String {
        self.document.place(&join(&join(&join("/breaks", break_id), "fails"), step))
    }

    /// What each fixture of a variant contributes, in a namespace.
    pub fn expand(
        &self,
        library: &Library,
        variant: &Variant,
        namespace: &str,
    ) -> Result<BTreeMap<String, Contributions>, Vec<Diagnostic>> {
        self.with_places(variant, |places| expand(library, &variant.scenario, namespace, places))
    }

    /// Hands on where the parts of a variant are written.
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

    /// The readinesses of fixtures that must fail (`store.ready`), with their causes. The flow is not run then.
    pub fn readiness_fails(&self) -> impl Iterator<Item = (&str, &CauseSpec)> {
        let fails = self.fails.iter().map(|(what, spec)| (what.as_str(), spec));
        fails.filter(|(what, _)| meaning::is_readiness(what))
    }

    /// The same variant with its host names replaced everywhere, for variants that share a cluster.
    ///
    /// # Panics
    /// If a new name is no host name, so that a typed text no longer reads.
    #[must_use]
    pub fn with_hosts(&self, names: &BTreeMap<String, String>) -> Self {
        let value = rename_hosts(&self.value, names);
        let scenario = Scenario::deserialize(&value).expect("other host names leave the types as they are");
        Self { value, scenario, ..self.clone() }
    }
}

impl Variant {
    /// The scenario with the host names of its fixtures replaced, and nothing else: enough to know what they claim.
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

/// Makes variants of breaks.
struct Breaker<'a> {
    library: &'a Library,
    path: &'a str,
    document: &'a Document,
    baseline: &'a Scenario,
    /// The baseline's fixtures, if nothing is wrong with it.
    sound: Option<&'a Resolutions<'a>>,
}

impl Breaker<'_> {
    /// The baseline with a change under which everything holds.
    fn alternative(&self, id: &str, spec: &Alternative) -> Result<Variant, Vec<Diagnostic>> {
        let changed = self.changed(&join("/variants", id))?;
        if !changed.errors.is_empty() {
            return Err(changed.errors);
        }
        let (fails, blocks) = (indexmap::IndexMap::new(), Vec::new());
        Ok(self.made(id, spec.summary.as_deref(), changed, fails, blocks))
    }

    /// The baseline with a change under which steps fail.
    fn variant(&self, id: &str, spec: &Break) -> Result<Variant, Vec<Diagnostic>> {
        let mut changed = self.changed(&join("/breaks", id))?;
        let (library, document, touches) = (self.library, self.document, &changed.touches);
        let (baseline, scenario) = (self.baseline, &changed.scenario);
        let expectations = Expectations { id, spec, baseline, changed: scenario, touches, library, document };
        let wrong = meaning::expectations(&expectations);
        changed.errors.extend(wrong);
        if !changed.errors.is_empty() {
            return Err(changed.errors);
        }
        Ok(self.made(id, spec.summary.as_deref(), changed, spec.fails.clone(), spec.blocks.clone()))
    }

    fn made(
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

    /// The baseline with the change that stands at `at`, and what is wrong with it.
    fn changed(&self, at: &str) -> Result<Changed, Vec<Diagnostic>> {
        let (value, touches) = merge(self.document, at)?;
        let places = ChangedPlaces::new(self.document, at, &value);
        let changed: Scenario = check::read(&schema::SCENARIO, &value, &places)?;
        let mut errors = Vec::new();
        if let Some(resolved) = self.sound {
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

/// A changed scenario.
struct Changed {
    value: Value,
    scenario: Scenario,
    touches: Touched,
    errors: Vec<Diagnostic>,
}
