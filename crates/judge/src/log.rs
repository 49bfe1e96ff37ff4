//! Judges the log output of containers against the `expect` of a step.

use std::collections::VecDeque;

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;
use serde::{Deserialize, Serialize, Serializer};

use super::expect::{holds, quote, quote_around};
use super::look::Looked;
use parallax_language::scenario::model::Expect;

/// The text that messages show as the observed value if there is no log.
const NO_LOG: &str = "no log";
/// The number of last lines of a log that are kept as evidence.
const KEPT: usize = 20;

/// The state of reading logs line by line. It keeps only a few lines, however long the logs are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLook {
    line: Option<String>,
    no_line: Option<String>,
    found: Option<String>,
    forbidden: Option<String>,
    count: usize,
    /// The last lines of the log, oldest first. Only the newest line is serialized, because the step's event already
    /// contains the last lines in another field.
    #[serde(serialize_with = "newest")]
    last: VecDeque<String>,
    /// The number of lines that were cut because they were too long.
    cut: usize,
    /// The number of logs that were read to their end.
    whole: usize,
    /// The logs that exist but were not read completely: for each, a text with the reason.
    unread: Vec<String>,
}

impl LogLook {
    /// Prepares the search of logs for the text that `expect` requires and for the text that `expect` forbids.
    pub fn new(expect: Option<&Expect>) -> Self {
        Self {
            line: expect.and_then(|it| it.line.clone()),
            no_line: expect.and_then(|it| it.no_line.clone()),
            found: None,
            forbidden: None,
            count: 0,
            last: VecDeque::new(),
            cut: 0,
            whole: 0,
            unread: Vec::new(),
        }
    }

