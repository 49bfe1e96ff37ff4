//! Explains MinIO's own messages: the answers of its health paths, and the refusals of its token service.
//!
//! The token service gives the same answer for different faults (an unknown role, an unreachable provider). Therefore
//! each part of the sign-in is examined by itself: the store's log about its OpenID provider, the roles that the store
//! has, the claims of the token, and the keys that the issuer publishes.

use parallax_vocab::answer::Signature;

use crate::store::LogWords;
use crate::web_identity::Chain;

/// The texts that identify two kinds of lines in MinIO's log: a complaint about an OpenID provider that MinIO cannot
/// use, and the name of a role that MinIO created (docs/facts.md#openid-provider-in-minio).
pub(crate) const LOG_WORDS: LogWords = LogWords { complaint: "Unable to initialize OpenID", role: "arn:minio:iam:" };

/// Explains an answer without a body at one of MinIO's health paths. `path` has no leading slash. Returns `None` if the
/// answer is not a 503 from such a path.
pub(crate) fn not_ready(status: u16, path: &str) -> Option<String> {
    (status == 503 && path.starts_with("minio/health/")).then(|| {
        "the answer is 503: the store is up and does not call itself ready; as long as it cannot use its OpenID provider it is `iam-offline`, and its log says why".to_owned()
    })
}

/// Explains a refusal by MinIO's token service. The parts of the sign-in are checked in the order in which MinIO uses
/// them, because the first fault hides the later ones. Returns `None` if the error text is not known.
pub(crate) fn refused(chain: &Chain, detail: &str) -> Option<String> {
    // A store that could not use its OpenID provider has created no role. This fault comes before all faults below.
    if let (Some(complaint), Some([])) = (chain.complaint.as_deref(), chain.roles.as_deref()) {
        return Some(provider(complaint));
    }
    let claims = chain.token.as_ref().map(|token| &token.claims);
    Some(if detail.contains("is not defined") {
        match chain.roles.as_deref() {
            None => format!(
                "the store knows no role {}, and its log could not be read; set AWS_ROLE_ARN to the role that its log names",
                chain.role
            ),
            Some([]) => "the store has made no role yet: it has no OpenID provider (MINIO_IDENTITY_OPENID_CONFIG_URL and _ROLE_POLICY), or still waits for it".to_owned(),
            Some(roles) => format!(
                "the store knows no role {}; set AWS_ROLE_ARN to {}, which it made of its client id",
                chain.role,
                roles.join(" or ")
            ),
        }
    } else if detail.contains("`azp` claim invalid") {
        let audience = claims.map_or_else(|| "somebody else".to_owned(), |it| it["aud"].to_string());
        format!(
            "the token is for {audience}, and not for the store's client id; set `audience` of the projected token to MINIO_IDENTITY_OPENID_CLIENT_ID"
        )
    } else if detail.contains("No public key found") || detail.contains("signature is invalid") {
        key(chain)
    } else if detail.contains("Token is expired") {
        let ended = claims.and_then(|it| it["exp"].as_i64()).map(|end| chain.now - end);
        let ended = ended.map_or_else(String::new, |ago| format!(" {ago} s ago"));
        format!(
            "the token ended{ended}; read its file anew for each exchange, because the kubelet replaces it, and compare the clocks"
        )
    } else if detail.contains("invalid token expiry") {
        "the credentials are to live less than 15 minutes or more than 365 days; leave DurationSeconds out, or write 900 to 31536000".to_owned()
    } else if detail.contains("None of the given policies") {
        "the role's policy does not exist in the store; create it (`mc admin policy create`), or correct MINIO_IDENTITY_OPENID_ROLE_POLICY".to_owned()
    } else {
        return None;
    })
}

fn provider(complaint: &str) -> String {
    let any = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    let repair = if any(&["status(401"]) {
        "the apiserver asks who is there: open its two discovery paths to anybody, with an AuthenticationConfiguration (`--kube-apiserver-arg=authentication-config=FILE`), or bluntly with `anonymous-auth=true`"
    } else if any(&["status(403"]) {
        "no rule lets anybody read the issuer's documents: `kubectl create clusterrolebinding issuer-discovery --clusterrole=system:service-account-issuer-discovery --user=system:anonymous`"
    } else if any(&["unknown authority"]) {
        "the store does not trust the apiserver's certificate: put the cluster's CA (ConfigMap kube-root-ca.crt) into its certs/CAs folder and restart it, because CAs load at start only"
    } else if any(&["certificate is valid for", "cannot validate certificate"]) {
        "the apiserver's certificate does not hold the name that the store asks for: use kubernetes.default.svc.cluster.local, or add the name (`--tls-san`)"
    } else if any(&["no such host", "dial tcp", "i/o timeout", "connection refused"]) {
        "the store does not reach the issuer or its keys: see which URL it asks for, and give the apiserver one that it reaches (`--kube-apiserver-arg=service-account-jwks-uri=https://kubernetes.default.svc.cluster.local/openid/v1/jwks`)"
    } else {
        "repair what it complains of; it tries again every few seconds"
    };
    format!("the store could not use its OpenID provider ({complaint}); {repair}")
}

