//! SHA-256, computed by aws-lc-rs, the only cryptographic library of the build. aws-lc-rs is optimised even if the rest
//! of the program is not. This matters because image archives have hundreds of megabytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;

/// The number of bytes that are read from a file at once.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;

/// A digest over named fields. The length of each field is part of the input, so that two different lists of fields
/// never give the same input.
pub struct Fields(Context);

impl Fields {
    /// Starts a digest. `domain` says what is hashed, with the version of its format, for example `shipped images 1`.
    /// Equal fields of different domains give different digests.
    pub fn new(domain: &str) -> Self {
        let mut fields = Self(Context::new(&SHA256));
        fields.add("domain", domain.as_bytes());
        fields
    }

    /// Adds one field, by name and value, to the digest.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update(&(part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    /// Returns the digest in lower-case hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.0.finish())
    }
}

/// The hash of a Go module, as `go.sum` contains it (`golang.org/x/mod/sumdb/dirhash`, `Hash1`). The hash covers the
/// digests of all files, sorted by name. The name of each file begins with `module@version/`.
pub(super) fn of_module(module: &str, files: &[(String, PathBuf)]) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    for (name, file) in files {
        context.update(format!("{}  {module}/{name}\n", of_file(file)?).as_bytes());
    }
    Ok(format!("h1:{}", STANDARD.encode(context.finish())))
}

/// The SHA-256 of `bytes`, in lower-case hexadecimal.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&SHA256, bytes))
}

/// The SHA-256 of a file's content, in lower-case hexadecimal.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut reader = Hashing::new(File::open(path)?);
    reader.skip_to_end()?;
    Ok(reader.finish())
}

/// A reader that computes the SHA-256 of what is read from it.
pub(super) struct Hashing<R> {
    inner: R,
    context: Context,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, context: Context::new(&SHA256) }
    }

    /// Reads the rest of the content, and keeps none of it.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.read(&mut chunk)? > 0 {}
        Ok(())
    }

    /// The digest of everything that was read, in lower-case hexadecimal.
    pub(super) fn finish(self) -> String {
        hex::encode(self.context.finish())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.context.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_run_into_each_other() {
        let digest = |list: &[(&str, &str)]| {
            let mut fields = Fields::new("test 1");
            for (name, value) in list {
                fields.add(name, value.as_bytes());
            }
            fields.finish()
        };
        let lists: [&[(&str, &str)]; 5] =
            [&[("a", "bc")], &[("ab", "c")], &[("a", "b"), ("c", "")], &[("a", "bc"), ("", "")], &[]];
        for (i, one) in lists.iter().enumerate() {
            for other in &lists[i + 1..] {
                assert_ne!(digest(one), digest(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_file_and_its_bytes_have_one_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..CHUNK_BYTES + 7).map(|i| u8::try_from(i % 251).expect("below 251")).collect();
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(of_file(&path).expect("read"), of_bytes(&bytes));
    }
}
