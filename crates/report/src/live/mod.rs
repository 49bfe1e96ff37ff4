//! The live display of a run: progress bars on a terminal, otherwise plain lines. Both write to standard error.

mod bars;
mod plain;

pub use bars::Bars;
pub use plain::Plain;

use parallax_vocab::{EventKind, inert};

use crate::seconds;
use parallax_record::Live;

/// Returns the display for this process: progress bars if standard error is a terminal and the process does not run in
/// CI, otherwise plain lines.
pub fn choose(is_terminal: bool, is_ci: bool) -> Box<dyn Live> {
    if is_terminal && !is_ci { Box::new(Bars::new()) } else { Box::new(Plain::new(std::io::stderr())) }
}

/// Returns the subject of an event (for example the id of a variant) and one line about what happened. `None` for an
/// event that the display does not show as a line.
fn line_of(event: &EventKind) -> Option<(&str, String)> {
    let (id, text): (&str, String) = match event {
        EventKind::Note { text } => ("note", text.clone()),
        EventKind::Warning { text } => ("warning", text.clone()),
        EventKind::SetupEnded { id, took_ms, detail, error } => match error {
            Some(failure) => (id, format!("FAILED: {}", failure.what)),
            None => (id, format!("{detail} ({})", seconds(*took_ms))),
        },
        EventKind::VariantEnded(ended) => {
            (ended.variant.as_str(), format!("{} ({})", word(&ended.outcome), seconds(ended.took_ms)))
        }
        EventKind::CleanedUp { removed, remaining, took_ms, .. } => {
            ("clean-up", format!("{removed} removed, {} left ({})", remaining.len(), seconds(*took_ms)))
        }
        _ => return None,
    };
    Some((id, in_a_line(&text)))
}

/// Makes a text from outside the harness harmless. Control characters are escaped. Lines after the first line are
/// indented, so that they cannot imitate lines of the harness.
fn in_a_line(text: &str) -> String {
    inert(text).replace('\n', "\n          ")
}

/// Returns the subject of a progress event (a set-up step or a variant), and what it is doing now. `None` for other
/// events.
fn doing(event: &EventKind) -> Option<(&str, String)> {
    let (id, text): (&str, String) = match event {
        EventKind::SetupProgress { id, text } => (id, text.clone()),
        EventKind::StepStarted { variant, step } => (variant.as_str(), format!("step {step}")),
        _ => return None,
    };
    Some((id, in_a_line(&text)))
}

/// One word for the outcome of a variant.
fn word(outcome: &parallax_vocab::event::Outcome) -> &'static str {
    use parallax_vocab::event::Outcome;
    match outcome {
        Outcome::AsExpected => "ok",
        Outcome::NotAsExpected { .. } => "FAILED",
        Outcome::Error { .. } => "ERROR",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Interrupted => "stopped",
        Outcome::NotBegun { .. } => "not run",
    }
}
