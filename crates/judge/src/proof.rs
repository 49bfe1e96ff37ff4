//! Proof that matchers can fail. A matcher is proven if it failed in a break. A weaker proof is that the matcher failed
//! on an altered answer. If a matcher failed in neither way, nothing has shown that it can fail.

use std::collections::BTreeSet;

use parallax_vocab::event::{Event, EventKind, Matched, Proof, StepEnded};

/// Computes from the events of a run which matchers are not proven. A matcher that failed because there was no answer
/// counts as not failed, because it compared nothing.
///
/// Only the scenarios in `whole` are considered: those of which the run contains the baseline and every break. Without
/// all breaks, it is not known whether some break would make a matcher fail.
pub fn proof(events: &[Event], whole: &BTreeSet<String>) -> Proof {
    let mut steps: Vec<&StepEnded> = Vec::new();
    for event in events {
        match &event.event {
            // If a variant is run again, the steps of its earlier run are dropped, because a problem of the machine may
            // have disturbed them.
            EventKind::VariantStarted(started) => steps.retain(|it| it.variant != started.variant),
            EventKind::StepEnded(step) => steps.push(step),
            _ => {}
        }
    }
    let names = |wanted: &dyn Fn(&StepEnded, &Matched) -> bool| -> BTreeSet<String> {
        let all = steps.iter().flat_map(|step| step.matchers.iter().map(move |matched| (*step, matched)));
        all.filter(|(step, matched)| wanted(step, matched))
            .map(|(step, matched)| format!("{}: {}.{}", step.variant.scenario(), step.step, matched.matcher))
            .collect()
    };
    let of_baseline = |step: &StepEnded| step.variant.change().is_none() && whole.contains(step.variant.scenario());
    let asserted = names(&|step, _| of_baseline(step));
    let red = names(&|step, matched| step.variant.change().is_some() && !matched.held && !matched.unseen);
    let altered = names(&|_, matched| matched.altered);
    let (by_altered, none) = asserted.difference(&red).cloned().partition(|it| altered.contains(it));
    Proof { by_altered, none }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Builds the event for the end of a step of `variant`. The step has only the matcher `matched`.
    fn ended(variant: &str, matched: &Matched) -> Event {
        let step = json!({"variant": variant, "step": "get", "kind": "http", "verdict": "passed", "matchers": [matched],
            "attempts": 1, "took_ms": 1, "deadline_ms": 1, "place": "f:1"});
        let step: StepEnded = serde_json::from_value(step).expect("a step");
        Event { at_ms: 0, event: EventKind::StepEnded(Box::new(step)) }
    }

    #[test]
    fn only_a_matcher_that_compared_something_and_said_no_is_proven() {
        let whole = BTreeSet::from(["s".to_owned()]);
        let held = |altered| Matched { altered, ..Matched::new("body", true, "a", "a") };
        let name = || vec!["s: get.body".to_owned()];
        for (baseline, of_break, by_altered, none) in [
            (held(false), None, vec![], name()),
            (held(true), None, name(), vec![]),
            (held(false), Some(held(false)), vec![], name()),
            (held(false), Some(Matched::unseen("body", "a", "no answer")), vec![], name()),
            (held(true), Some(Matched::unseen("body", "a", "no answer")), name(), vec![]),
            (held(true), Some(Matched::new("body", false, "a", "b")), vec![], vec![]),
        ] {
            let events: Vec<Event> =
                std::iter::once(ended("s", &baseline)).chain(of_break.map(|it| ended("s+b", &it))).collect();
            assert_eq!(proof(&events, &whole), Proof { by_altered, none });
        }
    }

    #[test]
    fn a_try_that_was_thrown_away_proves_nothing() {
        let whole = BTreeSet::from(["s".to_owned()]);
        let started = json!({ "variant-started": { "variant": "s+b", "summary": "", "cluster": "c1", "namespace": "n",
            "hosts": {}, "file": "f" } });
        let started = || Event { at_ms: 0, event: serde_json::from_value(started.clone()).expect("an event") };
        let (held, red) = (Matched::new("body", true, "a", "a"), Matched::new("body", false, "a", "b"));
        let mut events = vec![ended("s", &held), started(), ended("s+b", &red)];
        assert_eq!(proof(&events, &whole), Proof::default());
        events.extend([started(), ended("s+b", &held)]);
        assert_eq!(proof(&events, &whole).none, ["s: get.body"]);
    }
}
