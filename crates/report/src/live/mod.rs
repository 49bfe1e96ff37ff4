//! What is shown while a run goes on: bars on a terminal, plain lines elsewhere. Always on standard error.

mod bars;
mod plain;

pub use bars::Bars;
pub use plain::Plain;

use parallax_vocab::{EventKind, inert};

use crate::seconds;
use parallax_record::Live;

/// The display for this process: bars where standard error is a terminal and nobody says that it is CI.
pub fn choose(is_terminal: bool, is_ci: bool) -> Box<dyn Live> {
    if is_terminal && !is_ci { Box::new(Bars::new()) } else { Box::new(Plain::new(std::io::stderr())) }
}

/// What is said of an event that is over: what it is about, and what happened.
fn said(event: &EventKind) -> Option<(&str, String)> {
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
        EventKind::CleanedUp { removed, remaining, took_ms } => {
            ("clean-up", format!("{removed} removed, {} left ({})", remaining.len(), seconds(*took_ms)))
        }
        _ => return None,
    };
    Some((id, in_a_line(&text)))
}

/// What others wrote, harmless and in its place.
fn in_a_line(text: &str) -> String {
    inert(text).replace('\n', "\n          ")
}

/// What something that is under way does now.
fn doing(event: &EventKind) -> Option<(&str, String)> {
    let (id, text): (&str, String) = match event {
        EventKind::SetupProgress { id, text } => (id, text.clone()),
        EventKind::StepStarted { variant, step } => (variant.as_str(), format!("step {step}")),
        EventKind::Waiting { variant, on, deadline_ms } => {
            (variant.as_str(), format!("waiting for {on} (at most {})", seconds(*deadline_ms)))
        }
        _ => return None,
    };
    Some((id, in_a_line(&text)))
}

/// One word for how a variant ended.
fn word(outcome: &parallax_vocab::event::Outcome) -> &'static str {
    use parallax_vocab::event::Outcome;
    match outcome {
        Outcome::AsExpected => "ok",
        Outcome::NotAsExpected { .. } => "FAILED",
        Outcome::Error { .. } => "ERROR",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Interrupted => "stopped",
    }
}
