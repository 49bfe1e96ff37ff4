//! Collects the failures of the harness, the engine and the machine, so that a report shows each failure only once.

use parallax_record::GAVE_UP;
use parallax_vocab::event::{Failure, Outcome};

use super::seconds;
use super::summary::{SetUp, Summary, Variant};

/// A failure of the harness, the engine or the machine, with the set-up steps and the variants that failed because of
/// it.
#[derive(Clone, Debug)]
pub struct Fault<'a> {
    /// The failure of the harness, the engine or the machine.
    pub failure: &'a Failure,
    /// The set-up steps that failed because of this failure.
    pub setups: Vec<&'a SetUp>,
    /// The variants that have no verdict because of this failure.
    pub variants: Vec<&'a Variant>,
}

impl Fault<'_> {
    /// The ids of the variants that have no verdict because of the failure, with the number of these variants. `None`
    /// if there is no such variant.
    pub fn without_verdict(&self) -> Option<String> {
        let ids: Vec<&str> = self.variants.iter().map(|it| it.id.as_str()).collect();
        match ids.len() {
            0 => None,
            1 => Some(ids.concat()),
            n => Some(format!("{n} variants: {}", ids.join(", "))),
        }
    }

    /// Whether the failure belongs only to the run as a whole, and not to a set-up step or a variant.
    pub fn is_of_the_run(&self) -> bool {
        self.setups.is_empty() && self.variants.is_empty()
    }

    /// What failed, as a short title: the set-up steps if there are any, otherwise the variants, otherwise `the run`.
    pub fn title(&self) -> String {
        match (self.setups.as_slice(), self.variants.as_slice()) {
            ([first, others @ ..], _) => {
                let others = others.iter().fold(String::new(), |text, it| text + ", " + &it.id);
                format!("{} ({}), after {}{others}", first.id, first.title, seconds(first.took_ms))
            }
            ([], []) => "the run".to_owned(),
            ([], [variant]) => variant.id.to_string(),
            ([], variants) => format!("{} variants", variants.len()),
        }
    }
}

impl Summary {
    /// Returns each failure of the harness, the engine or the machine once, with the set-up steps and the variants that
    /// failed because of it. The failures of set-up steps come first, then those of variants, and last the failure of
    /// the run.
    ///
    /// A set-up step is given up if something else fails, or if the run is interrupted. Such a step is returned only if
    /// there is no other failure and the run was not interrupted.
    pub fn faults(&self) -> Vec<Fault<'_>> {
        let mut faults: Vec<Fault<'_>> = Vec::new();
        let failed = |given_up: bool| {
            let all = self.setups.iter().filter(move |it| (it.detail.as_deref() == Some(GAVE_UP)) == given_up);
            all.filter_map(|it| Some((it, it.error.as_ref()?)))
        };
        for (setup, failure) in failed(false) {
            of(&mut faults, failure).setups.push(setup);
        }
        for variant in self.variants() {
            if let Some(Outcome::Error { failure }) = &variant.outcome {
                of(&mut faults, failure).variants.push(variant);
            }
        }
        if let Some(failure) = self.ended.as_ref().and_then(|ended| ended.failure.as_ref()) {
            of(&mut faults, failure);
        }
        if faults.is_empty() && !self.interrupted() {
            for (setup, failure) in failed(true) {
                of(&mut faults, failure).setups.push(setup);
            }
        }
        faults
    }
}

/// Returns the [`Fault`] for this failure in `faults`. If `faults` does not contain it yet, adds it.
fn of<'a, 'b>(faults: &'b mut Vec<Fault<'a>>, failure: &'a Failure) -> &'b mut Fault<'a> {
    let at = faults.iter().position(|it| it.failure == failure).unwrap_or_else(|| {
        faults.push(Fault { failure, setups: Vec::new(), variants: Vec::new() });
        faults.len() - 1
    });
    &mut faults[at]
}
