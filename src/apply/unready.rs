//! A fixture's readiness that does not come: what the system under test does wrong, so a cause, and no error of ours.

use std::collections::BTreeMap;
use std::time::Duration;

use parallax_vocab::Cause;

/// One entry of a fixture's `ready` that was not met.
#[derive(Clone, Debug, PartialEq)]
pub struct Unready {
    /// The expectation: fixture id, dot, name of the entry: `store.deployment`.
    pub what: String,
    /// Why it was not met.
    pub cause: Cause,
    /// How long it was waited for.
    pub waited: Duration,
    /// How long it would have been waited for.
    pub within: Duration,
    /// States, events and log lines of the namespace.
    pub evidence: Vec<String>,
}

/// Whether a cause is the one that was declared.
pub type Accepts<'a> = Box<dyn Fn(&Cause) -> bool + Send + Sync + 'a>;

/// The readinesses that are declared to fail, by `fixture.name`.
#[derive(Default)]
pub struct Declared<'a>(BTreeMap<String, Accepts<'a>>);

impl std::fmt::Debug for Declared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'a> Declared<'a> {
    /// Adds a readiness that is to fail with a cause that `accepts` takes.
    pub fn add(&mut self, what: &str, accepts: Accepts<'a>) {
        self.0.insert(what.to_owned(), accepts);
    }

    /// What is declared of a readiness; none where it is to come.
    pub fn of(&self, what: &str) -> Option<&Accepts<'a>> {
        self.0.get(what)
    }

    /// Whether nothing more needs to be waited for, once these did not come: one that is not declared settles the
    /// matter at once, declared ones when all of them are seen.
    pub fn settled(&self, unready: &[Unready]) -> bool {
        let seen = |what: &String| unready.iter().any(|it| it.what == *what);
        unready.iter().any(|it| !self.0.contains_key(&it.what)) || (!unready.is_empty() && self.0.keys().all(seen))
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
    fn what_is_not_declared_settles_at_once_and_what_is_declared_when_all_of_it_is_seen() {
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
