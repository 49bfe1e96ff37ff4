//! Asks a question through an external client (an SDK, curl, a browser) instead of the probe's own code. The client's
//! program reads a task as JSON from standard input, and writes the outcome as JSON to standard output
//! (`images/clients/programs/clients/contract.py`).

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use parallax_vocab::answer::{BODY_LIMIT_BYTES, HttpReply, PresignReply, Reply, S3Error, S3Reply};
use parallax_vocab::program::{CA_BUNDLE, ClientQuestion, ClientTask, RunQuestion};
use parallax_vocab::question::S3Operation;
use parallax_vocab::{Cause, Secret};
use serde::Deserialize;
use serde_json::Value;

use crate::apart::Programs;
use crate::dial::Dialler;
use crate::program::{self, Ended};
use crate::{invalid, s3_error};

/// The largest size of an outcome, in bytes. An outcome may contain the body of an answer. A longer outcome is cut, so
/// it is no valid JSON, and the question fails.
const OUTCOME_LIMIT_BYTES: usize = 512 * 1024;
/// The largest part of the end of a program's output that an error message contains, in bytes.
const LAST_OUTPUT_BYTES: usize = 400;

/// Runs the client's program with the task of the question, and converts the outcome into a reply.
pub(crate) async fn answer(question: &ClientQuestion, dialler: &Dialler, programs: Programs) -> Result<Reply, Cause> {
    let run = RunQuestion {
        argv: vec![question.program.clone()],
        env: environment(question),
        stdin: Some(Secret::new(task(question)?.to_string())),
    };
    let ended = program::run(&run, dialler, OUTCOME_LIMIT_BYTES, programs).await?;
    if ended.exit != 0 {
        return Err(Cause::Exit { exit: ended.exit, detail: last_output(&ended) });
    }
    let outcome = ended.stdout.whole().and_then(|bytes| serde_json::from_slice::<Outcome>(bytes).ok());
    let outcome = outcome
        .ok_or_else(|| invalid(format!("{} printed no valid outcome: {}", question.client, last_output(&ended))))?;
    outcome.reply(question)
}

/// Returns the environment variables of the client's program: the path of its certificate bundle, and the variables of
/// the scenario. AWS clients may look for credentials at the metadata address of cloud machines. The variable
/// `AWS_EC2_METADATA_DISABLED` switches off this search.
fn environment(question: &ClientQuestion) -> BTreeMap<String, Secret> {
    let mut env = BTreeMap::from([
        (question.trust_in.clone(), Secret::new(CA_BUNDLE)),
        ("AWS_EC2_METADATA_DISABLED".to_owned(), Secret::new("true")),
    ]);
    env.extend(question.env.clone());
    env
}

fn task(question: &ClientQuestion) -> Result<Value, Cause> {
    let mut value = serde_json::to_value(&question.task).map_err(|why| invalid(why.to_string()))?;
    if question.chain
        && let Some(task) = value.as_object_mut().and_then(|map| map.values_mut().next())
    {
        task["access"] = Value::Null;
    }
    if let Some(origin) = &question.origin {
        value["origin"] = Value::String(origin.clone());
    }
    Ok(value)
}

/// The outcome that a client's program prints as JSON. A key that is not listed here is a defect of the program.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Outcome {
    url: Option<String>,
    headers: BTreeMap<String, String>,
    status: Option<u16>,
    body: Option<String>,
    keys: Vec<String>,
    code: String,
    message: String,
    failed: Option<String>,
}

impl Outcome {
    fn reply(self, question: &ClientQuestion) -> Result<Reply, Cause> {
        if let Some(words) = self.failed {
            return Err(invalid(format!("{}: {words}", question.client)));
        }
        let missing = |what: &str| invalid(format!("{} returned no {what}", question.client));
        match &question.task {
            ClientTask::Presign(presign) => Ok(Reply::Presign(PresignReply {
                headers: self.headers,
                ..PresignReply::new(presign.method.clone(), self.url.ok_or_else(|| missing("URL"))?)
            })),
            ClientTask::Http(_) => self.http().ok_or_else(|| missing("status")).map(Reply::Http),
            ClientTask::S3(s3) => self.s3(&s3.operation).ok_or_else(|| missing("status")).map(Reply::S3),
        }
    }

    fn http(self) -> Option<HttpReply> {
        let status = self.status?;
        let body = self.body.unwrap_or_default();
        let lower = |(name, value): (String, String)| (name.to_lowercase(), value);
        Some(HttpReply {
            status,
            headers: self.headers.into_iter().map(lower).collect(),
            body_bytes: body.len() as u64,
            body_sha256: hex::encode(digest::digest(&digest::SHA256, body.as_bytes())),
            s3_error: s3_error::parse(body.as_bytes()),
            body: truncated(body, BODY_LIMIT_BYTES),
        })
    }

