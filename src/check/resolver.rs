//! The row of `parallax check` about the name servers that were asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ask::Both;
use super::rows::{Asked, Cell, Row, State};

/// Builds the row with the addresses of the name servers that were asked inside and outside the cluster.
pub(super) fn row(both: &Both, services: &BTreeMap<String, String>) -> Row {
    let cell = |(name, asked): &(Cell, Option<Asked>)| {
        let answer = asked.as_ref().and_then(|it| it.answer.as_ref().ok());
        answer.map_or_else(|| Cell::not_asked(name.text.clone()), |it| servers(&it.evidence.name_servers, services))
    };
    Row::of("name server", cell(&both.inside), cell(&both.outside))
}

fn servers(all: &[std::net::SocketAddr], services: &BTreeMap<String, String>) -> Cell {
    let mut cached = false;
    let shown = all.iter().map(|it| {
        let address = it.ip().to_string();
        cached |= is_link_local(it.ip());
        services.get(&address).map_or(address.clone(), |service| format!("{address} (Service {service})"))
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        return Cell::not_asked("it is not known");
    }
    // NodeLocal DNSCache listens at a link-local address. This cache asks CoreDNS only for the cluster's own names, so
    // rules in CoreDNS for other names have no effect.
    if cached {
        return Cell {
            section: Some("a-dns-cache-on-the-node"),
            ..Cell::new(State::Note, format!("{text} (a cache on the node)"))
        };
    }
    Cell::new(State::Good, text)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_on_the_node_is_noted() {
        let services = BTreeMap::from([("10.43.0.10".to_owned(), "kube-dns".to_owned())]);
        let of = |address: &str| servers(&[address.parse().expect("an address")], &services);
        assert_eq!(of("10.43.0.10:53"), Cell::new(State::Good, "10.43.0.10 (Service kube-dns)"));
        let cached = of("169.254.20.10:53");
        assert_eq!((cached.state, cached.section), (State::Note, Some("a-dns-cache-on-the-node")));
        assert_eq!(servers(&[], &services).state, State::NotAsked);
    }
}
