//! The address of an object or a folder in a bucket.

use std::fmt;
use std::str::FromStr;

const SCHEME: &str = "s3://";
/// The largest length of a key in S3, in bytes.
const KEY_BYTES: usize = 1024;

/// An address of the form `s3://BUCKET` or `s3://BUCKET/KEY`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    bucket: String,
    /// The key without a slash at its start or end. It is empty if the address is that of the bucket itself.
    key: String,
}

impl Place {
    /// Whether the text has the form of an address in a bucket (`s3://…`), and is not the path of a file.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Returns the name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the key of the object.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the prefix that the keys of all objects in this folder have. It is empty for the bucket itself, and
    /// otherwise ends with a slash.
    pub(super) fn folder(&self) -> String {
        if self.key.is_empty() { String::new() } else { format!("{}/", self.key) }
    }

    /// Returns the address of the object or folder `name` in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self { bucket: self.bucket.clone(), key: format!("{}{name}", self.folder()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.key.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}{}{slash}{}", self.bucket, self.key)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(SCHEME).ok_or("write it as s3://BUCKET/FOLDER")?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(good) {
            return Err(format!("`{bucket}` is not the name of a bucket: 3 to 63 of a-z, 0-9, `.` and `-`"));
        }
        let key = key.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.'()/=+@:".contains(&byte);
        let parts = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !key.is_empty() && !parts || !key.bytes().all(plain) || key.len() > KEY_BYTES {
            return Err(format!(
                "`{key}` is not the name of a folder: parts of a-z, A-Z, 0-9 and !-_.'()=+@: with a `/` between them"
            ));
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn an_address_is_read_and_shown_the_same() {
        for (text, bucket, key, shown) in [
            ("s3://runs", "runs", "", "s3://runs"),
            ("s3://runs/", "runs", "", "s3://runs"),
            ("s3://my.runs/a/b-1/", "my.runs", "a/b-1", "s3://my.runs/a/b-1"),
        ] {
            let place: Place = text.parse().expect(text);
            assert_eq!((place.bucket(), place.key(), place.to_string().as_str()), (bucket, key, shown));
            assert!(Place::is_meant(text));
        }
        let place: Place = "s3://runs".parse().expect("an address");
        assert_eq!(place.join("a").join("record.jsonl").to_string(), "s3://runs/a/record.jsonl");
        assert_eq!((place.folder().as_str(), place.join("a").folder().as_str()), ("", "a/"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_wrong() {
        for (text, said) in [
            ("runs/a", "write it as s3://BUCKET/FOLDER"),
            ("http://runs/a", "write it as"),
            ("s3://", "is not the name of a bucket"),
            ("s3://a/b", "`a` is not the name of a bucket"),
            ("s3://Runs/a", "`Runs` is not the name of a bucket"),
            ("s3://runs//a", "`/a` is not the name of a folder"),
            ("s3://runs/../a", "`../a` is not the name of a folder"),
            ("s3://runs/a b", "`a b` is not the name of a folder"),
            ("s3://runs/$(id)", "is not the name of a folder"),
        ] {
            let saw = text.parse::<Place>().expect_err(text);
            assert!(saw.contains(said), "{text}: {saw}");
        }
    }
}
