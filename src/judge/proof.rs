//! Proof: a matcher that no break ever turned red has not been shown to be able to fail.

use std::collections::BTreeSet;

use parallax_vocab::VariantId;
use parallax_vocab::event::{Event, EventKind, StepEnded};

/// Matchers of baselines that no break of the run turned red, as `scenario: step.matcher`, sorted.
///
/// Only scenarios that the run holds `whole` (the baseline and every break that there is) are judged: a run that was
/// filtered says nothing about proof.
pub fn unproven(events: &[Event], whole: &BTreeSet<String>) -> Vec<String> {
    let ended = |event: &'_ Event| match &event.event {
        EventKind::StepEnded(step) => Some(StepEnded::clone(step)),
        _ => None,
    };
    let steps: Vec<StepEnded> = events.iter().filter_map(ended).collect();
    let scenario = |id: &VariantId| id.as_str().split('+').next().unwrap_or_default().to_owned();
    let is_break = |id: &VariantId| id.as_str().contains('+');
    let names = |wanted: &dyn Fn(&StepEnded, bool) -> bool| -> BTreeSet<String> {
        let all = steps.iter().flat_map(|step| step.matchers.iter().map(move |matched| (step, matched)));
        all.filter(|(step, matched)| wanted(step, matched.held))
            .map(|(step, matched)| format!("{}: {}.{}", scenario(&step.variant), step.step, matched.matcher))
            .collect()
    };
    let asserted = names(&|step, _| !is_break(&step.variant) && whole.contains(&scenario(&step.variant)));
    let red = names(&|step, held| is_break(&step.variant) && !held);
    asserted.difference(&red).cloned().collect()
}
