//! Searches for the smallest set of parts that must be restored to make a signature valid.

use parallax_vocab::Secret;
use parallax_vocab::signature::{SecretFinding, SeenBy, SignatureFinding};

use super::canonical::signature;
use super::difference::{Part, differences, parts, put_back};
use super::guess::{Guesses, alternatives};
use super::request::SignedRequest;

/// The largest number of combinations of restored parts that the search verifies. Each verification takes microseconds.
/// If the signed request is known, the search needs only a few combinations.
const TRIED_LIMIT: u32 = 20_000;

/// What the search knows about a refused request.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The request as the store, its sender or a log saw it ([`Self::seen_by`]).
    pub seen: &'a SignedRequest,
    /// Who saw the request in `seen`.
    pub seen_by: SeenBy,
    /// The request as the client sent it. `None` if it is not known.
    pub sent: Option<&'a SignedRequest>,
    /// The request as the signer signed it. `None` if it is not known, for example because another program signed it.
    pub signed: Option<&'a SignedRequest>,
    /// Guesses about the signed request. They are used only if `signed` is `None`.
    pub guesses: Guesses,
    /// The store's secret key for the access key of the request. `None` if the key is not known.
    pub store_secret: Option<&'a Secret>,
    /// The secret key of the signer. `None` if the key is not known.
    pub signer_secret: Option<&'a Secret>,
}

/// Finds the differences between the signed request and the request that was seen.
///
/// If the signed request is known, the search puts values of the signed request back into the seen one. If the
/// signature then becomes valid, it was made with exactly these values. If the signed request is not known, because
/// another program signed it, the search undoes changes that proxies usually make.
pub fn investigate(case: &Case<'_>) -> SignatureFinding {
    let right = |request: &SignedRequest, secret: Option<&Secret>| {
        secret.map(|secret| signature(request, secret.expose()) == request.signature)
    };
    let mut search = Search { case, tried: 0 };
    let keys: Vec<&Secret> = [case.store_secret, case.signer_secret.filter(|it| Some(*it) != case.store_secret)]
        .into_iter()
        .flatten()
        .collect();
    let found = search.fewest(&keys);
    let tried = search.tried;
    let other_key = match (case.store_secret, case.signer_secret) {
        (Some(store), Some(signer)) => Some(store != signer),
        _ => None,
    };
    let (signed, secret, proven) = match &found {
        Some((request, key)) => (Some(request), secret_finding(case, key, request), true),
        None if other_key == Some(true) => (case.signed, SecretFinding::Other, false),
        None => (case.signed, SecretFinding::Unknown, false),
    };
    SignatureFinding {
        form: case.seen.form,
        seen_by: case.seen_by,
        signed_by: None,
        valid_as_signed: case.signed.and_then(|it| right(it, case.store_secret)),
        valid_as_seen: right(case.seen, case.store_secret),
        differs: signed.map(|signed| differences(signed, case.seen, case.sent)).unwrap_or_default(),
        secret,
        proven,
        tried,
    }
}

/// Returns the finding about the signer's key. `key` is the key that makes the signature of `request` valid.
fn secret_finding(case: &Case<'_>, key: &Secret, request: &SignedRequest) -> SecretFinding {
    let nothing_differs = request == case.seen && case.seen_by == SeenBy::Store;
    if case.store_secret == Some(key) {
        SecretFinding::Same
    } else if case.store_secret.is_some() || nothing_differs {
        // The signature is valid with the signer's key. It is not valid with the store's key, or the store's key is not
        // known and the store refused exactly this request. In both cases the store has a different key.
        SecretFinding::Other
    } else {
        SecretFinding::Unknown
    }
}

struct Search<'a, 'b> {
    case: &'a Case<'b>,
    tried: u32,
}

impl Search<'_, '_> {
    /// Restores as few parts as possible, so that the signature becomes valid. Returns the restored request, and the
    /// key with which its signature is valid. `None` if no combination makes the signature valid.
    fn fewest<'k>(&mut self, keys: &[&'k Secret]) -> Option<(SignedRequest, &'k Secret)> {
        let seen = self.case.seen;
        let choices: Vec<(Part, Vec<SignedRequest>)> = parts(seen, self.case.signed)
            .into_iter()
            .map(|part| {
                let other = alternatives(&part, self.case);
                (part, other)
            })
            .filter(|(_, other)| !other.is_empty())
            .collect();
        // The store's key is tried first. If the signature is valid only with the signer's key, the two keys differ,
        // which is one more fault.
        for key in keys {
            for count in 0..=choices.len() {
                if let Some(found) = self.with(seen.clone(), &choices, count, key) {
                    return Some((found, key));
                }
            }
        }
        None
    }

    /// Tries every combination of `count` restored parts from `choices`. Returns the first request whose signature is
    /// valid with `key`.
    fn with(
        &mut self,
        request: SignedRequest,
        choices: &[(Part, Vec<SignedRequest>)],
        count: usize,
        key: &Secret,
    ) -> Option<SignedRequest> {
        if count == 0 {
            self.tried = self.tried.saturating_add(1);
            return (signature(&request, key.expose()) == request.signature).then_some(request);
        }
        for (index, (part, others)) in choices.iter().enumerate() {
            if choices.len() - index < count {
                break;
            }
            for other in others {
                if self.tried >= TRIED_LIMIT {
                    return None;
                }
                let mut changed = request.clone();
                put_back(&mut changed, part, other);
                if let Some(found) = self.with(changed, &choices[index + 1..], count - 1, key) {
                    return Some(found);
                }
            }
        }
        None
    }
}
