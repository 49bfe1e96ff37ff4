//! Checks the limits that S3 itself sets: the names of buckets, and the validity of signed URLs.

use super::Subject;
use crate::fixture::Fixture;
use crate::scenario::action::{Action, Key as _, Operation};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::{FixtureUse, Placed, Step};

/// Checks that S3 accepts the names of the buckets that the stores of a scenario create.
pub(super) fn buckets(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (id, used) in &subject.scenario.fixtures {
        let is_store = subject.library.get(&used.fixture).is_some_and(|it| it.file.store.is_some());
        let listed = used.parameters.get("buckets").and_then(|it| it.as_array()).filter(|_| is_store);
        for (index, bucket) in listed.into_iter().flatten().enumerate() {
            let Some(name) = bucket.as_str().filter(|it| !it.contains("{{") && !is_bucket(it)) else { continue };
            let at = format!("{}/buckets/{index}", join("/fixtures", id));
            let error = subject.places.error(&at, format!("`{name}` is not a valid name of a bucket"));
            errors.push(error.fix(
                "use 3 to 63 lower-case letters, digits, dots and dashes, and begin and end with a letter or a digit",
            ));
        }
    }
    errors
}

/// Whether S3 accepts this name for a bucket: 3 to 63 lower-case letters, digits, dashes and dots, and not an IP
/// address.
fn is_bucket(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let of_name = |c: char| inner(c) || matches!(c, '-' | '.');
    (3..=63).contains(&name.len())
        && name.chars().all(of_name)
        && name.starts_with(inner)
        && name.ends_with(inner)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// Finds the signed URLs of a baseline that are valid for so long that every store refuses them. Nothing is reported if
/// a step of the scenario expects a refusal, because the long validity can then be intended.
pub(super) fn urls(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let steps = subject.scenario.steps();
    if steps.iter().any(|it| expects_refusal(it.step)) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    for Placed { step, at, .. } in steps {
        let Some((below, presign)) = step.action.special().signs else { continue };
        if presign.is_valid_too_long() {
            let message = format!("every store refuses a URL that is valid for {}", presign.expires);
            let error = subject.places.error(&format!("{at}/{below}/expires"), message);
            errors.push(error.fix("write 7d or less, or expect the refusal: `expect: { status: 400 }`"));
        }
    }
    errors
}

/// Whether a step expects that the store refuses its request.
fn expects_refusal(step: &Step) -> bool {
    step.expect.as_ref().is_some_and(|it| {
        it.s3.is_some() || it.status.as_ref().is_some_and(|status| status.known().is_none_or(|it| it >= 400))
    })
}

/// Finds the `s3` steps of a baseline that write into a bucket that the store does not have. This is only a warning,
/// because something else may create the bucket. There is no warning in two cases: the scenario runs a program, or an
/// earlier step creates a bucket in the same store under a name that is known only when the flow runs.
pub(super) fn unlisted_buckets(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let steps = subject.scenario.steps();
    if steps.iter().any(|it| it.step.action.special().program.is_some()) {
        return Vec::new();
    }
    let s3 = steps.iter().filter_map(|it| match &it.step.action {
        Action::S3(s3) => Some((it, s3)),
        _ => None,
    });
    let mut created = Vec::new();
    let mut warnings = Vec::new();
    for (Placed { step, at, .. }, s3) in s3 {
        let (key, target) = (s3.operation.key, &s3.operation.text);
        let Some((store, used)) = store_of(subject, s3.store.as_deref()) else { continue };
        if key == Operation::CreateBucket {
            created.push((store, target));
        }
        let writes = matches!(key, Operation::Put | Operation::CreateUpload);
        let Some((bucket, _)) = target.as_str().split_once('/').filter(|_| writes && !target.is_open()) else {
            continue;
        };
        let Some(listed) = listed(subject, used) else { continue };
        let is_there = listed.iter().any(|it| it.contains("{{") || *it == bucket)
            || created.iter().any(|(of, name)| *of == store && (name.is_open() || name.as_str() == bucket));
        if is_there || expects_refusal(step) {
            continue;
        }
        let at = format!("{at}/s3/{}", key.key());
        let message = format!("the store `{store}` has no bucket `{bucket}`");
        let all = listed.iter().copied().chain([bucket]).collect::<Vec<_>>().join(", ");
        let fix =
            format!("list it in the fixture, `buckets: [{all}]`, or create it in an earlier step (`create-bucket`)");
        warnings.push(subject.places.error(&at, message).warning().fix(fix));
    }
    warnings
}

/// Returns the store that a step uses. `named` is the id that the step gives. If the step gives no id, it uses the only
/// store.
fn store_of<'s>(subject: &Subject<'s>, named: Option<&str>) -> Option<(&'s str, &'s FixtureUse)> {
    let mut stores = subject.scenario.fixtures.iter().filter(|(id, used)| {
        named.is_none_or(|it| it == id.as_str()) && subject.library.get(&used.fixture).is_some_and(Fixture::is_store)
    });
    stores.next().map(|(id, used)| (id.as_str(), used))
}

