//! The clients that `client` steps can use: the tasks that each client supports, and the environment variable with the
//! path of its trusted certificates.
//!
//! The programs are in `images/clients`, `images/browser` and `images/kubectl`. If a client does not support a task,
//! the linter reports the step before anything starts.

/// A client that applications use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name of the client in scenarios. The path of its program is `/clients/NAME`.
    pub name: &'static str,
    /// The environment variable from which the client reads the path of its CA bundle (docs/facts.md#aws-clients).
    pub trust_in: &'static str,
    /// The HTTP methods for which the client can sign URLs.
    pub signs: &'static [&'static str],
    /// Whether the client can do S3 operations.
    pub s3: bool,
    /// Whether the client can open URLs.
    pub http: bool,
    /// Whether the client can send a ServiceAccount's token.
    pub token: bool,
    /// The name of the image that contains the client's program (images.lock).
    pub image: &'static str,
    /// A sentence for messages that says why the client cannot sign for some methods. Empty if no explanation is
    /// needed.
    pub note: &'static str,
}

const ANY: &[&str] = &["get", "put", "head", "delete"];
const GET: &[&str] = &["get"];

/// Returns the entry of [`CLIENTS`] for a client that signs URLs and does S3 operations.
const fn s3(name: &'static str, trust_in: &'static str, signs: &'static [&'static str], note: &'static str) -> Client {
    Client { name, trust_in, signs, s3: true, http: false, token: false, image: "clients", note }
}

/// Returns the entry of [`CLIENTS`] for a client that only opens URLs.
const fn opener(name: &'static str, trust_in: &'static str) -> Client {
    Client { name, trust_in, signs: &[], s3: false, http: true, token: false, image: "clients", note: "" }
}

/// All client programs that a scenario may use.
pub const CLIENTS: [Client; 12] = [
    s3("aws-sdk-rust", "SSL_CERT_FILE", ANY, ""),
    s3("aws-cli", "AWS_CA_BUNDLE", GET, "`aws s3 presign` signs GET and nothing else"),
    s3("boto3", "AWS_CA_BUNDLE", ANY, ""),
    s3("mc", "SSL_CERT_FILE", GET, "`mc share download` signs GET; `mc share upload` signs a POST form, not a PUT URL"),
    s3("aws-sdk-go-v2", "SSL_CERT_FILE", ANY, ""),
    s3("aws-sdk-js-v3", "NODE_EXTRA_CA_CERTS", ANY, ""),
    // A JVM reads its trusted certificates from a keystore. The client's program creates the keystore from the CA
    // bundle.
    s3("aws-sdk-java-v2", "PARALLAX_CA_BUNDLE", ANY, ""),
    opener("curl", "CURL_CA_BUNDLE"),
    opener("reqwest", "SSL_CERT_FILE"),
    // Chromium reads its trusted certificates from an NSS database. The client's program creates the database from the
    // CA bundle.
    Client { image: "browser", ..opener("browser", "PARALLAX_CA_BUNDLE") },
    // The kubeconfigs of `kube-rs` and `kubectl` contain no CA data, so these clients trust the certificates that their
    // system trusts.
    Client { token: true, ..opener("kube-rs", "SSL_CERT_FILE") },
    Client { image: "kubectl", token: true, ..opener("kubectl", "SSL_CERT_FILE") },
];

impl Client {
    /// Returns the client with this name; `None` for an unknown name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|it| it.name == name)
    }

    /// Returns the path of the client's program at the vantage.
    pub fn program(&self) -> String {
        format!("/clients/{}", self.name)
    }
}
