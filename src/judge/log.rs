//! What containers wrote, against one `expect`.

use std::collections::VecDeque;

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;

use super::altered;
use super::expect::{Judgement, holds, quote, quote_around};
use parallax_language::scenario::model::Expect;

/// How many of the last lines are kept as evidence.
const KEPT: usize = 20;

/// A log as it is read, line by line: bounded, however long it is.
#[derive(Clone, Debug)]
pub struct LogLook {
    line: Option<String>,
    no_line: Option<String>,
    found: Option<String>,
    forbidden: Option<String>,
    count: usize,
    last: VecDeque<String>,
    /// Lines that were not seen to their end.
    cut: usize,
    /// How many logs were read to their end.
    whole: usize,
    /// What there was and could not be read.
    unread: Vec<String>,
}

impl LogLook {
    /// Looks for what is expected.
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

    /// Takes the next line.
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

    /// Takes a line of an instance before the present one. What must be in no line must not be in this one either; what must be
    /// in some line must be in one of the present instance.
    pub fn take_earlier(&mut self, line: &str) {
        if self.forbidden.is_none() && self.no_line.as_ref().is_some_and(|text| holds(line, text)) {
            self.forbidden = Some(line.to_owned());
        }
    }

    /// The line that was taken last went on.
    pub fn was_cut(&mut self) {
        self.cut += 1;
    }

    /// So many logs were read to their end.
    pub fn read_whole(&mut self, logs: usize) {
        self.whole += logs;
    }

    /// This was not read.
    pub fn not_read(&mut self, what: impl Into<String>) {
        self.unread.push(what.into());
    }

    /// Whether something must be in no line, so that everything has to be read.
    pub fn forbids(&self) -> bool {
        self.no_line.is_some()
    }

    /// What was not seen of it, a sentence each.
    pub fn unseen(&self) -> Vec<String> {
        let cut = (self.cut > 0).then(|| format!("{} lines were too long, and were cut", self.cut));
        let nothing = (self.whole == 0).then(|| "no container of it has begun to write a log".to_owned());
        self.unread.iter().cloned().chain(cut).chain(nothing.filter(|_| self.unread.is_empty())).collect()
    }

    /// The last lines, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// The first line that was looked for, where it was seen.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Judges what was read. What must be in no line is only known of a log that was read to its end: of any other it does not
    /// hold, and why is the cause.
    pub fn judge(&self, resource: &str) -> Judgement {
        let others = || self.others().into_iter().map(|it| it.judge_once(resource));
        altered::shown(self.judge_once(resource), others)
    }

    /// Logs that were read to their end, of one line each: one that nobody looks for, and one that is forbidden.
    fn others(&self) -> Vec<Self> {
        let of = |line: &str| {
            let (line_wanted, no_line) = (self.line.clone(), self.no_line.clone());
            let mut look = Self { line: line_wanted, no_line, ..Self::new(None) };
            look.read_whole(1);
            look.take(line);
            look
        };
        [Some("\u{fffd}"), self.no_line.as_deref()].into_iter().flatten().map(of).collect()
    }

    fn judge_once(&self, resource: &str) -> Judgement {
        let mut judged = Judgement::of(self.some_line().into_iter().collect());
        let Some(text) = &self.no_line else { return judged };
        let expected = format!("{} in no line", quote(text));
        let unseen = self.unseen();
        let (matched, cause) = match &self.forbidden {
            Some(line) => {
                let matched = Matched::new("no-line", false, expected, format!("in {}", quote_around(line, text)));
                (matched.clone(), Judgement::of(vec![matched]).cause)
            }
            None if unseen.is_empty() => (Matched::new("no-line", true, expected, self.in_none()), None),
            None => {
                let why = unseen.join("; ");
                let detail = format!("its log was not read to its end: {why}");
                let cause = Cause::Resource { resource: resource.to_owned(), detail };
                (Matched::unseen("no-line", expected, why), Some(cause))
            }
        };
        judged.matchers.push(matched);
        judged.cause = judged.cause.or(cause);
        judged
    }

    fn some_line(&self) -> Option<Matched> {
        let text = self.line.as_ref()?;
        let found = self.found.as_deref();
        let seen = found.map_or_else(|| self.in_none(), |line| format!("in {}", quote_around(line, text)));
        let expected = format!("{} in some line", quote(text));
        Some(Matched { unseen: self.count == 0, ..Matched::new("line", found.is_some(), expected, seen) })
    }

    /// Judges a log that cannot be read: what should have it is not there, or has none.
    pub fn none(&self, resource: &str, why: &str) -> Judgement {
        let wanted = [("line", &self.line, "some"), ("no-line", &self.no_line, "no")];
        let matchers = wanted.into_iter().filter_map(|(matcher, text, which)| {
            let expected = format!("{} in {which} line", quote(text.as_ref()?));
            Some(Matched::unseen(matcher, expected, "no log"))
        });
        let cause = Cause::Resource { resource: resource.to_owned(), detail: why.to_owned() };
        Judgement { matchers: matchers.collect(), cause: Some(cause) }
    }

    fn in_none(&self) -> String {
        match (self.count, self.last.back()) {
            (1, Some(line)) => format!("in none: the only line is {}", quote(line)),
            (count, Some(line)) => format!("in none of {count} lines, the last of them {}", quote(line)),
            (_, None) => "in none: nothing is written".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        ] {
            let judged = look(expect.clone(), &lines).judge("Pod x");
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expect}");
        }
    }

    #[test]
    fn what_was_not_read_to_its_end_holds_no_silence() {
        let quiet = || look(json!({"no-line": "x509"}), &["begin"]);
        let cause = |look: &LogLook| look.judge("Pod x").cause.map(|it| it.to_string());
        assert_eq!(cause(&quiet()), None);
        let told = |why: &str| Some(format!("resource: Pod x: its log was not read to its end: {why}"));
        let mut cut = quiet();
        cut.was_cut();
        assert_eq!(cause(&cut), told("1 lines were too long, and were cut"));
        let mut lost = quiet();
        lost.not_read("the log of the present run is gone");
        assert_eq!(cause(&lost), told("the log of the present run is gone"));
        assert!(lost.judge("Pod x").matchers[0].unseen);
        let expect: Expect = serde_json::from_value(json!({"no-line": "x509"})).expect("valid");
        assert_eq!(cause(&LogLook::new(Some(&expect))), told("no container of it has begun to write a log"));
        // One that is there is there, however much was not read.
        cut.take_earlier("x509: expired");
        assert_eq!(cause(&cut).as_deref(), Some(r#"no-line: expected "x509" in no line, saw in "x509: expired""#));
    }

    #[test]
    fn only_the_present_instance_has_some_line() {
        let mut look = look(json!({"line": "ready"}), &["begin"]);
        look.take_earlier("ready");
        assert!(look.judge("Pod x").cause.is_some());
    }

    #[test]
    fn where_there_is_no_log_every_matcher_is_red() {
        let judged = look(json!({"line": "a", "no-line": "b"}), &[]).none("Pod x", "it does not exist");
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
