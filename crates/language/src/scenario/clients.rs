//! The clients that `client` steps can use, what each can do, and the variable that sets its trusted certificates.
//!
//! The programs are in `images/clients`, `images/browser` and `images/kubectl`. The linter reports a task that a client cannot do, before
//! anything starts.

/// A client that applications use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name in scenarios. The program is `/clients/NAME`.
    pub name: &'static str,
    /// The environment variable from which it reads the path of its CA bundle (docs/facts.md#aws-clients).
    pub trust_in: &'static str,
    /// The methods for which it can sign URLs.
    pub signs: &'static [&'static str],
    /// Whether it speaks S3.
    pub s3: bool,
    /// Whether it opens URLs.
    pub http: bool,
    /// Whether it can send a ServiceAccount's token.
    pub token: bool,
    /// The image that has its program (images.lock).
    pub image: &'static str,
    /// An explanation for methods that it cannot sign.
    pub note: &'static str,
}

const ANY: &[&str] = &["get", "put", "head", "delete"];
const GET: &[&str] = &["get"];

/// A client that signs and speaks S3.
const fn s3(name: &'static str, trust_in: &'static str, signs: &'static [&'static str], note: &'static str) -> Client {
    Client { name, trust_in, signs, s3: true, http: false, token: false, image: "clients", note }
}

/// A client that opens URLs.
const fn opener(name: &'static str, trust_in: &'static str) -> Client {
    Client { name, trust_in, signs: &[], s3: false, http: true, token: false, image: "clients", note: "" }
}

/// All clients.
pub const CLIENTS: [Client; 12] = [
    s3("aws-sdk-rust", "SSL_CERT_FILE", ANY, ""),
    s3("aws-cli", "AWS_CA_BUNDLE", GET, "`aws s3 presign` signs GET and nothing else"),
    s3("boto3", "AWS_CA_BUNDLE", ANY, ""),
    s3("mc", "SSL_CERT_FILE", GET, "`mc share download` signs GET; `mc share upload` signs a POST form, not a PUT URL"),
    s3("aws-sdk-go-v2", "SSL_CERT_FILE", ANY, ""),
    s3("aws-sdk-js-v3", "NODE_EXTRA_CA_CERTS", ANY, ""),
    // A JVM reads a keystore. The client's program creates it from the bundle.
    s3("aws-sdk-java-v2", "PARALLAX_CA_BUNDLE", ANY, ""),
    opener("curl", "CURL_CA_BUNDLE"),
    opener("reqwest", "SSL_CERT_FILE"),
    // Chromium reads an NSS database. The client's program creates it from the bundle.
    Client { image: "browser", ..opener("browser", "PARALLAX_CA_BUNDLE") },
    // The kubeconfigs of these two have no CA data, so they trust what their system trusts.
    Client { token: true, ..opener("kube-rs", "SSL_CERT_FILE") },
    Client { image: "kubectl", token: true, ..opener("kubectl", "SSL_CERT_FILE") },
];

impl Client {
    /// The client with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|it| it.name == name)
    }

    /// The path of its program at the vantage.
    pub fn program(&self) -> String {
        format!("/clients/{}", self.name)
    }
}
