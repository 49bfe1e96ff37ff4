//! Deliberate faults in the judge (mutants), one at a time. With each fault, the verdict of some recorded step must
//! change. If no verdict changes, no recorded step depends on the part of the judge that has the fault.

use std::fmt;

use parallax_language::scenario::model::Matcher;
use parallax_vocab::event::Matched;

/// A judge with one deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    of: Faulty,
    always: bool,
}

/// The part of the judge that has the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faulty {
    /// The fault is in this matcher.
    Matcher(Matcher),
    /// The fault is in the check that an answer is a success. This check is implied if a step does not declare what it
    /// expects.
    Success,
    /// The fault is in the check that a program exits with code 0. This check is implied if a step declares no exit
    /// code.
    ExitCode,
}

impl Mutant {
    /// All possible faults. A matcher or an implied check can have two faults: it always holds, or it never holds.
    pub fn all() -> Vec<Self> {
        let matchers = Matcher::ALL.iter().map(|it| Faulty::Matcher(*it));
        let faulty = matchers.chain([Faulty::Success, Faulty::ExitCode]);
        let both = faulty.flat_map(|of| [true, false].map(|always| Self { of, always }));
        // The implied check of the exit code has a result only if the program failed. The fault "never holds" would not
        // change this result.
        both.filter(|it| it.of != Faulty::ExitCode || it.always).collect()
    }

    /// Whether the fault can change the results with this matcher's name. The results of the implied checks have the
    /// names `status` and `exit`.
    pub(super) fn is_of(self, name: &str) -> bool {
        let of = Matcher::named(name);
        match self.of {
            Faulty::Matcher(matcher) => of == Some(matcher),
            Faulty::Success => of == Some(Matcher::Status),
            Faulty::ExitCode => of == Some(Matcher::Exit),
        }
    }

    /// If this fault is in the part `of` of the judge, replaces the part's results by those of the faulty judge.
    pub(super) fn touch(self, of: Faulty, matchers: &mut [Matched]) {
        if self.of == of {
            for it in matchers {
                (it.held, it.unseen) = (self.always, false);
            }
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Faulty::Matcher(matcher) => write!(f, "`{matcher}`")?,
            Faulty::Success => f.write_str("success that is not declared")?,
            Faulty::ExitCode => f.write_str("an exit code that is not declared")?,
        }
        f.write_str(if self.always { " always holds" } else { " never holds" })
    }
}
