//! Steps whose result does not count, because they could not be carried out as intended.

use parallax_language::scenario::model::Step;
use parallax_vocab::Cause;

use super::Tried;
use crate::run::error::RunError;

/// The reason why a round of a `repeat` is void, so that it is run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) struct Void {
    /// What prevented the step from being carried out as intended.
    pub(in crate::run) why: String,
    /// What the user can change on the machine, if the machine is the reason why the round is void. `None` if the
    /// machine is not the reason.
    pub(in crate::run) fix: Option<&'static str>,
}

impl Void {
    /// Makes a void step fail. The caller uses this method if the step cannot be repeated: the step is in no `repeat`,
    /// or no further void round is allowed.
    ///
    /// # Errors
    ///
    /// Fails if the machine is the reason why the step is void. In this case, the step says nothing about the system
    /// under test.
    pub(in crate::run) fn count(&self, step: &Step, place: &str, tried: &mut Tried) -> Result<(), RunError> {
        let Self { why, fix } = self;
        if let Some(fix) = fix {
            let what = format!("{place}: step `{}`: {why}", step.id);
            return Err(RunError::Machine { what, fix: (*fix).to_owned() });
        }
        let resource = format!("step {}", step.id);
        tried.judgement.cause.get_or_insert(Cause::Resource { resource, detail: why.clone() });
        Ok(())
    }
}
