//! Judges the exit code and the output of a program against the `expect` of a step.

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;
use parallax_vocab::program::RunReply;
use serde_json::Value;

use super::expect::{equal, holds as found, quote};
use super::object::compare;
use parallax_language::scenario::model::{Expect, Matcher, Stance};

/// The exit code of success, which a step expects if it declares no exit code.
pub(super) const SUCCESS: i32 = 0;

/// Returns the result of the implied check that a program exits with code 0. `None` if the step declares an exit code,
/// or if the program succeeded.
pub(super) fn implied(expect: &Expect, run: &RunReply) -> Option<Matched> {
    let undeclared = !expect.takes(Stance::ExitCode) && run.exit != SUCCESS;
    undeclared.then(|| equal(Matcher::Exit.name(), SUCCESS.to_string(), run.exit.to_string()))
}

/// Checks that the output `text` of the program contains `words`.
pub(super) fn words(name: &str, words: &str, text: &str) -> Matched {
    Matched::new(name, found(text, words), quote(words), quote(text))
}

/// Checks that the JSON document on the program's standard output contains all fields of `part`.
pub(super) fn json(part: &Value, run: &RunReply) -> Matched {
    match &run.json {
        Some(json) => {
            let (held, expected, seen) = compare(part, json);
            Matched::new("json", held, expected, seen)
        }
        None => Matched::unseen("json", quote(&part.to_string()), format!("no JSON: {}", quote(&run.stdout))),
    }
}

/// Returns the cause for a wrong exit code, with the last lines of the program's output.
pub(super) fn exit(run: &RunReply) -> Cause {
    let words = if run.stderr.trim().is_empty() { &run.stdout } else { &run.stderr };
    let last: Vec<&str> = words.trim().lines().rev().take(3).collect();
    let detail = last.into_iter().rev().collect::<Vec<_>>().join(" / ");
    let detail = if detail.is_empty() { "it wrote nothing".to_owned() } else { detail };
    Cause::Exit { exit: run.exit, detail }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Answer;
    use parallax_vocab::answer::{Evidence, Reply};
    use serde_json::{Value, json};

    use crate::{Expected, Seen, judge};
    use parallax_vocab::program::RunReply;

    fn ended(exit: i32, stdout: &str, stderr: &str) -> Answer {
        let run = RunReply {
            exit,
            signal: None,
            stdout: stdout.to_owned(),
            stdout_bytes: stdout.len() as u64,
            stderr: stderr.to_owned(),
            stderr_bytes: stderr.len() as u64,
            json: serde_json::from_str(stdout).ok(),
        };
        Answer { outcome: Ok(Reply::Run(run)), evidence: Evidence::default() }
    }

    #[test]
    fn a_program_is_judged_by_its_end_first_and_then_by_its_words() {
        let cases: [(Option<Value>, Answer, Option<&str>); 9] = [
            (None, ended(0, "", ""), None),
            (None, ended(1, "out", "a\nb\nc\nd\n"), Some("exit: 1 (b / c / d)")),
            (Some(json!({"exit": 3})), ended(3, "", ""), None),
            (Some(json!({"exit": 3})), ended(0, "", ""), Some("exit: 0 (it wrote nothing)")),
            (Some(json!({"stdout": "ell"})), ended(0, "hello", ""), None),
            (Some(json!({"stdout": "ell"})), ended(2, "hello", ""), Some("exit: 2 (hello)")),
            (Some(json!({"stderr": "x"})), ended(0, "x", ""), Some("stderr: expected \"x\", saw \"\"")),
            (
                Some(json!({"json": {"a": {"b": 1}}})),
                ended(0, "{\"a\": {\"b\": 2, \"c\": 3}}", ""),
                Some("json: expected a.b: 1, saw a.b: 2"),
            ),
            (
                Some(json!({"json": {"a": 1}})),
                ended(0, "text", ""),
                Some("json: expected \"{\\\"a\\\":1}\", saw no JSON: \"text\""),
            ),
        ];
        for (expect, answer, cause) in cases {
            let expected = match &expect {
                Some(it) => Expected::Declared(Box::new(serde_json::from_value(it.clone()).expect("valid expect"))),
                None => Expected::Success,
            };
            let judged = judge(&expected, &answer, &Seen::default());
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expect:?}");
        }
    }

    #[test]
    fn an_exit_that_nobody_declared_is_asserted_only_where_it_fails() {
        let expected = Expected::Declared(Box::new(serde_json::from_value(json!({"stdout": "x"})).expect("valid")));
        let names = |answer: &Answer| {
            let judged = judge(&expected, answer, &Seen::default());
            judged.matchers.iter().map(|it| it.matcher.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&ended(0, "x", "")), ["stdout"]);
        assert_eq!(names(&ended(1, "x", "")), ["exit", "stdout"]);
    }
}
