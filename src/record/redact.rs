//! Taking secrets out of what is written and shown.

use std::sync::{Arc, PoisonError, RwLock};

use parallax_vocab::Secret;
use serde_json::Value;

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";
/// Shorter texts are not searched for: they would also hit the record's own words. Their fields are still redacted by
/// name. The secrets that the harness makes are far longer.
const SHORTEST: usize = 6;
/// Values under these names are secrets, whether or not anybody registered them. Compared in lower case.
const SECRET_KEYS: [&str; 5] =
    ["secret_key", "session_token", "authorization", "x-amz-security-token", "x-amz-signature"];
/// Query parameters that are credentials: whoever holds a presigned URL may open it.
const SECRET_PARAMETERS: [&str; 2] = ["x-amz-signature=", "x-amz-security-token="];

/// Knows the secrets of a run. Cheap to clone: every room that makes a secret registers it here before using it.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<String>>>);

impl Redactor {
    /// From now on the text of `secret` is redacted wherever it appears, also percent-encoded and, where it has several
    /// lines (a private key), line by line: logs are written so.
    pub fn register(&self, secret: &Secret) {
        let text = secret.expose();
        let mut texts = vec![text.to_owned(), percent_encoded(text)];
        if text.contains('\n') {
            texts.extend(text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(texts.into_iter().filter(|text| text.trim().len() >= SHORTEST));
        // The longest first, so that a secret within a secret leaves no rest.
        known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        known.dedup();
    }

    /// Redacts every string of `value`.
    pub fn apply(&self, value: &mut Value) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        walk(value, &known);
    }

    /// Redacts one text.
    pub fn text(&self, text: &str) -> String {
        clean(text, &self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

fn walk(value: &mut Value, known: &[String]) {
    match value {
        Value::String(text) => *text = clean(text, known),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, known)),
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                if field.is_string() && SECRET_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
                    *field = Value::String(REDACTED.to_owned());
                } else {
                    walk(field, known);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn clean(text: &str, known: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in known {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), REDACTED);
        }
    }
    for parameter in SECRET_PARAMETERS {
        text = without_parameter(&text, parameter);
    }
    text
}

/// Replaces what follows each `parameter` (which ends in `=`) up to the end of the query's part.
fn without_parameter(text: &str, parameter: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(parameter) {
        let value = from + found + parameter.len();
        out.push_str(&text[from..value]);
        let length = text[value..]
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '<' | '>' | '`' | ')' | ',' | ';' | '\\')
            })
            .unwrap_or(text.len() - value);
        if length > 0 {
            out.push_str(REDACTED);
        }
        from = value + length;
    }
    out.push_str(&text[from..]);
    out
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_secret_goes_wherever_it_stands() {
        let redactor = Redactor::default();
        redactor.register(&Secret::new("s3cr3t/with+signs"));
        redactor.register(&Secret::new("-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END KEY-----\n"));
        redactor.register(&Secret::new("s3cr3t"));
        let table = [
            ("start s3cr3t/with+signs end", "start [redacted] end"),
            ("twice s3cr3t s3cr3t", "twice [redacted] [redacted]"),
            ("?key=s3cr3t%2Fwith%2Bsigns", "?key=[redacted]"),
            ("log: AAAABBBBCCCC", "log: [redacted]"),
            ("-----BEGIN KEY-----", "-----BEGIN KEY-----"),
            ("nothing here", "nothing here"),
        ];
        for (text, clean) in table {
            assert_eq!(redactor.text(text), clean);
        }
    }

    #[test]
    fn the_credential_of_a_presigned_url_goes_and_the_rest_of_the_url_stays() {
        let redactor = Redactor::default();
        let table = [
            ("https://h/b?X-Amz-Signature=abc123&X-Amz-Date=1", "https://h/b?X-Amz-Signature=[redacted]&X-Amz-Date=1"),
            ("GET /b?x-amz-signature=abc HTTP/1.1", "GET /b?x-amz-signature=[redacted] HTTP/1.1"),
            (
                "\"u?X-Amz-Security-Token=ab%2Fc\" and X-Amz-Signature=f",
                "\"u?X-Amz-Security-Token=[redacted]\" and X-Amz-Signature=[redacted]",
            ),
            ("X-Amz-Signature=", "X-Amz-Signature="),
            ("häßlich X-Amz-Signature=ä&ö", "häßlich X-Amz-Signature=[redacted]&ö"),
        ];
        for (text, clean) in table {
            assert_eq!(redactor.text(text), clean);
        }
    }

    #[test]
    fn fields_that_hold_credentials_go_unregistered_too() {
        let mut value = serde_json::json!({
            "access_key": "AKIA", "secret_key": "short", "list": [{"session_token": "t"}], "headers": {"Authorization": "Bearer x"},
        });
        Redactor::default().apply(&mut value);
        assert_eq!(
            value.to_string(),
            r#"{"access_key":"AKIA","secret_key":"[redacted]","list":[{"session_token":"[redacted]"}],"headers":{"Authorization":"[redacted]"}}"#
        );
    }

    #[test]
    fn an_empty_or_tiny_secret_does_not_eat_the_record() {
        let redactor = Redactor::default();
        redactor.register(&Secret::new(""));
        redactor.register(&Secret::new("a"));
        assert_eq!(redactor.text("as expected"), "as expected");
    }
}
