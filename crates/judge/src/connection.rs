//! Expectations about the connection to a server: the resolved address, the certificate chain, and the expected absence
//! of an answer.

use std::net::IpAddr;

use parallax_vocab::answer::{Answer, Reply};
use parallax_vocab::event::Matched;
use parallax_vocab::{Cause, Certificate};

use super::expect::{NO_ANSWER, Seen, equal, holds, quote};
use super::facts::Facts;

/// The observed value in a message if the connection had no TLS or was not established.
const NO_CERTIFICATE: &str = "no certificate";

/// Checks that the server's name resolved to this address and to no other.
pub(super) fn address(address: &str, facts: &Facts<'_>) -> Matched {
    let held = address.parse().is_ok_and(|it: IpAddr| facts.addresses == [it]);
    let saw = if facts.addresses.is_empty() { "none".to_owned() } else { facts.addresses() };
    Matched::new("address", held, address, saw)
}

/// Checks the number of certificates that the server sent.
pub(super) fn chain_length(length: usize, chain: &[Certificate]) -> Matched {
    match chain.len() {
        0 => Matched::unseen("chain-length", length.to_string(), NO_CERTIFICATE),
        sent => Matched::new("chain-length", sent == length, length.to_string(), sent.to_string()),
    }
}

/// Checks that the leaf certificate contains the name `name`.
pub(super) fn certificate_name(name: &str, chain: &[Certificate]) -> Matched {
    match chain.first() {
        Some(leaf) if leaf.names.iter().any(|it| it == name) => Matched::new("certificate-name", true, name, name),
        Some(leaf) => Matched::new("certificate-name", false, name, leaf.names.join(", ")),
        None => Matched::unseen("certificate-name", name, NO_CERTIFICATE),
    }
}

/// Checks the serial number of the leaf certificate.
pub(super) fn serial(serial: &str, chain: &[Certificate]) -> Matched {
    match chain.first() {
        Some(leaf) => Matched::new("serial", leaf.serial == *serial, serial, &leaf.serial),
        None => Matched::unseen("serial", serial, NO_CERTIFICATE),
    }
}

/// Checks that the certificate chain equals the chain that an earlier step saw.
pub(super) fn same_chain_as(step: &str, chain: &[Certificate], seen: &Seen) -> Matched {
    let other = seen.chains.get(step).map(Vec::as_slice).unwrap_or_default();
    let digests = |chain: &[Certificate]| chain.iter().map(|it| it.sha256.clone()).collect::<Vec<_>>();
    let expected = format!("the chain of {step}: {}", fingerprints(other));
    if other.is_empty() || chain.is_empty() {
        Matched::unseen("same-chain-as", expected, NO_CERTIFICATE)
    } else {
        Matched::new("same-chain-as", digests(other) == digests(chain), expected, fingerprints(chain))
    }
}

fn fingerprints(chain: &[Certificate]) -> String {
    chain.iter().map(|it| it.sha256.get(..16).unwrap_or(&it.sha256)).collect::<Vec<_>>().join(" < ")
}

/// Checks that no answer comes, because of this fault of the layer `name`. For this matcher, the fault is the expected
/// answer. A fault of another layer says nothing about this one.
pub(super) fn no_answer(name: &str, fault: &str, answer: &Answer) -> Matched {
    let said = match &answer.outcome {
        Err(Cause::Dns { fault, .. }) if name == "dns" => Some(fault.to_string()),
        Err(Cause::Connect { fault, .. }) if name == "connect" => Some(fault.to_string()),
        Err(Cause::Tls { fault, .. }) if name == "tls" => Some(fault.to_string()),
        Err(_) => None,
        Ok(reply) => Some(came(reply, answer)),
    };
    match said {
        Some(said) => equal(name, fault.to_owned(), said),
        None => Matched::unseen(name, fault, NO_ANSWER),
    }
}

/// An answer that was not expected, in a few words.
fn came(reply: &Reply, answer: &Answer) -> String {
    let facts = Facts::of(reply, answer);
    match (facts.status, reply.facts().addresses) {
        (Some(status), _) => format!("the answer {status}"),
        (None, Some(_)) => facts.addresses(),
        (None, None) => "an answer".to_owned(),
    }
}

/// Checks that a client lacks a feature: the client gives no answer, and the message of its failure contains `words`.
pub(super) fn inability(words: &str, answer: &Answer) -> Matched {
    let (held, said) = match &answer.outcome {
        Err(Cause::Client { detail }) => (holds(detail, words), quote(detail)),
        Err(cause) => (false, quote(&cause.to_string())),
        Ok(reply) => (false, came(reply, answer)),
    };
    Matched::new("client", held, quote(words), said)
}
