//! The texts that `parallax up` prints after the flow of the kept variant has run for the first time: its results,
//! and the commands that the user may want next.

use std::fmt::Write as _;

use parallax_explain::of_step;
use parallax_vocab::event::{Outcome, StepEnded, Verdict};
use parallax_vocab::{Event, EventKind};

use super::untold;
use crate::cli::session;
use crate::standing::Handle;
use parallax_report::explanation::{explained_step, step_in_a_line};

/// The results of the first run of a kept variant's flow.
#[derive(Default)]
pub(super) struct FirstFlow {
    /// The steps that failed, and the steps that did not run because a step that they need did not pass (blocked).
    failed: Vec<StepEnded>,
    /// How the whole flow ended. `None` if only a part of it ran.
    outcome: Option<Outcome>,
}

impl FirstFlow {
    pub(super) fn see(&mut self, event: &Event) {
        match &event.event {
            EventKind::StepEnded(step) if step.verdict != Verdict::Passed => self.failed.push((**step).clone()),
            EventKind::VariantEnded(ended) => self.outcome = Some(ended.outcome.clone()),
            _ => {}
        }
    }

    /// Describes the steps that failed, and the differences from what the scenario declares. A failure that a break
    /// declares takes one line. The text is empty if no step failed and the variant behaved as its scenario declares.
    /// The text does not contain an error of the environment, because this error was already printed.
    pub(super) fn text(&self) -> String {
        let problems = match &self.outcome {
            Some(Outcome::NotAsExpected { problems }) => problems.as_slice(),
            _ => &[],
        };
        let is_declared = |step: &StepEnded| self.outcome.is_some() && problems.iter().all(|it| it.step != step.step);
        let mut text = String::new();
        let mut told = Vec::new();
        for step in &self.failed {
            let line = step_in_a_line(step);
            text.extend(["  ", &line, "\n"]);
            if !is_declared(step) {
                text += &explained_step(step);
                told.push(of_step(step));
            }
        }
        text += &untold(problems, &told);
        match &self.outcome {
            Some(Outcome::NotAsExpected { .. }) => text + "NOT as declared\n",
            Some(Outcome::AsExpected) if !text.is_empty() => text + "as declared\n",
            _ => text,
        }
    }

    /// Returns the lines with the commands that a user may want next. `of` is the option that names the run. If the
    /// commands find the run without this option, `of` is empty. `before` is the step before which the flow stopped.
    /// `programs` are the vantages at which programs can run.
    pub(super) fn next(&self, handle: &Handle, of: &str, before: Option<&str>, programs: &[String]) -> String {
        let mut text = String::new();
        let mut line = |what: &str, commands: &[String]| {
            writeln!(text, "{what:<9} {}", commands.join(", ")).expect("a String takes every write");
        };
        if matches!(self.outcome, Some(Outcome::NotAsExpected { .. } | Outcome::Error { .. }))
            || !self.failed.is_empty()
        {
            line("why", &[format!("parallax explain {} {}", session::shown(&handle.directory), handle.variant)]);
        }
        // If the environment did not become ready, the process that keeps it serves only requests for logs. So the
        // other commands are not suggested.
        let stands = !matches!(self.outcome, Some(Outcome::Error { .. }));
        if stands {
            let failed = self.failed.iter().find(|it| it.verdict == Verdict::Failed).map(|it| it.step.as_str());
            let step = before.or(failed).unwrap_or("[STEP]");
            line("again", &[format!("parallax rerun{of} {step}"), format!("parallax watch{of}")]);
        }
        let mut look: Vec<String> =
            programs.iter().filter(|_| stands).map(|it| format!("parallax shell{of} --from {it}")).collect();
        look.extend(programs.first().filter(|_| stands).map(|it| format!("parallax exec{of} --from {it} -- COMMAND")));
        look.push(format!("parallax logs{of}"));
        if stands && programs.is_empty() {
            look.push("no vantage has programs for `shell` and `exec` (`image: clients`)".to_owned());
        }
        line("look in", &look);
        line("remove", &[format!("parallax down{of}")]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, verdict: &str) -> Event {
        let event = serde_json::json!({ "at_ms": 1, "event": { "step-ended": {
            "variant": "a+b", "step": id, "kind": "dns", "from": "app", "inside": true, "verdict": verdict,
            "place": "scenario.yaml:7", "attempts": 1, "took_ms": 3, "deadline_ms": 15000,
            "cause": { "dns": { "fault": "no-such-name", "detail": "x" } } } } });
        serde_json::from_value(event).expect("an event")
    }

    fn ended(outcome: &serde_json::Value) -> Event {
        let event = serde_json::json!({ "at_ms": 2, "event": { "variant-ended": {
            "variant": "a+b", "outcome": outcome, "took_ms": 9 } } });
        serde_json::from_value(event).expect("an event")
    }

    fn handle() -> Handle {
        Handle {
            run: parallax_vocab::RunId::new("r1"),
            variant: "a+b".into(),
            file: "scenarios/a/scenario.yaml".into(),
            project: "/p".into(),
            directory: "/p/target/e2e/r1".into(),
            process: 1,
            since: 0,
        }
    }

    #[test]
    fn a_first_flow_that_failed_names_its_step_and_where_to_look() {
        let seen = |events: &[Event]| {
            let mut flow = FirstFlow::default();
            for event in events {
                flow.see(event);
            }
            flow
        };
        let problem = serde_json::json!({ "step": "got", "place": "scenario.yaml:7", "sentence": "another",
            "expected": "passed", "seen": "failed" });
        let red = seen(&[
            step("put", "passed"),
            step("got", "failed"),
            ended(&serde_json::json!({ "not-as-expected": { "problems": [problem] } })),
        ]);
        let text = red.text();
        assert!(text.contains("failed   got") && text.contains("place      scenario.yaml:7"), "{text}");
        assert!(text.ends_with("NOT as declared\n") && !text.contains("put"), "{text}");
        assert_eq!(
            red.next(&handle(), " --run r1", None, &["app".to_owned()]),
            "why       parallax explain /p/target/e2e/r1 a+b\n\
             again     parallax rerun --run r1 got, parallax watch --run r1\n\
             look in   parallax shell --run r1 --from app, parallax exec --run r1 --from app -- COMMAND, parallax logs --run r1\n\
             remove    parallax down --run r1\n"
        );
        // A failure that the break declares takes one line.
        let declared = seen(&[step("got", "failed"), ended(&"as-expected".into())]);
        assert_eq!(declared.text(), "  failed   got  0.0 s  from app\nas declared\n");
        let green = seen(&[step("put", "passed"), ended(&"as-expected".into())]);
        assert_eq!(green.text(), "");
        let text = green.next(&handle(), "", Some("got"), &[]);
        assert!(
            !text.contains("explain") && !text.contains("shell -") && text.contains("parallax rerun got,"),
            "{text}"
        );
        assert!(text.contains("no vantage has programs"), "{text}");
        let error = seen(&[ended(&serde_json::json!({ "error": { "failure": { "what": "not ready" } } }))]);
        let text = error.next(&handle(), "", None, &["app".to_owned()]);
        assert!(text.contains("parallax explain") && text.contains("look in   parallax logs\n"), "{text}");
    }
}
