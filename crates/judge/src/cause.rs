//! Compares the cause of a failed step with the cause that a break declares for the step.

use parallax_vocab::Cause;

use super::expect::holds;
use parallax_language::scenario::model::CauseSpec;

/// Whether `cause` is the cause that `spec` declares. Every key that `spec` contains must match.
pub fn matches(spec: &CauseSpec, cause: &Cause) -> bool {
    let CauseSpec { dns, connect, tls, status, s3, sts, mismatch, resource, exit, client, message } = spec;
    let layer = match cause {
        Cause::Dns { fault, .. } => dns.as_ref().map(|it| it.0.contains(fault)),
        Cause::Connect { fault, .. } => connect.map(|it| it == *fault),
        Cause::Tls { fault, .. } => tls.map(|it| it == *fault),
        Cause::Status { status: seen, s3: code, .. } => match (status, s3) {
            (None, None) => None,
            _ => Some(status.is_none_or(|it| it == *seen) && (s3.is_none() || s3 == code) && sts.is_none()),
        },
        Cause::Sts { status: seen, code, .. } => match (status, sts) {
            (None, None) => None,
            _ => Some(status.is_none_or(|it| it == *seen) && (sts.is_none() || sts == code) && s3.is_none()),
        },
        Cause::Mismatch { matcher, .. } => mismatch.as_ref().map(|it| it == matcher),
        Cause::Resource { detail, .. } => resource.as_ref().map(|it| holds(detail, it)),
        Cause::Exit { exit: seen, .. } => exit.map(|it| it == *seen),
        Cause::Client { detail } => client.as_ref().map(|it| holds(detail, it)),
        Cause::Deadline { .. } => None,
    };
    layer.unwrap_or(false) && message.as_ref().is_none_or(|it| holds(&text_of(cause), it))
}

/// Returns the text of a cause in which the `message` that a break declares must occur. This is the text that reports
/// show. For a mismatch, the text is only the observed value with `saw` in front. The expected value is left out,
/// because it comes from the scenario itself, so finding it would prove nothing. Because of `saw`, a message can
/// require that the observed value begins with certain words.
fn text_of(cause: &Cause) -> String {
    match cause {
        Cause::Mismatch { seen, .. } => format!("saw {seen}"),
        other => other.to_string(),
    }
}