    /// Adds the next line of the log of a container's current instance.
    pub fn take(&mut self, line: &str) {
        self.count += 1;
        if self.found.is_none() && self.line.as_ref().is_some_and(|text| holds(line, text)) {
            self.found = Some(line.to_owned());
        }
        self.take_earlier(line);
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// Adds a line of an earlier instance of the container, from before a restart. A forbidden text must not occur in
    /// an earlier line either. A required text counts only if it occurs in a line of the current instance.
    pub fn take_earlier(&mut self, line: &str) {
        if self.forbidden.is_none() && self.no_line.as_ref().is_some_and(|text| holds(line, text)) {
            self.forbidden = Some(line.to_owned());
        }
    }

    /// Records that one of the lines was too long and was cut.
    pub fn was_cut(&mut self) {
        self.cut += 1;
    }

    /// Records that `logs` further logs were read to their end.
    pub fn read_whole(&mut self, logs: usize) {
        self.whole += logs;
    }

    /// Records that a log was not read completely. `what` says which log, and why.
    pub fn not_read(&mut self, what: impl Into<String>) {
        self.unread.push(what.into());
    }

    /// Returns altered logs, which prove that the matchers can fail. Each altered log has one line and was read to its
    /// end. The line of the first log contains no text that a matcher searches for. If the step forbids a text, there
    /// is a second log, whose line is this text.
    pub(super) fn others(&self) -> Vec<Self> {
        let of = |line: &str| {
            let (line_wanted, no_line) = (self.line.clone(), self.no_line.clone());
            let mut look = Self { line: line_wanted, no_line, ..Self::new(None) };
            look.read_whole(1);
            look.take(line);
            look
        };
        [Some("\u{fffd}"), self.no_line.as_deref()].into_iter().flatten().map(of).collect()
    }

    /// Whether the step requires a text in the log. If so, the caller follows the log until the text appears.
    pub fn requires(&self) -> bool {
        self.line.is_some()
    }

    /// Whether the step forbids a text in the log. If so, the caller must read the whole log.
    pub fn forbids(&self) -> bool {
        self.no_line.is_some()
    }

    /// Returns one sentence for each part of the log that was not read.
    pub fn unseen(&self) -> Vec<String> {
        let cut = (self.cut > 0).then(|| format!("{} lines were too long, and were cut", self.cut));
        let nothing = (self.whole == 0).then(|| "no container of it has begun to write a log".to_owned());
        self.unread.iter().cloned().chain(cut).chain(nothing.filter(|_| self.unread.is_empty())).collect()
    }

    /// Returns the last lines of the log, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// Returns the first line that contains the required text. `None` if no line contains it.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Returns the cause for this case: the forbidden text was not found, but the log was not read to its end.
    pub(super) fn not_read_to_its_end(&self, resource: &str) -> Cause {
        let detail = format!("its log was not read to its end: {}", self.unseen().join("; "));
        Cause::Resource { resource: resource.to_owned(), detail }
    }

    fn in_none(&self) -> String {
        match (self.count, self.last.back()) {
            (1, Some(line)) => format!("in none: the only line is {}", quote(line)),
            (count, Some(line)) => format!("in none of {count} lines, the last of them {}", quote(line)),
            (_, None) if self.unread.is_empty() => "in none: nothing is written".to_owned(),
            (_, None) => format!("in none, but not everything was read: {}", self.unread.join("; ")),
        }
    }
}

fn newest<S: Serializer>(last: &VecDeque<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(last.back())
}

/// Checks that at least one line of the log contains `text`.
pub(super) fn line(name: &str, text: &str, looked: &Looked) -> Option<Matched> {
    let Looked::Log { log, missing, .. } = looked else { return None };
    let expected = format!("{} in some line", quote(text));
    if missing.is_some() {
        return Some(Matched::unseen(name, expected, NO_LOG));
    }
    let found = log.found().filter(|line| holds(line, text));
    let seen = found.map_or_else(|| log.in_none(), |line| format!("in {}", quote_around(line, text)));
    Some(Matched { unseen: log.count == 0, ..Matched::new(name, found.is_some(), expected, seen) })
}

/// Checks that no line of the log contains `text`. Only a log that was read to its end can show this. Otherwise the
/// matcher does not hold.
pub(super) fn no_line(name: &str, text: &str, looked: &Looked) -> Option<Matched> {
    let Looked::Log { log, missing, .. } = looked else { return None };
    let expected = format!("{} in no line", quote(text));
    if missing.is_some() {
        return Some(Matched::unseen(name, expected, NO_LOG));
    }
    let unseen = log.unseen();
    Some(match log.forbidden.as_deref().filter(|line| holds(line, text)) {
        Some(line) => Matched::new(name, false, expected, format!("in {}", quote_around(line, text))),
        None if unseen.is_empty() => Matched::new(name, true, expected, log.in_none()),
        None => Matched::unseen(name, expected, unseen.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Judgement, judge_look};

    fn judged(look: &LogLook, missing: Option<&str>) -> Judgement {
        let expect = Expect { line: look.line.clone(), no_line: look.no_line.clone(), ..Expect::default() };
        let (resource, missing) = ("Pod x".to_owned(), missing.map(str::to_owned));
        judge_look(Some(&expect), &Looked::Log { resource, log: look.clone(), missing })
    }

    fn look(expect: serde_json::Value, lines: &[&str]) -> LogLook {
        let expect: Expect = serde_json::from_value(expect).expect("valid");
        let mut look = LogLook::new(Some(&expect));
        look.read_whole(1);
        for line in lines {
            look.take(line);
        }
        look
    }

    #[test]
    fn a_log_is_altered_to_one_harmless_line_and_to_one_that_is_forbidden() {
        let altered = |expect| look(expect, &["begin"]).others().len();
        assert_eq!((altered(json!({"line": "begin"})), altered(json!({"no-line": "x509"}))), (1, 2));
    }

    #[test]
    fn only_a_forbidden_text_needs_the_whole_log() {
        for (expect, forbids) in [
            (json!({"line": "ready"}), false),
            (json!({}), false),
            (json!({"no-line": "x509"}), true),
            (json!({"line": "ready", "no-line": "x509"}), true),
        ] {
            assert_eq!(look(expect.clone(), &["begin"]).forbids(), forbids, "{expect}");
        }
        assert!(!LogLook::new(None).forbids());
    }

    #[test]
    fn a_line_is_there_or_it_is_not() {
        for (expect, lines, cause) in [
            (json!({"line": "ready"}), vec!["begin", "all ready", "end"], None),
            (
                json!({"line": "ready"}),
                vec!["begin", "end"],
                Some(r#"line: expected "ready" in some line, saw in none of 2 lines, the last of them "end""#),
            ),
            (
                json!({"line": "ready"}),
                vec![],
                Some(r#"line: expected "ready" in some line, saw in none: nothing is written"#),
            ),
            (json!({"no-line": "x509"}), vec!["begin"], None),
            (
                json!({"line": "begin", "no-line": "x509"}),
                vec!["begin", "x509: unknown authority", "end"],
                Some(r#"no-line: expected "x509" in no line, saw in "x509: unknown authority""#),
            ),
            (
                json!({"no-line": "x509"}),
                vec!["x509: expired", "x509: unknown authority"],
                Some(r#"no-line: expected "x509" in no line, saw in "x509: expired""#),
            ),
        ] {
            let judged = judged(&look(expect.clone(), &lines), None);
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expect}");
        }
    }

    #[test]
    fn what_was_not_read_to_its_end_holds_no_silence() {
        let quiet = || look(json!({"no-line": "x509"}), &["begin"]);
        let cause = |look: &LogLook| judged(look, None).cause.map(|it| it.to_string());
        assert_eq!(cause(&quiet()), None);
        let told = |why: &str| Some(format!("resource: Pod x: its log was not read to its end: {why}"));
        let mut cut = quiet();
        cut.was_cut();
        assert_eq!(cause(&cut), told("1 lines were too long, and were cut"));
        let mut lost = quiet();
        lost.not_read("the log of the present run is gone");
        assert_eq!(cause(&lost), told("the log of the present run is gone"));
        assert!(judged(&lost, None).matchers[0].unseen);
        let expect: Expect = serde_json::from_value(json!({"no-line": "x509"})).expect("valid");
        assert_eq!(cause(&LogLook::new(Some(&expect))), told("no container of it has begun to write a log"));
        let mut nothing = look(json!({"line": "ready"}), &[]);
        nothing.not_read("pod x: unable to retrieve container logs");
        let seen = "in none, but not everything was read: pod x: unable to retrieve container logs";
        assert_eq!(cause(&nothing), Some(format!(r#"line: expected "ready" in some line, saw {seen}"#)));
        // A forbidden text that was found counts, even if other parts of the log were not read.
        cut.take_earlier("x509: expired");
        assert_eq!(cause(&cut).as_deref(), Some(r#"no-line: expected "x509" in no line, saw in "x509: expired""#));
    }

    #[test]
    fn only_the_present_instance_has_some_line() {
        let mut look = look(json!({"line": "ready"}), &["begin"]);
        look.take_earlier("ready");
        assert!(judged(&look, None).cause.is_some());
    }

    #[test]
    fn where_there_is_no_log_every_matcher_is_red() {
        let judged = judged(&look(json!({"line": "a", "no-line": "b"}), &[]), Some("it does not exist"));
        assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), Some("resource: Pod x: it does not exist"));
        assert_eq!(judged.matchers.iter().map(|it| it.held).collect::<Vec<_>>(), [false, false]);
    }

    #[test]
    fn a_long_log_is_kept_in_part() {
        let mut look = look(json!({"line": "line 3"}), &[]);
        (0..1000).for_each(|number| look.take(&format!("line {number}")));
        assert_eq!((look.found(), look.last().count(), look.last().next()), (Some("line 3"), KEPT, Some("line 980")));
    }
}
