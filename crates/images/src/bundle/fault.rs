//! The reasons why a bundle is refused.

/// The reason why a bundle is refused. Nothing of such a bundle is loaded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BundleFault {
    /// The bundle ends before the end of a file in it.
    #[error("it ends at byte {ends}, within {name}, which ends at byte {would}")]
    Cut {
        /// The name of the incomplete file within the bundle.
        name: String,
        /// The size of the bundle in bytes.
        ends: u64,
        /// The offset at which the incomplete file would end.
        would: u64,
    },
    /// The content of a blob has another digest than its name.
    #[error("the blob {blob} is damaged: expected the digest sha256:{expected}, found sha256:{found}")]
    Digest {
        /// The name of the blob within the bundle.
        blob: String,
        /// The digest in the name of the blob.
        expected: String,
        /// The digest of the blob's content.
        found: String,
    },
    /// The file differs from the exact bytes that Parallax writes.
    #[error("at byte {at} it has {found}, and {expected} is expected there")]
    Form {
        /// The offset in the bundle of the part that differs, in bytes.
        at: u64,
        /// What every bundle has at this offset, in words.
        expected: String,
        /// What this file has at this offset, in words.
        found: String,
    },
    /// A part of the bundle is larger than any that Parallax writes.
    #[error("{name} has {bytes} bytes, and at most {limit} are read")]
    Large {
        /// The name of the part that is too large.
        name: String,
        /// The size that the bundle states for this part, in bytes.
        bytes: u64,
        /// The largest size of such a part that the reader accepts, in bytes.
        limit: u64,
    },
    /// The content of `index.json`, of a manifest or of a config is not what Parallax writes.
    #[error("{name} is not one of an image bundle: {why}")]
    Content {
        /// The name of the file within the bundle.
        name: String,
        /// What is wrong with the content.
        why: String,
    },
    /// An image is for machines of another architecture.
    #[error("{reference} is for {found}, and this machine is {here}")]
    Platform {
        /// The reference of the image.
        reference: String,
        /// The architecture of the image.
        found: String,
        /// The architecture of this machine.
        here: String,
    },
    /// The bundle does not contain all images that the scenarios need.
    #[error("it lacks {}", .0.join("; "))]
    Lacks(
        /// One text for each missing image: its name, and the references under which it was expected.
        Vec<String>,
    ),
}

impl BundleFault {
    /// What the user can do about the refused bundle.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            Self::Lacks(_) => {
                "make the bundle for these scenarios, with this version of Parallax and with the images/ of this \
                 project: `parallax images bundle FILTER --output FILE`"
            }
            Self::Platform { .. } => "make the bundle on a machine of the same architecture as this one",
            _ => {
                "copy the file again, and compare what `sha256sum` prints for it with what `parallax images bundle` \
                 printed; if it is equal, make the bundle again"
            }
        }
    }
}
