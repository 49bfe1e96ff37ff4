//! Expectations about the connection to a server: the resolved address, the certificate chain, and the expected absence
//! of an answer.

use std::net::IpAddr;

use parallax_vocab::answer::{Answer, Reply};
use parallax_vocab::event::Matched;
use parallax_vocab::{Cause, Certificate};

use super::expect::{NO_ANSWER, Seen, equal, holds, quote};
use super::facts::Facts;

/// The text that messages show as the observed value if there is no certificate: the connection had no TLS, or was not
/// established.
const NO_CERTIFICATE: &str = "no certificate";

/// Checks that the host name in a `dns` question resolved to this address and to no other. For another question, checks
/// that the probe connected to this address. If a detour replaced the address, the original address counts.
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

/// Checks that the question got no answer, because it failed in the layer `name` with the fault `fault`. After a
/// failure in another layer, this matcher has nothing to compare.
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

/// Describes in a few words an answer that came although the step expects no answer.
fn came(reply: &Reply, answer: &Answer) -> String {
    let facts = Facts::of(reply, answer);
    match (facts.status, reply.facts().addresses) {
        (Some(status), _) => format!("the answer {status}"),
        (None, Some(_)) => facts.addresses(),
        (None, None) => "an answer".to_owned(),
    }
}

/// Checks that a client cannot do what the question asks: the client itself fails, and the message of its failure
/// contains `words`.
pub(super) fn inability(words: &str, answer: &Answer) -> Matched {
    let (held, said) = match &answer.outcome {
        Err(Cause::Client { detail }) => (holds(detail, words), quote(detail)),
        Err(cause) => (false, quote(&cause.to_string())),
        Ok(reply) => (false, came(reply, answer)),
    };
    Matched::new("client", held, quote(words), said)
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Evidence;
    use parallax_vocab::cause::{ConnectFault, DnsFault, TlsFault};

    use super::*;

    /// A certificate with this serial number, name and digest.
    fn certificate(serial: &str, name: &str, sha256: &str) -> Certificate {
        Certificate {
            subject: String::new(),
            issuer: String::new(),
            serial: serial.to_owned(),
            names: vec![name.to_owned(), "10.0.0.1".to_owned()],
            not_before: String::new(),
            not_after: String::new(),
            sha256: sha256.to_owned(),
        }
    }

    /// Returns three facts of a result: whether the matcher held, what it saw, and whether it had nothing to compare.
    fn of(matched: &Matched) -> (bool, &str, bool) {
        (matched.held, &matched.seen, matched.unseen)
    }

    #[test]
    fn each_matcher_of_a_chain_looks_at_its_own_part_of_it() {
        let digest = "0123456789abcdef0123";
        let chain = [certificate("0a", "a.example.com", digest), certificate("0b", "the authority", "ff")];
        assert_eq!(of(&chain_length(2, &chain)), (true, "2", false));
        assert_eq!(of(&chain_length(1, &chain)), (false, "2", false));
        assert_eq!(of(&chain_length(0, &[])), (false, NO_CERTIFICATE, true));
        // Only the names and the serial number of the leaf certificate count.
        assert_eq!(of(&certificate_name("10.0.0.1", &chain)), (true, "10.0.0.1", false));
        assert_eq!(of(&certificate_name("the authority", &chain)), (false, "a.example.com, 10.0.0.1", false));
        assert_eq!(of(&certificate_name("a.example.com", &[])), (false, NO_CERTIFICATE, true));
        assert_eq!(of(&serial("0a", &chain)), (true, "0a", false));
        assert_eq!(of(&serial("0b", &chain)), (false, "0a", false));
        assert_eq!(of(&serial("0a", &[])), (false, NO_CERTIFICATE, true));

        let seen = |other: &[Certificate]| Seen { chains: [("before".to_owned(), other.to_vec())].into() };
        let same = same_chain_as("before", &chain, &seen(&chain));
        assert_eq!(of(&same), (true, "0123456789abcdef < ff", false));
        assert_eq!(same.expected, "the chain of before: 0123456789abcdef < ff");
        assert_eq!(of(&same_chain_as("before", &chain, &seen(&chain[..1]))), (false, "0123456789abcdef < ff", false));
        for (chain, seen) in [(&chain[..], seen(&[])), (&[], seen(&chain)), (&chain, Seen::default())] {
            assert_eq!(of(&same_chain_as("before", chain, &seen)), (false, NO_CERTIFICATE, true));
        }
    }

    #[test]
    fn a_fault_is_compared_with_one_of_its_own_layer_only() {
        let detail = String::new();
        let dns = Cause::Dns { fault: DnsFault::NoSuchName, detail: detail.clone() };
        let connect = Cause::Connect { fault: ConnectFault::Refused, detail: detail.clone() };
        let tls = Cause::Tls { fault: TlsFault::NameMismatch, detail };
        for (own, cause) in [("dns", dns), ("connect", connect), ("tls", tls)] {
            let answer = Answer { outcome: Err(cause), evidence: Evidence::default() };
            for (layer, fault) in [("dns", "no-such-name"), ("connect", "refused"), ("tls", "name-mismatch")] {
                let matched = no_answer(layer, fault, &answer);
                assert_eq!((matched.held, matched.unseen), (layer == own, layer != own), "{layer} of {own}");
                assert!(!no_answer(layer, "another", &answer).held, "{layer} of {own}");
            }
        }
    }
}
