//! The errors that stop a node, or prevent its start.

use std::io;
use std::path::PathBuf;

use crate::pki::PkiError;

/// An error that ends the node's container. Each message says which resource is affected, and gives the fix if one is
/// known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// The asynchronous runtime of this program, or its signal handler, could not be started.
    #[error("the asynchronous runtime cannot start: {0}")]
    Runtime(io::Error),
    /// A file or folder cannot be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// The propagation of the root mount cannot be changed to shared.
    #[error("cannot make / a shared mount: {0}; run the container with --privileged")]
    Mount(io::Error),
    /// The node has no address, because the container has no default route.
    #[error(
        "this container has no default route, so the node has no address ({0}); attach it to a network that has a gateway"
    )]
    NoRoute(io::Error),
    /// An iptables rule could not be added.
    #[error("iptables refuses a rule: {0}; the host's kernel needs nf_tables with NAT")]
    Iptables(String),
    /// Each folder in which containerd could store images is on an overlay file system. An overlay file system cannot
    /// contain a further overlay.
    #[error(
        "neither {0} nor {1} is on a file system that can hold overlays; mount a volume at one of them, or use --snapshotter native"
    )]
    NoOverlay(&'static str, &'static str),
    /// A file exists that k3s reads, but that this source-built node does not read.
    #[error("{0} exists, but this source-built node does not read it; {1}")]
    NotSupported(&'static str, &'static str),
    /// A file with a CA certificate does not exist, but an agent node needs this file before its start.
    #[error(
        "{0} does not exist; a source-built agent does not fetch it: put the cluster's certificate there, which its server has in /var/lib/rancher/k3s/server/tls"
    )]
    NoAuthority(String),
    /// Certificates cannot be created or read.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A program cannot be started, for example because it does not exist.
    #[error("cannot start {name} ({program}): {source}")]
    Spawn { name: &'static str, program: String, source: io::Error },
    /// A component of the node ended.
    #[error("{name} ended with {status}; its last lines:\n{tail}")]
    Ended { name: &'static str, status: String, tail: String },
    /// The archive of an image cannot be imported into containerd.
    #[error("cannot import the image archive {}: {reason}", path.display())]
    Import { path: PathBuf, reason: String },
    /// A wait reached its time limit.
    #[error("{what} did not appear within {seconds} s{hint}")]
    Deadline { what: &'static str, seconds: u64, hint: String },
    /// The client of the apiserver could not be made.
    #[error("cannot talk to the apiserver: {0}")]
    Client(Box<dyn std::error::Error + Send + Sync>),
}

impl NodeError {
    /// Converts an I/O error of a file operation: `.map_err(NodeError::file("write", path))`.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
