//! What containers wrote, against one `expect`.

use std::collections::VecDeque;

use parallax_vocab::Cause;
use parallax_vocab::event::Matched;

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
        }
    }

    /// Takes the next line.
    pub fn take(&mut self, line: &str) {
        self.count += 1;
        if self.found.is_none() && self.line.as_ref().is_some_and(|text| holds(line, text)) {
            self.found = Some(line.to_owned());
        }
        if self.forbidden.is_none() && self.no_line.as_ref().is_some_and(|text| holds(line, text)) {
            self.forbidden = Some(line.to_owned());
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// The last lines, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// The first line that was looked for, where it was seen.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Judges what was read so far.
    pub fn judge(&self) -> Judgement {
        let mut matchers = Vec::new();
        if let Some(text) = &self.line {
            let seen =
                self.found.as_deref().map_or_else(|| self.in_none(), |line| format!("in {}", quote_around(line, text)));
            let expected = format!("{} in some line", quote(text));
            let unseen = self.count == 0;
            matchers.push(Matched { unseen, ..Matched::new("line", self.found.is_some(), expected, seen) });
        }
        if let Some(text) = &self.no_line {
            let seen = self
                .forbidden
                .as_deref()
                .map_or_else(|| self.in_none(), |line| format!("in {}", quote_around(line, text)));
            let expected = format!("{} in no line", quote(text));
            matchers.push(Matched::new("no-line", self.forbidden.is_none(), expected, seen));
        }
        Judgement::of(matchers)
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
            let judged = look(expect.clone(), &lines).judge();
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expect}");
        }
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
