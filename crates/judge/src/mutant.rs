//! Faults made in the judge on purpose, one at a time: each must be noticed, or what it stands for is asserted by nothing.

use std::fmt;

use parallax_language::scenario::model::Matcher;
use parallax_vocab::event::Matched;

/// A judge with one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    of: Faulty,
    always: bool,
}

/// What the fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faulty {
    /// A row of the table of matchers.
    Matcher(Matcher),
    /// That an answer is one of success, where nothing is said of it.
    Success,
    /// That a program ends with exit code 0, where nothing is said of it.
    ExitCode,
}

impl Mutant {
    /// Every fault that there is: each matcher as one that always holds, and as one that never does.
    pub fn all() -> Vec<Self> {
        let matchers = Matcher::ALL.iter().map(|it| Faulty::Matcher(*it));
        let faulty = matchers.chain([Faulty::Success, Faulty::ExitCode]);
        let both = faulty.flat_map(|of| [true, false].map(|always| Self { of, always }));
        // An exit code of success that nobody declared is no matcher, so there is none that could say no.
        both.filter(|it| it.of != Faulty::ExitCode || it.always).collect()
    }

    /// Whether the fault is in the matcher of this name.
    pub(super) fn is_of(self, name: &str) -> bool {
        let name = name.split('.').next().unwrap_or(name);
        match self.of {
            Faulty::Matcher(matcher) => matcher.name() == name,
            Faulty::Success => name == "status",
            Faulty::ExitCode => name == "exit",
        }
    }

    /// What became of matchers, as the faulty judge says it.
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
