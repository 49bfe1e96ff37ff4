//! Certificates of one environment: authorities, intermediates and leaves. The library rcgen creates them.
//!
//! Validity is relative to the start of the run, so that "expired an hour ago" means the same in every run. Keys are
//! only in memory and in Kubernetes Secrets. If a copy on disk is needed, [`write_private`] writes it with mode 0600.

mod authority;
mod leaf;
mod random;
mod store;

pub use authority::Issuer;
pub use leaf::Leaf;
pub use random::random;
pub use store::{Bundle, issue, write_private};

/// The reason why a certificate could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The certificate refers to an issuer that the environment does not have. The loader already refuses a scenario
    /// with this mistake. The check is repeated here, because a break may remove the issuer's fixture.
    #[error("certificate `{certificate}` is to be issued by `{issuer}`, which is not a certificate authority here")]
    NoIssuer {
        /// The name of the certificate that cannot be issued.
        certificate: String,
        /// The id that the certificate gives for its issuer. No authority of the environment has this id.
        issuer: String,
    },
    /// The library rcgen refused to make the certificate, for example because a name is not ASCII.
    #[error("certificate `{name}` cannot be made: {source}")]
    Make {
        /// The name of the certificate, or the id of the authority, that could not be created.
        name: String,
        /// The error of the library rcgen.
        source: rcgen::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The path of the file that could not be written.
        path: std::path::PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}
