//! Bounds: whether a measured value is at least one limit and below another.

use std::fmt::{self, Display};

use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{NumberBound, SpanBound};
use parallax_vocab::event::Matched;

/// A bound of a number or a duration: a lower limit, an upper limit, or both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<T> {
    at_least: Option<T>,
    below: Option<T>,
}

impl<T: PartialOrd + Display> Bound<T> {
    /// Returns the result of a matcher with this bound. If there is no value, the matcher does not hold. `words` is the
    /// text that messages show as the observed value.
    pub(super) fn judge(&self, matcher: &str, seen: Option<&T>, words: String) -> Matched {
        let held = seen.is_some_and(|seen| {
            self.at_least.as_ref().is_none_or(|least| seen >= least)
                && self.below.as_ref().is_none_or(|below| seen < below)
        });
        let expected = self.to_string();
        if seen.is_none() {
            Matched::unseen(matcher, expected, words)
        } else {
            Matched::new(matcher, held, expected, words)
        }
    }
}

impl<T: Display> Display for Bound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.at_least.as_ref().map(|it| format!("{it} or more"));
        let below = self.below.as_ref().map(|it| format!("below {it}"));
        f.write_str(&least.into_iter().chain(below).collect::<Vec<_>>().join(" and "))
    }
}

impl From<NumberBound> for Bound<f64> {
    fn from(bound: NumberBound) -> Self {
        Self { at_least: bound.at_least.as_deref().copied(), below: bound.below.as_deref().copied() }
    }
}

impl From<SpanBound> for Bound<Span> {
    fn from(bound: SpanBound) -> Self {
        Self { at_least: bound.at_least, below: bound.below }
    }
}

#[cfg(test)]
mod tests {
    use parallax_language::scenario::number::Number;

    use super::*;

    #[test]
    fn a_bound_takes_its_least_and_not_its_end() {
        let bound = |at_least: Option<f64>, below: Option<f64>| {
            let known = |limit: Option<f64>| limit.map(Number::Known);
            Bound::from(NumberBound { at_least: known(at_least), below: known(below) })
        };
        for (bound, seen, held, expected) in [
            (bound(Some(1.0), Some(2.0)), Some(1.0), true, "1 or more and below 2"),
            (bound(Some(1.0), Some(2.0)), Some(2.0), false, "1 or more and below 2"),
            (bound(Some(1.5), None), Some(1.4), false, "1.5 or more"),
            (bound(None, Some(2.0)), None, false, "below 2"),
        ] {
            let matched = bound.judge("worst", seen.as_ref(), "words".to_owned());
            assert_eq!((matched.held, matched.expected.as_str()), (held, expected), "{bound:?} {seen:?}");
            assert_eq!((matched.matcher.as_str(), matched.seen.as_str()), ("worst", "words"));
        }
    }
}