fn key(chain: &Chain) -> String {
    let Some(token) = &chain.token else {
        return "the issuer does not publish the key that the token is signed with; it comes from another cluster, or its key was retired".to_owned();
    };
    let id = token.key_id.as_deref().unwrap_or("none");
    match token.signature {
        Signature::UnknownKey => format!(
            "the token is signed by key {id}, and its issuer publishes {}; it comes from another cluster, or its key was retired: take a new token",
            token.published.join(", ")
        ),
        Signature::Invalid => {
            format!("the token's signature is not made by key {id}; the token was changed on its way")
        }
        Signature::Valid => format!(
            "the issuer vouches for the token (key {id}), but the store does not know that key; it fetches keys from {}: look whether that is the same issuer",
            token.jwks_uri
        ),
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::answer::JwtReply;
    use parallax_vocab::{Cause, StoreKind};
    use serde_json::json;

    use super::*;
    use crate::web_identity;

    const ROLE: &str = "arn:minio:iam:::role/oxnUw3DAuQF1uggjXGxI2AmW8IA";

    fn sts(detail: &str) -> Cause {
        Cause::Sts { status: 400, code: Some("InvalidParameterValue".to_owned()), detail: detail.to_owned() }
    }

    fn token(audience: &str, signature: Signature) -> JwtReply {
        JwtReply {
            claims: json!({ "aud": [audience], "exp": 1_000 }),
            algorithm: "RS256".to_owned(),
            key_id: Some("k1".to_owned()),
            signature,
            jwks_uri: "https://kubernetes.default.svc.cluster.local/openid/v1/jwks".to_owned(),
            published: vec!["k2".to_owned()],
        }
    }

    #[test]
    fn each_broken_link_is_named_with_its_repair() {
        let sound = Chain {
            role: ROLE.to_owned(),
            roles: Some(vec![ROLE.to_owned()]),
            complaint: None,
            token: Some(token("sts.amazonaws.com", Signature::Valid)),
            now: 1_060,
        };
        let offline = |complaint: &str| Chain {
            roles: Some(Vec::new()),
            complaint: Some(format!("Unable to initialize OpenID: {complaint}")),
            ..sound.clone()
        };
        let undefined = sts("Error processing RoleArn parameter: RoleARN X is not defined.");
        let discovery = "https://kubernetes.default.svc.cluster.local/.well-known/openid-configuration";
        let of = |audience: &str, signature| Chain { token: Some(token(audience, signature)), ..sound.clone() };
        let client = |detail: &str| Cause::Client { detail: detail.to_owned() };
        let table = [
            ("anonymous-off", offline(&format!("{discovery}: status(401 Unauthorized)")), undefined.clone()),
            ("no-binding", offline(&format!("{discovery}: status(403 Forbidden)")), undefined.clone()),
            ("untrusted", offline("x509: certificate signed by unknown authority"), undefined.clone()),
            ("other-name", offline("x509: certificate is valid for kubernetes, not a"), undefined.clone()),
            ("keys-elsewhere", offline("dial tcp: lookup apiserver.invalid: no such host"), undefined.clone()),
            (
                "wrong-role",
                Chain { role: "arn:minio:iam:::role/nobody".to_owned(), ..sound.clone() },
                undefined.clone(),
            ),
            ("no-provider", Chain { roles: Some(Vec::new()), ..sound.clone() }, undefined.clone()),
            ("log-not-read", Chain { roles: None, ..offline("dial tcp") }, undefined),
            ("wrong-audience", of("vault", Signature::Valid), sts("STS JWT Token has `azp` claim invalid, …")),
            ("foreign-signer", of("a", Signature::UnknownKey), sts("No public key found for kid k1")),
            ("other-issuer", sound.clone(), sts("No public key found for kid k1")),
            ("changed", of("a", Signature::Invalid), sts("token signature is invalid: crypto/rsa: verification error")),
            ("expired-token", sound.clone(), sts("Token is expired")),
            ("duration-too-short", sound.clone(), sts("invalid token expiry")),
            ("policy-undefined", sound.clone(), sts("None of the given policies (`nothing`) are defined")),
            ("unreadable", sound.clone(), client("the token /t cannot be read: Permission denied (os error 13)")),
            ("no-token", sound.clone(), client("the token /t cannot be read: No such file or directory (os error 2)")),
        ];
        let lines: Vec<String> = table
            .iter()
            .map(|(name, chain, cause)| {
                format!("{name}: {}", web_identity(StoreKind::Minio, chain, cause).expect("a broken link"))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_is_not_of_the_chain_is_left_to_others() {
        let refused = Cause::Status { status: 403, s3: None, detail: String::new() };
        assert_eq!(web_identity(StoreKind::Minio, &Chain::default(), &refused), None);
        assert_eq!(web_identity(StoreKind::Minio, &Chain::default(), &sts("something else")), None);
    }

    #[test]
    fn the_words_of_one_store_explain_no_other() {
        let expired = sts("Token is expired");
        assert!(web_identity(StoreKind::Minio, &Chain::default(), &expired).is_some());
        assert_eq!(web_identity(StoreKind::S3, &Chain::default(), &expired), None);
        // A token file that the client cannot read is a fault of the pod, and not of the store. Therefore the
        // explanation is the same for every kind of store.
        let unreadable = Cause::Client { detail: "the token /t cannot be read: No such file".to_owned() };
        assert!(web_identity(StoreKind::S3, &Chain::default(), &unreadable).is_some());
    }
}