/// Describes the declared cause in words.
pub fn describe(spec: &CauseSpec) -> String {
    let CauseSpec { dns, connect, tls, status, s3, sts, mismatch, resource, exit, client, message } = spec;
    let mut words = Vec::new();
    if let Some(dns) = dns {
        words.push(format!("dns: {}", dns.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")));
    }
    words.extend(connect.map(|it| format!("connect: {it}")));
    words.extend(tls.map(|it| format!("tls: {it}")));
    words.extend(status.map(|it| format!("status: {it}")));
    words.extend(s3.as_ref().map(|it| format!("s3: {it}")));
    words.extend(sts.as_ref().map(|it| format!("sts: {it}")));
    words.extend(mismatch.as_ref().map(|it| format!("mismatch: {it}")));
    words.extend(resource.as_ref().map(|it| format!("resource: {it}")));
    words.extend(exit.map(|it| format!("exit: {it}")));
    words.extend(client.as_ref().map(|it| format!("client: {it}")));
    words.extend(message.as_ref().map(|it| format!("message: {it:?}")));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use parallax_vocab::{ConnectFault, DnsFault, TlsFault};

    use super::*;

    fn spec(json: &str) -> CauseSpec {
        serde_json::from_str(json).expect("valid")
    }

    #[test]
    fn a_cause_matches_only_its_own_layer_and_all_that_is_said() {
        let dns = Cause::Dns { fault: DnsFault::NoSuchName, detail: String::new() };
        let tls = Cause::Tls { fault: TlsFault::Expired, detail: "ended on 3 May".to_owned() };
        let refused = Cause::Status {
            status: 403,
            s3: Some("AccessDenied".to_owned()),
            detail: "Request has expired".to_owned(),
        };
        let (matcher, expected, seen) = ("body".to_owned(), "hello".to_owned(), "good bye".to_owned());
        let mismatch = Cause::Mismatch { matcher, expected, seen };
        let connect = Cause::Connect { fault: ConnectFault::Refused, detail: String::new() };
        let exit = Cause::Exit { exit: 3, detail: String::new() };
        let (code, detail) = (Some("ExpiredToken".to_owned()), "too old".to_owned());
        let token = Cause::Sts { status: 400, code, detail };
        let deadline = Cause::Deadline { waited_ms: 1, detail: String::new() };
        for (declared, cause, expected) in [
            (r#"{"dns":"no-such-name"}"#, &dns, true),
            (r#"{"dns":["server-failure","no-such-name"]}"#, &dns, true),
            (r#"{"dns":"server-failure"}"#, &dns, false),
            (r#"{"tls":"expired"}"#, &tls, true),
            (r#"{"tls":"expired","message":"3 May"}"#, &tls, true),
            (r#"{"tls":"expired","message":"4 May"}"#, &tls, false),
            (r#"{"tls":"unknown-authority"}"#, &tls, false),
            (r#"{"status":403}"#, &refused, true),
            (r#"{"status":403,"s3":"AccessDenied","message":"expired"}"#, &refused, true),
            (r#"{"status":403,"s3":"SignatureDoesNotMatch"}"#, &refused, false),
            (r#"{"mismatch":"body","message":"bye"}"#, &mismatch, true),
            // The message occurs only in the expected value, which comes from the scenario itself. So it does not
            // match.
            (r#"{"mismatch":"body","message":"hello"}"#, &mismatch, false),
            (r#"{"status":404}"#, &refused, false),
            (r#"{"dns":"no-such-name"}"#, &refused, false),
            (r#"{"message":"x"}"#, &refused, false),
            (r#"{"status":403}"#, &deadline, false),
            (r#"{"connect":"refused"}"#, &connect, true),
            (r#"{"connect":"timeout"}"#, &connect, false),
            (r#"{"exit":3}"#, &exit, true),
            (r#"{"exit":1}"#, &exit, false),
            // The error codes of the token service (STS) and the S3 error codes of the store are declared by different
            // keys.
            (r#"{"sts":"ExpiredToken"}"#, &token, true),
            (r#"{"status":400}"#, &token, true),
            (r#"{"status":400,"sts":"ExpiredToken"}"#, &token, true),
            (r#"{"status":403,"sts":"ExpiredToken"}"#, &token, false),
            (r#"{"status":400,"sts":"AccessDenied"}"#, &token, false),
            (r#"{"status":400,"s3":"ExpiredToken"}"#, &token, false),
            (r#"{"sts":"ExpiredToken","s3":"ExpiredToken"}"#, &token, false),
            (r#"{"message":"old"}"#, &token, false),
            (r#"{"status":403,"sts":"AccessDenied"}"#, &refused, false),
        ] {
            assert_eq!(matches(&spec(declared), cause), expected, "{declared} against {cause}");
        }
    }

    #[test]
    fn a_declared_cause_is_described_with_all_that_it_says() {
        for (declared, expected) in [
            (r#"{"dns":["server-failure","no-such-name"]}"#, "dns: server-failure or no-such-name"),
            (r#"{"connect":"refused"}"#, "connect: refused"),
            (r#"{"status":403,"s3":"AccessDenied","message":"x"}"#, "status: 403, s3: AccessDenied, message: \"x\""),
            (r#"{"sts":"ExpiredToken"}"#, "sts: ExpiredToken"),
            (r#"{"mismatch":"body"}"#, "mismatch: body"),
            (r#"{"exit":3}"#, "exit: 3"),
        ] {
            assert_eq!(describe(&spec(declared)), expected);
        }
    }
}
