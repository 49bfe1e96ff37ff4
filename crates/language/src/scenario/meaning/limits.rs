//! Checks the limits that S3 itself sets: the names of buckets, and the validity of signed URLs.

use super::Subject;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::Placed;

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

/// Finds the signed URLs of a baseline that are valid for so long that every store refuses them. A URL is allowed if a
/// step expects the refusal.
pub(super) fn urls(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let steps = subject.scenario.steps();
    let refusal = |it: &Placed<'_>| {
        let expect = it.step.expect.as_ref();
        expect.is_some_and(|it| {
            it.s3.is_some() || it.status.as_ref().is_some_and(|status| status.known().is_none_or(|it| it >= 400))
        })
    };
    if steps.iter().any(refusal) {
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

#[cfg(test)]
mod tests {
    use super::is_bucket;

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
