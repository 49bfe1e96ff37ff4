//! Lists the programs that a scenario runs on the user's own machine.

use std::fmt;

use super::variant::{Loaded, Variant};
use crate::fixture::{Library, Source};

/// A program that would run on the user's machine with the user's rights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostProgram {
    /// The place of the step or the fixture that runs the program, as `file:line`.
    pub place: String,
    /// The step or the fixture that runs the program: `step ID` or `fixture ID`.
    pub of: String,
    /// The command: the program and its arguments as they are written, or the name of a client.
    pub run: Vec<String>,
}

impl fmt::Display for HostProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} runs {:?}", self.place, self.of, self.run.join(" "))
    }
}

impl Loaded {
    /// The programs that a variant runs on the user's own machine: those at an `outside` vantage without an image, and
    /// those that make the objects of its fixtures.
    pub fn host_programs(&self, library: &Library, variant: &Variant) -> Vec<HostProgram> {
        let vantages = &variant.scenario.vantages;
        let steps = variant.scenario.steps();
        let programs = steps.iter().filter_map(|placed| {
            let step = placed.step;
            let vantage = vantages.get(step.from.as_deref()?)?;
            let run = step.action.special().runs?;
            let here = vantage.outside.is_some() && vantage.image().is_none();
            here.then(|| HostProgram { place: self.place_of(&step.id), of: format!("step {}", step.id), run })
        });
        let sources = self.sources(library, variant).into_iter().map(|(id, source)| HostProgram {
            place: self.place_of_fixture(&id),
            of: format!("fixture {id}"),
            run: source.command().split(' ').map(str::to_owned).collect(),
        });
        programs.chain(sources).collect()
    }

    /// What `helm` and `kustomize` make objects of in a variant, each with the id of its fixture. The result is empty if
    /// a fixture cannot be expanded; that is reported elsewhere.
    pub fn sources(&self, library: &Library, variant: &Variant) -> Vec<(String, Source)> {
        let made =
            |name: &str| library.get(name).is_some_and(|it| it.file.helm.is_some() || it.file.kustomize.is_some());
        if !variant.scenario.fixtures.values().any(|it| made(&it.fixture)) {
            return Vec::new();
        }
        let fixtures = self.expand(library, variant, "namespace").unwrap_or_default();
        fixtures
            .into_iter()
            .flat_map(|(id, it)| it.sources.into_iter().map(move |source| (id.clone(), source)))
            .collect()
    }
}
