//! Programs that a scenario runs on the user's own machine.

use std::fmt;

use super::action::Action;
use super::variant::{Loaded, Variant};

/// A program that would run on the machine of whoever runs the scenario, as that user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostProgram {
    /// `file:line` of its step.
    pub place: String,
    /// Id of the step.
    pub step: String,
    /// The program and its arguments, as written; a client's name.
    pub run: Vec<String>,
}

impl fmt::Display for HostProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: step {} runs {:?}", self.place, self.step, self.run.join(" "))
    }
}

impl Loaded {
    /// What a variant runs outside without an image, which is the machine itself.
    pub fn host_programs(&self, variant: &Variant) -> Vec<HostProgram> {
        let vantages = &variant.scenario.vantages;
        let steps = variant.scenario.steps();
        let programs = steps.iter().filter_map(|placed| {
            let step = placed.step;
            let vantage = vantages.get(step.from.as_deref()?)?;
            let run = match &step.action {
                Action::Script(script) => script.run.iter().map(ToString::to_string).collect(),
                Action::Client(client) => vec![client.client.clone()],
                _ => return None,
            };
            let here = vantage.outside.is_some() && vantage.image().is_none();
            here.then(|| HostProgram { place: self.place_of(&step.id), step: step.id.clone(), run })
        });
        programs.collect()
    }
}