    fn s3(mut self, operation: &S3Operation) -> Option<S3Reply> {
        let mut status = self.status?;
        // The bucket to create may exist already and have the same owner. The harness's own S3 probe treats this answer
        // as a success. This code does the same, so that all clients have the same result.
        if s3_error::already_exists(operation, &self.code) {
            status = 200;
            self.code.clear();
        }
        let error = !self.code.is_empty() || status >= 300;
        let header = |name: &str| self.headers.get(name).cloned();
        Some(S3Reply {
            status,
            upload_id: None,
            survey: None,
            request_id: header("x-amz-request-id"),
            etag: header("etag").map(|etag| etag.trim_matches('"').to_owned()),
            size_bytes: header("content-length")
                .and_then(|length| length.parse().ok())
                .or(self.body.as_ref().map(|body| body.len() as u64)),
            error: error.then(|| S3Error { code: self.code.clone(), message: self.message.clone() }),
            body: self
                .body
                .take()
                .filter(|_| matches!(operation, S3Operation::Get { .. }))
                .map(|body| truncated(body, BODY_LIMIT_BYTES)),
            keys: std::mem::take(&mut self.keys),
        })
    }
}

/// The text, cut at a character boundary to at most `limit` bytes.
fn truncated(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// The end of the program's standard error, or of its standard output if standard error is empty, for an error message.
fn last_output(ended: &Ended) -> String {
    let (out, err) = (ended.stdout.text(), ended.stderr.text());
    let text = if err.trim().is_empty() { out } else { err };
    let text = text.trim();
    match text.len().checked_sub(LAST_OUTPUT_BYTES) {
        _ if text.is_empty() => "it wrote nothing".to_owned(),
        // The text may be cut within a secret. The mark `…` tells the redactor that the text after the mark may be the
        // rest of a secret.
        Some(from @ 1..) => format!("… {}", &text[text.floor_char_boundary(from)..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::question::{Addressing, HttpQuestion, S3Access, S3Question};
    use serde_json::json;

    use super::*;

    fn question(task: ClientTask) -> ClientQuestion {
        ClientQuestion {
            client: "curl".to_owned(),
            program: "/clients/curl".to_owned(),
            trust_in: "CURL_CA_BUNDLE".to_owned(),
            env: BTreeMap::new(),
            chain: false,
            origin: None,
            task,
        }
    }

    fn http() -> ClientTask {
        ClientTask::Http(HttpQuestion::new("GET", "https://a.example"))
    }

    fn list() -> ClientTask {
        let access = S3Access {
            endpoint: "https://a.example".to_owned(),
            region: "us-east-1".to_owned(),
            access_key: "key".to_owned(),
            secret_key: Secret::new("secret"),
            session_token: None,
            addressing: Addressing::Path,
        };
        let operation = S3Operation::List { bucket: "photos".to_owned(), prefix: String::new() };
        ClientTask::S3(S3Question { access, operation, headers: BTreeMap::new() })
    }

    #[test]
    fn outcomes_become_the_replies_of_our_own_probes() {
        let answer = |task: ClientTask, outcome: Value| {
            let outcome: Outcome = serde_json::from_value(outcome).expect("an outcome");
            match outcome.reply(&question(task)) {
                Ok(Reply::Http(http)) => {
                    format!("http {} {} {:?}", http.status, http.body, http.s3_error.map(|it| it.code))
                }
                Ok(Reply::S3(s3)) => format!("s3 {} {:?} {:?}", s3.status, s3.keys, s3.error.map(|it| it.code)),
                Ok(other) => format!("{other:?}"),
                Err(cause) => cause.to_string(),
            }
        };
        let refused = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        for (task, outcome, expected) in [
            (http(), json!({"status": 200, "body": "hello"}), "http 200 hello None".to_owned()),
            (http(), json!({"status": 403, "body": refused}), format!("http 403 {refused} Some(\"AccessDenied\")")),
            (http(), json!({"failed": "no route"}), "client: curl: no route".to_owned()),
            (http(), json!({"url": "x"}), "client: curl returned no status".to_owned()),
            (list(), json!({"status": 200, "keys": ["a"]}), "s3 200 [\"a\"] None".to_owned()),
            (
                list(),
                json!({"status": 403, "code": "AccessDenied", "message": "no"}),
                "s3 403 [] Some(\"AccessDenied\")".to_owned(),
            ),
            (http(), json!({"status": 200, "body": refused}), format!("http 200 {refused} Some(\"AccessDenied\")")),
            (
                list(),
                json!({"status": 409, "code": "BucketAlreadyOwnedByYou", "message": "yours"}),
                "s3 409 [] Some(\"BucketAlreadyOwnedByYou\")".to_owned(),
            ),
        ] {
            assert_eq!(answer(task, outcome), expected);
        }
    }

    #[test]
    fn a_client_that_uses_its_own_chain_gets_no_credentials() {
        let sent = task(&question(list())).expect("a task");
        assert_eq!(sent["s3"]["access"]["secret_key"], "secret");
        let sent = task(&ClientQuestion { chain: true, ..question(list()) }).expect("a task");
        assert_eq!(sent["s3"]["access"], Value::Null);
        assert_eq!(sent["s3"]["operation"]["list"]["bucket"], "photos");
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncated("aé".to_owned(), 2), "a");
        assert_eq!(truncated("aé".to_owned(), 3), "aé");
    }
}
