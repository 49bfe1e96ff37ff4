//! Finds out why a store refused a signature, while the run still has access to the secrets.
//!
//! This module only collects the facts from the flow; [`parallax_explain::signature`] analyses them.

use std::collections::BTreeMap;

use parallax_vocab::answer::PresignReply;
use parallax_vocab::event::{Arrived, Witness};
use parallax_vocab::probes::Signed;
use parallax_vocab::question::{PresignQuestion, S3Operation, S3Question};
use parallax_vocab::signature::{SeenBy, SignatureFinding};
use parallax_vocab::{Answer, Question, Secret, StepId};

use super::scene::Scene;
use parallax_explain::signature::{Case, Guesses, SignedRequest, investigate};

/// The S3 error codes that a store returns if a signature does not match the request.
const CODES: [&str; 2] = ["SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"];
/// A part of the message of an `AccessDenied` error that also means that the signature does not match the request.
const UNSIGNED_HEADERS: &str = "which were not signed";

/// The URLs and forms that steps of this flow signed, by the id of the step.
pub(super) type Presigned = BTreeMap<String, (PresignQuestion, PresignReply)>;

/// The facts about a refused request: what the store received (`seen`), what the vantage sent, and what a step signed.
/// This type borrows nothing from the flow, so that another thread can analyse the facts.
pub(super) struct Known {
    seen: SignedRequest,
    seen_by: SeenBy,
    sent: Option<SignedRequest>,
    signed: Option<SignedRequest>,
    signed_by: Option<StepId>,
    guesses: Guesses,
    store_secret: Option<Secret>,
    signer_secret: Option<Secret>,
}

impl Known {
    /// Finds out why the signature does not match the request. The search may need much processor time.
    pub(super) fn finding(self) -> SignatureFinding {
        let finding = investigate(&Case {
            seen: &self.seen,
            seen_by: self.seen_by,
            sent: self.sent.as_ref(),
            signed: self.signed.as_ref(),
            guesses: self.guesses,
            store_secret: self.store_secret.as_ref(),
            signer_secret: self.signer_secret.as_ref(),
        });
        SignatureFinding { signed_by: self.signed_by.or(finding.signed_by), ..finding }
    }
}

/// Collects the facts about a refused request. `None` if the store refused the request for another reason than its
/// signature, or if the facts are not enough for a search.
pub(super) fn case(
    scene: &Scene<'_>,
    question: &Question,
    answer: &Answer,
    witness: Option<&Witness>,
    presigned: &Presigned,
) -> Option<Known> {
    let error = answer.reply()?.facts().s3_error?;
    let refused = CODES.contains(&error.meant()) || error.message.contains(UNSIGNED_HEADERS);
    let arrived = witness.and_then(|it| it.request.as_ref());
    if !refused {
        return None;
    }
    match question.probe.facts().signed? {
        Signed::Http(http) => {
            let sent = SignedRequest::sent(&http.method, &http.url, http.host.as_deref(), &http.headers)?;
            let seen = arrived.and_then(|it| SignedRequest::arrived(it, path_of(&http.url)));
            let by = signer(&sent, presigned);
            let signed =
                by.and_then(|(_, (_, reply))| SignedRequest::sent(&reply.method, &reply.url, None, &reply.headers));
            let body = http.body.as_deref().unwrap_or_default();
            let guesses = Guesses { hosts: hosts(scene), paths: Vec::new(), body_sha256: Some(sha256(body)) };
            let seen_by = if seen.is_some() { SeenBy::Store } else { SeenBy::Sender };
            Some(Known {
                seen: seen.unwrap_or_else(|| sent.clone()),
                seen_by,
                signed,
                signed_by: by.map(|(id, _)| StepId::new(id.clone())),
                guesses,
                store_secret: store_secret(scene, &sent.access_key),
                signer_secret: by.map(|(_, (question, _))| question.access.secret_key.clone()),
                sent: Some(sent),
            })
        }
        Signed::S3(s3) => of_operation(scene, s3, arrived?),
    }
}

/// The facts about a request of the AWS SDK. The SDK signs the request only while it sends it. So the harness does not
/// know which parts the SDK signed, and derives them from the S3 operation.
fn of_operation(scene: &Scene<'_>, s3: &S3Question, arrived: &Arrived) -> Option<Known> {
    let seen = SignedRequest::arrived(arrived, None)?;
    let url = s3.access.bucket_url(s3.operation.bucket());
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let (host, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (path, body) = match &s3.operation {
        S3Operation::CreateBucket { .. } | S3Operation::List { .. } | S3Operation::Survey { .. } => {
            (base.to_owned(), "")
        }
        S3Operation::Put { bucket: _, key, body } => (format!("{base}/{key}"), body.as_str()),
        S3Operation::Get { bucket: _, key }
        | S3Operation::Head { bucket: _, key }
        | S3Operation::CreateUpload { bucket: _, key }
        | S3Operation::Delete { bucket: _, key } => (format!("{base}/{key}"), ""),
        // Only the set-up of a store uses `PutBucketPolicy`, and no step does. The body of `CompleteUpload` is not
        // known, because the SDK writes it.
        S3Operation::PutBucketPolicy { .. } | S3Operation::CompleteUpload { .. } => return None,
    };
    let mut all = vec![host.to_owned()];
    all.extend(hosts(scene));
    Some(Known {
        seen_by: SeenBy::Store,
        sent: None,
        signed: None,
        signed_by: None,
        guesses: Guesses { hosts: all, paths: vec![format!("{path}/"), path], body_sha256: Some(sha256(body)) },
        store_secret: store_secret(scene, &seen.access_key),
        signer_secret: Some(s3.access.secret_key.clone()),
        seen,
    })
}

/// The step that signed the URL of a request, with the step's id. This is the step whose URL has the same signature as
/// the request. If no step signed such a URL, the result is a step whose URL has the same path and the same signing
/// date.
fn signer<'a>(
    sent: &SignedRequest,
    presigned: &'a Presigned,
) -> Option<(&'a String, &'a (PresignQuestion, PresignReply))> {
    let request = |reply: &PresignReply| SignedRequest::sent(&reply.method, &reply.url, None, &reply.headers);
    let mut all = presigned.iter().filter_map(|(id, it)| Some((id, it, request(&it.1)?)));
    let same = all.clone().find(|(_, _, signed)| signed.signature == sent.signature);
    let like = all.find(|(_, _, signed)| signed.date == sent.date && signed.path == sent.path);
    same.or(like).map(|(id, it, _)| (id, it))
}

/// The secret key for an access key, if the credentials of a store of the scenario contain this access key.
fn store_secret(scene: &Scene<'_>, access_key: &str) -> Option<Secret> {
    let mut all = scene.stores().filter_map(|(id, store)| scene.access(id, store).ok());
    all.find(|access| access.access_key == access_key).map(|access| access.secret_key)
}

/// Host names that a signer may have used for the stores.
fn hosts(scene: &Scene<'_>) -> Vec<String> {
    let endpoints = scene.stores().map(|(_, store)| store.endpoint.clone());
    let exports = scene.plan.fixtures.values().flat_map(|fixture| fixture.exports.values());
    let exports = exports.filter_map(|export| match export {
        parallax_language::fixture::Export::Value(value) => Some(value.clone()),
        _ => None,
    });
    let bare = |text: String| {
        let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    };
    let mut all: Vec<String> = endpoints.chain(exports).map(bare).filter(|it| it.contains('.')).collect();
    all.sort();
    all.dedup();
    all
}

fn path_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let path = &rest[rest.find('/')?..];
    path.split(['?', '#']).next()
}

fn sha256(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}
