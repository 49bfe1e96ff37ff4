//! The live display for an output that is not a terminal. It prints plain lines with the time, the subject and what
//! happened. If a set-up step or a variant takes long without an event, the display prints a line about it every 15 s.

use std::io::Write;

use parallax_vocab::{Event, EventKind};

use super::{doing, line_of};
use crate::seconds;
use parallax_record::Live;

/// The longest time without a line about a running set-up step or variant, in milliseconds. After this time, the
/// display prints a line that says what the step or the variant is doing.
const SILENCE_MS: u64 = 15_000;

/// A display that writes plain lines to `W`.
#[derive(Debug)]
pub struct Plain<W> {
    out: W,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    id: String,
    what: String,
    began_ms: u64,
    heard_ms: u64,
}

impl<W: Write + Send> Plain<W> {
    /// Returns a display that writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, running: Vec::new() }
    }

    fn line(&mut self, at_ms: u64, id: &str, text: &str) {
        // Writing fails if standard error is closed. This must not end a run, so the error is ignored.
        drop(writeln!(self.out, "{:>8}  {id}  {text}", seconds(at_ms)));
    }

    fn begin(&mut self, at_ms: u64, id: &str, what: &str) {
        self.end(id);
        self.running.push(Running { id: id.to_owned(), what: what.to_owned(), began_ms: at_ms, heard_ms: at_ms });
    }

    fn now(&mut self, id: &str, what: String) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id) {
            running.what = what;
        }
    }

    fn end(&mut self, id: &str) {
        self.running.retain(|running| running.id != id);
    }

    fn speak(&mut self, at_ms: u64) {
        for index in 0..self.running.len() {
            let running = &mut self.running[index];
            if at_ms.saturating_sub(running.heard_ms) < SILENCE_MS {
                continue;
            }
            running.heard_ms = at_ms;
            let (id, for_ms) = (running.id.clone(), at_ms.saturating_sub(running.began_ms));
            let text = format!("{}, for {} now", running.what, seconds(for_ms));
            self.line(at_ms, &id, &text);
        }
    }
}

impl<W: Write + Send> Live for Plain<W> {
    fn see(&mut self, event: &Event) {
        let at_ms = event.at_ms;
        match &event.event {
            EventKind::RunStarted(run) => {
                self.line(
                    at_ms,
                    run.run.as_str(),
                    &format!("{} variants, record in {}", run.variants.len(), run.directory),
                );
            }
            EventKind::SetupStarted { id, title } => {
                self.begin(at_ms, id, title);
                self.line(at_ms, id, title);
            }
            EventKind::VariantStarted(started) => {
                self.begin(at_ms, started.variant.as_str(), "running");
                self.line(at_ms, started.variant.as_str(), &format!("on {} in {}", started.cluster, started.namespace));
            }
            EventKind::SetupEnded { id, .. } => self.end(id),
            EventKind::VariantEnded(ended) => self.end(ended.variant.as_str()),
            _ => {}
        }
        if let Some((id, text)) = doing(&event.event) {
            self.now(id, text);
        }
        if let Some((id, text)) = line_of(&event.event) {
            self.line(at_ms, id, &text);
        }
        self.speak(at_ms);
    }

    fn tick(&mut self, at_ms: u64) {
        self.speak(at_ms);
    }

    fn close(&mut self) {
        drop(self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_lines_of_a_run() {
        let mut plain = Plain::new(Vec::new());
        for event in samples::expectation_failed() {
            plain.see(&event);
        }
        insta::assert_snapshot!(String::from_utf8(plain.out).expect("text"));
    }

    #[test]
    fn long_silent_work_is_heard_of_every_fifteen_seconds_and_says_what_it_does() {
        let mut plain = Plain::new(Vec::new());
        let event = |at_ms, event| Event { at_ms, event };
        plain.see(&event(0, EventKind::SetupStarted { id: "image/node".into(), title: "build the node image".into() }));
        plain.tick(14_900);
        plain.tick(15_100);
        plain.see(&event(
            16_000,
            EventKind::SetupProgress { id: "image/node".into(), text: "compiling kubernetes".into() },
        ));
        for at_s in 17..46 {
            plain.tick(at_s * 1_000);
        }
        insta::assert_snapshot!(String::from_utf8(plain.out).expect("text"), @r"
           0.0 s  image/node  build the node image
          15.1 s  image/node  build the node image, for 15.1 s now
          31.0 s  image/node  compiling kubernetes, for 31.0 s now
        ");
    }
}
