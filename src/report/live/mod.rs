//! What is shown while a run goes on: bars on a terminal, plain lines elsewhere. Always on standard error.

mod bars;
mod plain;

pub use bars::Bars;
pub use plain::Plain;

use crate::record::Live;

/// The display for this process: bars where standard error is a terminal and nobody says that it is CI.
pub fn choose(is_terminal: bool, is_ci: bool) -> Box<dyn Live> {
    if is_terminal && !is_ci { Box::new(Bars::new()) } else { Box::new(Plain::new(std::io::stderr())) }
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
