//! Progress bars on a terminal. Each running unit (a set-up step or a variant) has one line. The lines of finished
//! units stand above the bars.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parallax_vocab::{Event, EventKind};

use super::{doing, line_of, word};
use crate::seconds;
use parallax_record::Live;

/// The largest number of running units that have a bar. With more bars, the screen would not be readable. Further
/// running units are only counted.
const SHOWN: usize = 8;

/// The progress bars of one run.
#[derive(Debug)]
pub struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
    running: Vec<Unit>,
    failed: u64,
}

#[derive(Debug)]
struct Unit {
    id: String,
    text: String,
    bar: Option<ProgressBar>,
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Bars {
    /// Creates bars that are drawn on standard error. Nothing is drawn if standard error is not a terminal.
    pub fn new() -> Self {
        let multi = MultiProgress::new();
        let total = multi.add(ProgressBar::no_length());
        total.set_style(style("{spinner} {elapsed:>5}  {pos}/{len} variants  {msg}"));
        total.enable_steady_tick(Duration::from_millis(200));
        Self { multi, total, running: Vec::new(), failed: 0 }
    }

    fn print(&self, at_ms: u64, id: &str, text: &str) {
        drop(self.multi.println(format!("{:>8}  {id}  {text}", seconds(at_ms))));
    }

    fn begin(&mut self, id: &str, text: &str) {
        self.end(id);
        self.running.push(Unit { id: id.to_owned(), text: text.to_owned(), bar: None });
        self.arrange();
    }

    fn now(&mut self, id: &str, text: String) {
        if let Some(unit) = self.running.iter_mut().find(|unit| unit.id == id) {
            if let Some(bar) = &unit.bar {
                bar.set_message(text.clone());
            }
            unit.text = text;
        }
    }

    fn end(&mut self, id: &str) {
        let multi = &self.multi;
        self.running.retain(|unit| {
            if unit.id != id {
                return true;
            }
            if let Some(bar) = &unit.bar {
                bar.finish_and_clear();
                multi.remove(bar);
            }
            false
        });
        self.arrange();
    }

    /// Gives a bar to each of the first [`SHOWN`] running units that does not have a bar yet.
    fn arrange(&mut self) {
        for unit in self.running.iter_mut().take(SHOWN).filter(|unit| unit.bar.is_none()) {
            let bar = self.multi.insert_before(&self.total, ProgressBar::no_length());
            bar.set_style(style("  {elapsed:>5}  {prefix}  {wide_msg}"));
            bar.set_prefix(unit.id.clone());
            bar.set_message(unit.text.clone());
            bar.enable_steady_tick(Duration::from_millis(500));
            unit.bar = Some(bar);
        }
        let hidden = self.running.len().saturating_sub(SHOWN);
        let mut says = Vec::new();
        if self.failed > 0 {
            says.push(format!("{} failed", self.failed));
        }
        if hidden > 0 {
            says.push(format!("{hidden} more running"));
        }
        self.total.set_message(says.join(", "));
    }
}

impl Live for Bars {
    fn see(&mut self, event: &Event) {
        let at_ms = event.at_ms;
        match &event.event {
            EventKind::RunStarted(run) => {
                self.total.set_length(run.variants.len() as u64);
                self.print(at_ms, run.run.as_str(), &format!("record in {}", run.directory));
            }
            EventKind::SetupStarted { id, title } => self.begin(id, title),
            EventKind::VariantStarted(started) => self.begin(started.variant.as_str(), "running"),
            EventKind::SetupEnded { id, .. } => self.end(id),
            EventKind::VariantEnded(ended) => {
                self.failed += u64::from(matches!(word(&ended.outcome), "FAILED" | "ERROR"));
                self.total.inc(1);
                self.end(ended.variant.as_str());
            }
            _ => {}
        }
        if let Some((id, text)) = doing(&event.event) {
            self.now(id, text);
        }
        if let Some((id, text)) = line_of(&event.event) {
            self.print(at_ms, id, &text);
        }
    }

    fn tick(&mut self, _at_ms: u64) {
        // Nothing to do: the bars update themselves.
    }

    fn close(&mut self) {
        for unit in self.running.drain(..) {
            if let Some(bar) = unit.bar {
                bar.finish_and_clear();
            }
        }
        self.total.finish_and_clear();
        drop(self.multi.clear());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant of ours")
}
