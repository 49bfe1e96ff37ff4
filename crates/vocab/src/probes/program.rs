//! The probes `run` and `client`: both run a program at the vantage.

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::program::{ClientQuestion, ClientTask, RunQuestion, RunReply};
use crate::secret::Secret;

/// The number of last lines of a program's output that reports contain.
const LAST_LINES: usize = 5;

impl Asked for RunQuestion {
    fn in_words(&self) -> String {
        format!("to run {}", self.argv.join(" "))
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Host(self.argv.first().map_or("", String::as_str)),
            names: Names::Question,
            http: None,
            signed: None,
            token: None,
            signs: None,
            exchange: None,
            is_program: true,
            may_write: true,
        }
    }
}

impl ClientTask {
    fn kind(&self) -> &dyn Asked {
        match self {
            Self::Presign(it) => it,
            Self::S3(it) => it,
            Self::Http(it) => it,
        }
    }
}

impl Asked for ClientQuestion {
    fn in_words(&self) -> String {
        format!("{}: {}", self.client, self.task.kind().in_words())
    }

    fn facts(&self) -> QuestionFacts<'_> {
        // A client program signs in its own way, and not as the harness's probe does. So the harness does not examine
        // the signature of the program's request, or a URL that the program signs.
        QuestionFacts { signed: None, signs: None, is_program: true, ..self.task.kind().facts() }
    }
}

impl Replied for RunReply {
    fn facts(&self) -> ReplyFacts<'_> {
        ReplyFacts {
            status: None,
            s3_error: None,
            sts: None,
            addresses: None,
            headers: None,
            body: None,
            body_cut_from: None,
            keys: None,
            survey: None,
            jwt: None,
            run: Some(self),
            request_id: None,
            is_refusal_to_show: false,
            is_of_a_store: false,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: None, credentials: None, json: None }
    }

    fn with_entry(&self, _: &str) -> Option<Reply> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let streams = [("stdout", &self.stdout, self.stdout_bytes), ("stderr", &self.stderr, self.stderr_bytes)];
        let written = streams.into_iter().filter(|(_, _, bytes)| *bytes > 0);
        let in_words = |text: &str, bytes| format!("{bytes} bytes, at the end: {}", last_lines(text));
        written.map(|(what, text, bytes)| (what, in_words(text, bytes))).collect()
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}

/// The last lines of a program's output.
fn last_lines(text: &str) -> &str {
    let text = text.trim_end();
    text.rmatch_indices('\n').nth(LAST_LINES - 1).map_or(text, |(at, _)| &text[at..])
}
