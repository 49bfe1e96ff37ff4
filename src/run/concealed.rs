//! Conceals the values of Kubernetes Secrets. Steps can compare and capture these values, but reports show only digests
//! of them.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use parallax_plan::Plan;
use parallax_record::Redactor;

/// The kind of object whose values are concealed.
const SECRET: &str = "Secret";
/// The fields of a Secret object that contain its values.
const FIELDS: [&str; 2] = ["data", "stringData"];
/// The annotation in which `kubectl apply` stores the whole object, including the values of a Secret.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The key with which digests are computed. The key is random for each process. Otherwise anyone could find a short
/// secret by computing the digests of all candidates.
static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())
        .expect("the system's random source answers")
});

/// The digest that reports show in place of a secret value. Equal values have equal digests within a run.
pub(super) fn digest(value: &Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tag = hmac::sign(&KEY, text.as_bytes());
    Value::String(format!("digest:{}", hex::encode(&tag.as_ref()[..8])))
}

/// A copy of `value` in which each secret value of each Secret is replaced by its digest.
pub(super) fn conceal(value: &Value) -> Value {
    match value {
        Value::Object(fields) if is_secret(fields) => Value::Object(with_digests(fields)),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), conceal(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(conceal).collect()),
        other => other.clone(),
    }
}

/// The expected fields of an object of the kind `kind`, in the form that [`conceal`] produces, so that they can be
/// compared with a concealed object. In a Secret, the values are replaced by their digests.
pub(super) fn expected(kind: &str, object: Value) -> Value {
    match object {
        Value::Object(fields) if kind == SECRET => Value::Object(with_digests(&fields)),
        other => other,
    }
}

fn with_digests(fields: &Map<String, Value>) -> Map<String, Value> {
    let digested = fields.iter().map(|(key, value)| {
        let value = if FIELDS.contains(&key.as_str()) { digests(value) } else { value.clone() };
        (key.clone(), value)
    });
    let mut digested: Map<String, Value> = digested.collect();
    if let Some(applied) = digested.get_mut("metadata").and_then(|it| it.get_mut("annotations")?.get_mut(LAST_APPLIED))
    {
        *applied = digest(applied);
    }
    digested
}

/// Whether a JSON pointer into `whole` points to a value of a Secret. A value that a step captures there is secret.
pub(super) fn is_within(whole: &Value, pointer: &str) -> bool {
    let mut at = whole;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let of_secret = at.as_object().is_some_and(is_secret);
        if of_secret && (FIELDS.contains(&token.as_str()) || token == "metadata") {
            return FIELDS.contains(&token.as_str()) || pointer.contains("last-applied-configuration");
        }
        let next = match at {
            Value::Object(fields) => fields.get(&token),
            Value::Array(items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    false
}

/// Registers the values of all Secrets within `value` with the redactor, in decoded form. The redactor then removes
/// these values from everything that is written.
pub(super) fn register(redactor: &Redactor, value: &Value) {
    match value {
        Value::Object(fields) if is_secret(fields) => {
            for (name, held) in FIELDS.iter().filter_map(|name| Some((*name, fields.get(*name)?.as_object()?))) {
                for (key, text) in held.iter().filter_map(|(key, text)| Some((key, text.as_str()?))) {
                    // Only the decoded value is registered, because the redactor also finds the base64 form of a
                    // registered value.
                    let decoded = STANDARD.decode(text).ok().filter(|_| name == "data");
                    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
                    redactor.register_found(key, decoded.as_deref().unwrap_or(text));
                }
            }
        }
        Value::Object(fields) => fields.values().for_each(|value| register(redactor, value)),
        Value::Array(items) => items.iter().for_each(|item| register(redactor, item)),
        _ => {}
    }
}

/// Registers the secrets that `helm` or `kustomize` has made, for example random passwords of a chart. No scenario
/// contains them.
pub fn conceal_made(redactor: &Redactor, plan: &Plan) {
    let fixtures = plan.clusters.iter().flat_map(|it| &it.environments).flat_map(|it| it.fixtures.values());
    for it in fixtures.filter(|it| !it.sources.is_empty()) {
        it.objects.iter().chain(&it.cluster_objects).for_each(|object| register(redactor, &object.manifest));
    }
}

fn is_secret(fields: &Map<String, Value>) -> bool {
    fields.get("kind").and_then(Value::as_str) == Some(SECRET)
}

fn digests(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), digest(value))).collect())
        }
        other => digest(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_digests_of_a_secret_are_reported_and_equal_values_stay_equal() {
        let secret = json!({
            "kind": "Secret", "type": "Opaque", "data": { "a": "Yg==", "b": "Yg==", "c": "Yw==" },
            "metadata": { "name": "n", "annotations": { LAST_APPLIED: "{\"data\":{\"a\":\"Yg==\"}}" } },
        });
        let concealed = conceal(&json!({ "items": [secret, { "kind": "ConfigMap", "data": { "a": "plain" } }] }));
        let text = concealed.to_string();
        assert!(!text.contains("Yg==") && !text.contains("Yw==") && text.contains("plain"), "{text}");
        let of = |name: &str| concealed.pointer(&format!("/items/0/data/{name}")).cloned();
        assert_eq!(of("a"), of("b"));
        assert_ne!(of("a"), of("c"));
        assert_eq!(concealed.pointer("/items/0/metadata/name"), Some(&json!("n")));
    }

    #[test]
    fn a_value_captured_from_a_secret_counts_as_secret() {
        let whole = json!({ "objects": [
            { "kind": "Secret", "data": { "key": "a2V5", "data": "x" }, "metadata": { "name": "n" } },
            { "kind": "ConfigMap", "data": { "key": "k" } },
        ] });
        for (pointer, within) in [
            ("/objects/0/data/key", true),
            ("/objects/0/data", true),
            ("/objects/0/metadata/name", false),
            ("/objects/1/data/key", false),
            ("/objects/2/data/key", false),
            ("/objects", false),
        ] {
            assert_eq!(is_within(&whole, pointer), within, "{pointer}");
        }
    }

    #[test]
    fn secret_values_are_redacted_elsewhere_unless_they_are_plain_words_under_a_plain_name() {
        let redactor = Redactor::default();
        let encoded = STANDARD.encode("canary-9f8e7d6c5b4a");
        let word = STANDARD.encode("sunflower");
        let data = json!({ "some": encoded, "namespace": "ZGVmYXVsdA==", "password": word });
        register(&redactor, &json!({ "kind": "Secret", "data": data, "stringData": { "token": "daisies" } }));
        let text = redactor.text("canary-9f8e7d6c5b4a in default, sunflower, daisies");
        assert_eq!(text, "[redacted] in default, [redacted], [redacted]");
        assert_eq!(redactor.text(&format!("data: {encoded}")).matches("Y2FuYXJ5").count(), 0);
    }
}
