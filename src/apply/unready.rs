//! Describes fixtures that do not become ready. If a fixture does not become ready, the fault is in the system under
//! test. Therefore the result is a cause, and not an error of the harness.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use parallax_vocab::Cause;

use super::former::Former;

/// The time for which a cause must last before it counts. While a system starts, it fails for a moment in ways that
/// look like a declared failure: a healthy store refuses connections and answers 503, the store may not know its root
/// credentials yet, and a policy or a webhook is not in force yet.
const SETTLES_AFTER: Duration = Duration::from_secs(10);

/// Measures how long a failure lasts. The value is the time of the first check in the latest, uninterrupted series of
/// checks that saw the failure. It is `None` if the last check did not see the failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lasting(Option<Instant>);

impl Lasting {
    /// Takes the result of a check at the time `now`. Returns whether the failure counts: it counts if every check has
    /// seen it for at least `SETTLES_AFTER`.
    pub fn take(&mut self, is_seen: bool, now: Instant) -> bool {
        self.0 = is_seen.then(|| self.0.unwrap_or(now));
        self.0.is_some_and(|since| now.saturating_duration_since(since) >= SETTLES_AFTER)
    }
}

/// One entry of a fixture's `ready` section that was not met.
#[derive(Clone, Debug, PartialEq)]
pub struct Unready {
    /// The fixture's id, a dot, and the name of the entry, for example `store.deployment`.
    pub what: String,
    /// The reason why the entry of `ready` was not met.
    pub cause: Cause,
    /// The time that the harness waited for the entry of `ready`.
    pub waited: Duration,
    /// The time limit of the entry of `ready`.
    pub within: Duration,
    /// The states of pods, the events and the log lines of the environment's namespace. Each text is one line.
    pub evidence: Vec<String>,
}

/// A function that decides whether a cause is the one that a break declares.
pub type Accepts<'a> = Box<dyn Fn(&Cause) -> bool + Send + Sync + 'a>;

/// The entries of `ready` that the break declares to fail. The key is the fixture's id, a dot, and the name of the
/// entry.
#[derive(Default)]
pub struct Declared<'a> {
    accepts: BTreeMap<String, Accepts<'a>>,
    former: Former,
}

impl std::fmt::Debug for Declared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.accepts.keys()).finish()
    }
}

impl<'a> Declared<'a> {
    /// Declares that a `ready` entry must fail with a cause that `accepts` accepts.
    pub fn add(&mut self, what: &str, accepts: Accepts<'a>) {
        self.accepts.insert(what.to_owned(), accepts);
    }

    /// Declares no failure. The state of these pods decides nothing.
    pub fn without_pods(former: Former) -> Self {
        Self { former, ..Self::default() }
    }

    /// Whether the state of a pod counts.
    pub(super) fn counts(&self, pod: &Pod) -> bool {
        !self.former.contains(pod)
    }

    /// The function that decides whether a `ready` entry failed in the declared way. `None` if the entry must be met.
    pub fn of(&self, what: &str) -> Option<&Accepts<'a>> {
        self.accepts.get(what)
    }

    /// Whether the set-up can stop waiting, given the entries that were not met so far. An entry that fails without a
    /// declaration ends the wait at once. Declared failures end the wait when all of them have been observed.
    pub fn settled(&self, unready: &[Unready]) -> bool {
        let seen = |what: &String| unready.iter().any(|it| it.what == *what);
        unready.iter().any(|it| !self.accepts.contains_key(&it.what))
            || (!unready.is_empty() && self.accepts.keys().all(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unready(what: &str) -> Unready {
        let cause = Cause::Resource { resource: String::new(), detail: String::new() };
        Unready { what: what.to_owned(), cause, waited: Duration::ZERO, within: Duration::ZERO, evidence: Vec::new() }
    }

    #[test]
    fn a_cause_counts_once_it_was_seen_in_every_look_for_long_enough() {
        let began = Instant::now();
        let table: [(&[(u64, bool)], bool); 5] = [
            (&[(0, true)], false),
            (&[(0, true), (9, true)], false),
            (&[(0, true), (5, true), (10, true)], true),
            // Only the last check saw the failure. The long time before this check does not count.
            (&[(0, false), (10, false), (11, true)], false),
            (&[(0, true), (8, false), (9, true), (18, true)], false),
        ];
        for (looks, counts) in table {
            let mut lasting = Lasting::default();
            let take = |_, (at, seen): &(u64, bool)| lasting.take(*seen, began + Duration::from_secs(*at));
            assert_eq!(looks.iter().fold(false, take), counts, "{looks:?}");
        }
    }

    #[test]
    fn an_undeclared_failure_ends_the_wait_at_once_declared_ones_when_all_are_seen() {
        let mut declared = Declared::default();
        declared.add("a.deployment", Box::new(|_| true));
        declared.add("b.deployment", Box::new(|_| true));
        for (seen, settled) in [
            (vec![], false),
            (vec!["a.deployment"], false),
            (vec!["a.deployment", "b.deployment"], true),
            (vec!["c.deployment"], true),
        ] {
            let unready: Vec<Unready> = seen.iter().map(|it| unready(it)).collect();
            assert_eq!(declared.settled(&unready), settled, "{seen:?}");
        }
        assert!(!Declared::default().settled(&[]));
    }
}
