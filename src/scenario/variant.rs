//! Loaded scenarios and their variants: the baseline, and each break merged into it.

use std::collections::BTreeMap;

use parallax_vocab::VariantId;
use serde_json::Value;

use super::change::{ChangedPlaces, Touched, merge, rename_hosts};
use super::check::{self, Places as _};
use super::diagnostic::{Diagnostic, tidy};
use super::document::{Document, join};
use super::matrix;
use super::meaning::{self, Expectations, Resolutions, Subject};
use super::model::{Break, CauseSpec, Scenario};
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
    /// The baseline first, then the breaks in order.
    pub variants: Vec<Variant>,
}

/// The baseline, or the baseline with one break's change.
#[derive(Clone, Debug)]
pub struct Variant {
    /// `presign/presigned-url`, or `presign/presigned-url+no-rewrite`.
    pub id: VariantId,
    /// The break; none for the baseline.
    pub break_id: Option<String>,
    /// One line for people.
    pub summary: String,
    /// The merged value, without `breaks`.
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
        match &variant.break_id {
            None => expand(library, &variant.scenario, namespace, &self.document),
            Some(id) => {
                let places = ChangedPlaces::new(&self.document, id, &variant.value);
                expand(library, &variant.scenario, namespace, &places)
            }
        }
    }
}

impl Variant {
    fn baseline(path: &str, document: &Document, scenario: &Scenario) -> Self {
        let mut value = document.value.clone();
        if let Some(map) = value.as_object_mut() {
            map.shift_remove("breaks");
        }
        let scenario = Scenario { breaks: indexmap::IndexMap::new(), ..scenario.clone() };
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
        let scenario = serde_json::from_value(value.clone()).expect("other host names leave the types as they are");
        Self { value, scenario, ..self.clone() }
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
    fn variant(&self, id: &str, spec: &Break) -> Result<Variant, Vec<Diagnostic>> {
        let (value, touches) = merge(self.document, id)?;
        let places = ChangedPlaces::new(self.document, id, &value);
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
        let (library, document) = (self.library, self.document);
        let expectations =
            Expectations { id, spec, baseline: self.baseline, changed: &changed, touches: &touches, library, document };
        errors.extend(meaning::expectations(&expectations));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Variant {
            id: VariantId::new(format!("{}+{id}", self.path)),
            break_id: Some(id.to_owned()),
            summary: spec.summary.clone().unwrap_or_else(|| id.replace('-', " ")),
            value,
            scenario: changed,
            touches,
            fails: spec.fails.clone(),
            blocks: spec.blocks.clone(),
        })
    }
}
