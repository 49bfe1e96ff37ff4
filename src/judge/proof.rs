//! Proof: a matcher that no break ever turned red has not been shown to be able to fail.

use std::collections::BTreeSet;

use parallax_vocab::VariantId;
use parallax_vocab::event::{Event, EventKind, Matched, StepEnded};

/// Matchers of baselines that no break of the run turned red, as `scenario: step.matcher`, sorted. One that had nothing to look
/// at, because nothing came back, was not turned red: it compared nothing.
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
    let names = |wanted: &dyn Fn(&StepEnded, &Matched) -> bool| -> BTreeSet<String> {
        let all = steps.iter().flat_map(|step| step.matchers.iter().map(move |matched| (step, matched)));
        all.filter(|(step, matched)| wanted(step, matched))
            .map(|(step, matched)| format!("{}: {}.{}", scenario(&step.variant), step.step, matched.matcher))
            .collect()
    };
    let asserted = names(&|step, _| !is_break(&step.variant) && whole.contains(&scenario(&step.variant)));
    let red = names(&|step, matched| is_break(&step.variant) && !matched.held && !matched.unseen);
    asserted.difference(&red).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The end of a step of a variant, with one matcher.
    fn ended(variant: &str, matched: &Matched) -> Event {
        let step = json!({"variant": variant, "step": "get", "kind": "http", "verdict": "passed", "matchers": [matched],
            "attempts": 1, "took_ms": 1, "deadline_ms": 1, "place": "f:1"});
        let step: StepEnded = serde_json::from_value(step).expect("a step");
        Event { at_ms: 0, event: EventKind::StepEnded(Box::new(step)) }
    }

    #[test]
    fn only_a_matcher_that_compared_something_and_said_no_is_proven() {
        let whole = BTreeSet::from(["s".to_owned()]);
        let held = Matched::new("body", true, "a", "a");
        for (of_break, expected) in [
            (None, vec!["s: get.body"]),
            (Some(Matched::new("body", true, "a", "a")), vec!["s: get.body"]),
            (Some(Matched::unseen("body", "a", "no answer")), vec!["s: get.body"]),
            (Some(Matched::new("body", false, "a", "b")), vec![]),
        ] {
            let events: Vec<Event> =
                std::iter::once(ended("s", &held)).chain(of_break.map(|it| ended("s+b", &it))).collect();
            assert_eq!(unproven(&events, &whole), expected);
        }
    }
}
