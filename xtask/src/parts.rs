//! Runs the parts of a task. Each part is timed and reported, and a failed part does not prevent later parts.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;

/// Prints a line for the user to standard error. Standard output is for the programs that a task starts.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// How one part of a task ended. A part is, for example, clippy in `lint`.
pub(crate) enum End {
    Ok,
    /// The part failed. The list contains the names of the tests that failed, if they are known.
    Failed(Vec<String>),
    /// The part did not run. The text is the reason.
    Skipped(String),
}

impl From<bool> for End {
    fn from(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Failed(Vec::new()) }
    }
}

/// The parts that have run. Each has its name, its end and its time in seconds.
#[derive(Default)]
pub(crate) struct Parts(Vec<(String, End, u64)>);

impl Parts {
    /// Runs a part. An error is printed and counts as a failure.
    pub(crate) fn run<E: Into<End>>(&mut self, name: &str, part: impl FnOnce() -> Result<E>) -> bool {
        say(&format!("== {name}"));
        let began = Instant::now();
        let end = part().map_or_else(
            |error| {
                say(&format!("error: {error:#}"));
                End::Failed(Vec::new())
            },
            Into::into,
        );
        let ok = !matches!(end, End::Failed(_));
        self.0.push((name.to_owned(), end, began.elapsed().as_secs()));
        ok
    }

    /// Prints how each part ended. Returns whether no part failed.
    pub(crate) fn close(&self) -> bool {
        say("");
        let width = self.0.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        for (name, end, took_s) in &self.0 {
            let text = match end {
                End::Ok => format!("ok       {took_s} s"),
                End::Failed(_) => format!("FAILED   {took_s} s"),
                End::Skipped(reason) => format!("skipped  {reason}"),
            };
            say(&format!("{name:<width$}  {text}"));
            // The names of failed tests are printed at the end. A person sees the end of a long output first, and a CI
            // service keeps the end.
            if let End::Failed(names) = end {
                for it in names {
                    say(&format!("{:width$}    {it}", ""));
                }
            }
        }
        !self.0.iter().any(|(_, end, _)| matches!(end, End::Failed(_)))
    }
}
