//! Lists the programs that a scenario runs on the user's own machine.

use std::fmt;

use super::variant::{Loaded, Variant};

/// A program that would run on the user's machine with the user's rights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostProgram {
    /// The place of the step that runs the program, as `file:line`.
    pub place: String,
    /// The id of the step that runs the program.
    pub step: String,
    /// The command: the program and its arguments as they are written, or the name of a client.
    pub run: Vec<String>,
}

impl fmt::Display for HostProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: step {} runs {:?}", self.place, self.step, self.run.join(" "))
    }
}

impl Loaded {
    /// The programs that a variant runs at an `outside` vantage without an image. Such a vantage is the user's own
    /// machine.
    pub fn host_programs(&self, variant: &Variant) -> Vec<HostProgram> {
        let vantages = &variant.scenario.vantages;
        let steps = variant.scenario.steps();
        let programs = steps.iter().filter_map(|placed| {
            let step = placed.step;
            let vantage = vantages.get(step.from.as_deref()?)?;
            let run = step.action.special().runs?;
            let here = vantage.outside.is_some() && vantage.image().is_none();
            here.then(|| HostProgram { place: self.place_of(&step.id), step: step.id.clone(), run })
        });
        programs.collect()
    }
}