/// The buckets that the fixture of a store creates, as the scenario writes them. `None` if the fixture has no parameter
/// for buckets, or if a reference yields the whole list.
fn listed<'s>(subject: &Subject<'s>, used: &'s FixtureUse) -> Option<Vec<&'s str>> {
    let parameter = subject.library.get(&used.fixture)?.file.parameters.get("buckets")?;
    let listed = used.parameters.get("buckets").or(parameter.default.as_ref())?.as_array()?;
    listed.iter().map(|it| it.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_bucket;
    use crate::fixture::Library;
    use crate::scenario::Loaded;

    #[test]
    fn a_put_into_a_bucket_that_no_fixture_creates_is_a_warning() {
        let warned = |buckets: &str, steps: &str| {
            let text = format!(
                "name: s\nsummary: x\nfixtures:\n  store: {{ use: minio-http, host: s3.example.com{buckets} }}\n\
                 vantages: {{ host: {{ outside: {{}} }} }}\nflow:\n{steps}"
            );
            let loaded = Loaded::read(&Library::shipped(), "s", "s.yaml", text.as_bytes());
            let loaded = loaded.unwrap_or_else(|it| panic!("{it:#?}"));
            loaded.warnings.into_iter().map(|it| it.message).collect::<Vec<_>>()
        };
        let put = "  - { id: put, from: host, s3: { put: docs/a, body: b }, expect: { status: 200 } }\n";
        assert_eq!(warned("", put), ["the store `store` has no bucket `docs`"]);
        assert_eq!(warned(", buckets: [other]", put).len(), 1);
        let none = Vec::<String>::new();
        assert_eq!(warned(", buckets: [docs]", put), none);
        let created = "  - { id: made, from: host, s3: { create-bucket: docs } }\n";
        assert_eq!(warned("", &format!("{created}{put}")), none);
        // The name of the created bucket is known only when the flow runs. It may be `docs`, so there is no warning.
        let unknown = created.replace("docs", "\"{{ variant.nonce }}\"");
        assert_eq!(warned("", &format!("{unknown}{put}")), none);
        // A step that creates the bucket later, or in another store, does not help the step that writes.
        assert_eq!(warned("", &format!("{put}{created}")).len(), 1);
        let other = "\n  other: { use: minio-http, service: other, host: other.example.com }\n#";
        let at = |steps: &str, id: &str| steps.replace("s3: {", &format!("s3: {{ store: {id},"));
        let put = at(put, "store");
        assert_eq!(warned(&format!(" }}{other}"), &format!("{}{put}", at(created, "other"))).len(), 1);
        assert_eq!(warned(&format!(" }}{other}"), &format!("{}{put}", at(created, "store"))), none);
        assert_eq!(warned("", &put.replace("status: 200", "s3: NoSuchBucket")), none);
        assert_eq!(warned("", &put.replace("put: docs/a, body: b", "list: docs")), none);
    }

    #[test]
    fn names_of_buckets_follow_the_rules_of_s3() {
        for (name, expected) in [
            ("docs", true),
            ("a.b-c9", true),
            ("Docs", false),
            ("do", false),
            ("do_cs", false),
            ("-docs", false),
            ("docs.", false),
            ("a..b", false),
            ("192.168.1.1", false),
            ("ü-docs", false),
        ] {
            assert_eq!(is_bucket(name), expected, "{name}");
        }
        assert!(is_bucket(&"a".repeat(63)) && !is_bucket(&"a".repeat(64)));
    }
}
