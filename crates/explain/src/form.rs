//! Explains why a store refused an upload by an HTML form (POST). The explanation compares the store's message about
//! the signed policy with the fields that the form sends.

use parallax_vocab::answer::FORM_SIGNATURE;
use parallax_vocab::probes::Signed;
use parallax_vocab::question::{Form, HttpQuestion};

use super::Subject;
use super::refusal::{client_clock, clocks, instant, shown, span, store_clock};

/// Explains why a store refused an upload by an HTML form. Returns `None` if the request is not a form with a policy,
/// or if the refusal is not specific to forms.
pub(super) fn sentence(says: &str, code: &str, detail: &str, subject: &Subject<'_>) -> Option<String> {
    let Some(Signed::Http(HttpQuestion { url, form: Some(form), .. })) = subject.question?.probe.facts().signed else {
        return None;
    };
    field(form, "policy")?;
    let why = match code {
        "AccessDenied" if detail.contains("Policy expired") => expired(form, subject),
        "AccessDenied" if detail.contains("must appear in the list of policy conditions") => {
            let name = detail.split('"').nth(1).unwrap_or("of it");
            format!(
                "the form sends the field {name}, which its policy does not name; leave it out, or sign a policy that takes it"
            )
        }
        "AccessDenied" => match Condition::of(detail) {
            Some(condition) => condition.failed(form),
            None if detail.contains("Policy Condition failed") => against_policy(form),
            // Ceph RGW gives no detail if the signature of a form is wrong (docs/facts.md#other-s3-stores). So the
            // signature is one of the possible reasons.
            None if detail.is_empty() => format!(
                "the store does not say why. The signature may not be that of the policy: compare the secret key. Or who signed it may not write to {url}: allow it in a policy of that user, role or bucket"
            ),
            None => format!(
                "the form is as its policy says, and who signed it may not write to {url}; allow it in a policy of that user, role or bucket"
            ),
        },
        "EntityTooLarge" | "EntityTooSmall" => {
            let length = form.file.as_ref().map_or(0, |file| file.body.len());
            let way = if code == "EntityTooLarge" { "at most" } else { "at least" };
            format!(
                "the file has {length} bytes, and the form's policy says how many it has {way}; send another file, or sign another content-length-range"
            )
        }
        "SignatureDoesNotMatch" => "the signature is not that of the policy that arrived; compare the secret key, and the fields policy, x-amz-credential and x-amz-date, which must arrive as they were signed. Host and path of a form are not signed".to_owned(),
        _ => return None,
    };
    Some(format!("{says}: {why}"))
}

/// Whether one of the fields of an HTML form is a signature.
pub(super) fn is_signed(form: &Form) -> bool {
    field(form, FORM_SIGNATURE).is_some()
}

/// Returns the value of a form's field. The case of the field's name does not matter.
pub(super) fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn expired(form: &Form, subject: &Subject<'_>) -> String {
    let signed = field(form, "x-amz-date").and_then(instant);
    let now = store_clock(subject).or_else(|| client_clock(subject));
    let signed = signed.map(|at| {
        let ago = now.map(|now| now - at).filter(|it| it.is_positive());
        let ago = ago.map(|it| format!(", {} before the store looked", span(it)));
        format!(": it was signed at {}{}", shown(at), ago.unwrap_or_default())
    });
    let (signed, clocks) = (signed.unwrap_or_default(), clocks(subject).unwrap_or_default());
    format!("the time of the form's policy is over{signed}{clocks}; sign a new one, or for longer")
}

/// Returns the explanation for a refusal that does not say which condition of the policy failed. The explanation lists
/// the fields that the form sends, except those that the signer itself added.
fn against_policy(form: &Form) -> String {
    let own = |name: &str| name != "policy" && (!name.starts_with("x-amz-") || name.starts_with("x-amz-meta-"));
    let fields = form.fields.iter().filter(|(name, _)| own(&name.to_lowercase()));
    let sent: Vec<String> = fields.map(|(name, value)| format!("{name} `{value}`")).collect();
    let sent = if sent.is_empty() { "no field of its own".to_owned() } else { sent.join(", ") };
    format!(
        "the form does not keep to its policy; it sends {sent}: compare that with what the policy allows, or sign another"
    )
}

/// The failed condition of a form's policy, as the store's message contains it, for example `[starts-with, $key,
/// inbox/]`.
struct Condition<'a> {
    begins: bool,
    field: &'a str,
    value: &'a str,
}

impl<'a> Condition<'a> {
    fn of(detail: &'a str) -> Option<Self> {
        let condition = detail.split_once("Policy Condition failed: [")?.1;
        let (operator, rest) = condition.split_once(", ")?;
        let (field, value) = rest.split_once(", ")?;
        let value = value.rsplit_once(']').map_or(value, |(value, _)| value);
        Some(Self { begins: operator == "starts-with", field: field.trim_start_matches('$'), value })
    }

    fn failed(&self, form: &Form) -> String {
        let Self { begins, field: name, value } = self;
        let sends = match field(form, name) {
            Some(sent) => format!("the form sends `{sent}` as {name}"),
            None => format!("the form sends no {name}"),
        };
        let takes = if *begins { "what begins with" } else { "the value" };
        format!("{sends}, and its policy takes {takes} `{value}` alone; send that, or sign another policy")
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use parallax_vocab::question::{FormFile, Probe, Question, View};

    use super::*;

    #[test]
    fn every_refusal_of_a_form_has_its_sentence() {
        let condition =
            |it: &str| format!("Access Denied. (Invalid according to Policy: Policy Condition failed: {it})");
        let unknown = "Access Denied. (Each form field that you specify in a form must appear in the list of policy conditions. \"X-Amz-Meta-Owner\" not specified in the policy.)";
        let over = "Access Denied. (Invalid according to Policy: Policy expired)";
        let mut text = String::new();
        for (code, detail) in [
            ("AccessDenied", over.to_owned()),
            ("AccessDenied", "Access Denied. (Invalid according to Policy: Policy Condition failed)".to_owned()),
            ("AccessDenied", condition("[starts-with, $key, inbox/]")),
            ("AccessDenied", condition("[eq, $Content-Type, text/plain]")),
            ("AccessDenied", unknown.to_owned()),
            ("AccessDenied", "Access Denied.".to_owned()),
            ("AccessDenied", String::new()),
            ("EntityTooLarge", "…".to_owned()),
            ("EntityTooSmall", "…".to_owned()),
            ("SignatureDoesNotMatch", "…".to_owned()),
        ] {
            let fields = [("Key", "outbox/a.txt"), ("policy", "[redacted]"), ("x-amz-date", "20261122T140000Z")];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let (name, content_type) = ("a.txt".to_owned(), "text/plain".to_owned());
            let file = Some(FormFile { name, content_type, body: "hello".to_owned() });
            let form = Some(Form { fields, file });
            let http = HttpQuestion { form, ..HttpQuestion::new("POST", "https://minio.example.com/photos") };
            let question = Question { view: View::default(), deadline_ms: 1000, probe: Probe::Http(http) };
            let (question, answer) = (Some(&question), None);
            let subject = Subject {
                step: "s",
                from: Some("app"),
                inside: true,
                question,
                answer,
                signature: None,
                in_scenario: true,
            };
            writeln!(text, "{}", sentence(code, code, &detail, &subject).expect("a sentence")).expect("writes");
        }
        insta::assert_snapshot!(text);
    }
}
