//! The zone: the names that exist, and their addresses. This module has no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use parallax_vocab::world::{NameTarget, WorldConfig};

/// All names that exist in the zone, with their addresses. A name may exist without an address.
#[derive(Debug)]
pub(crate) struct Zone {
    names: BTreeMap<String, Vec<IpAddr>>,
    /// The names that exist only for clients outside the cluster.
    hidden: BTreeSet<String>,
    /// The parent domains of all names in the zone, except the root. They exist without records. If the server answered
    /// that a parent domain does not exist, a resolver could conclude that no name below this domain exists (RFC 8020).
    between: BTreeSet<String>,
}

/// What the name server answers for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The name has these addresses of the address family in the question.
    Addresses(Vec<IpAddr>),
    /// The name exists but has no record of the requested type.
    NoData,
    /// The name does not exist.
    NoSuchName,
}

/// The record types that the name server distinguishes in a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The record type A (an IPv4 address).
    Four,
    /// The record type AAAA (an IPv6 address).
    Six,
    /// Any other record type.
    Other,
}

impl Zone {
    /// Builds the zone from `config`. The names of the edge resolve to the address `edge`.
    pub(crate) fn new(config: &WorldConfig, edge: IpAddr) -> Self {
        let mut zone = Self { names: BTreeMap::new(), hidden: BTreeSet::new(), between: BTreeSet::new() };
        for (name, target) in &config.names {
            let name = plain(name);
            let mut parent = name.as_str();
            while let Some((_, rest)) = parent.split_once('.') {
                zone.between.insert(rest.to_owned());
                parent = rest;
            }
            let addresses = match target {
                NameTarget::Edge => {
                    zone.hidden.insert(name.clone());
                    vec![edge]
                }
                NameTarget::Addresses(addresses) => addresses.clone(),
                NameTarget::Outside(addresses) => {
                    zone.hidden.insert(name.clone());
                    addresses.clone()
                }
            };
            zone.names.insert(name, addresses);
        }
        zone
    }

    /// Returns the entry of the zone that applies to `name`, with its addresses: the entry of the name itself, or of a
    /// wildcard above the name. As in public DNS, a wildcard stands for any number of labels. If `a.example.com`
    /// exists, the wildcard `*.example.com` applies neither to `a.example.com` nor to a name below it (RFC 4592,
    /// section 3.3.1).
    fn entry(&self, name: &str) -> Option<(&String, &Vec<IpAddr>)> {
        if let Some(own) = self.names.get_key_value(name) {
            return Some(own);
        }
        let mut below = name;
        while !self.exists(below) {
            let (_, parent) = below.split_once('.')?;
            if let Some(wildcard) = self.names.get_key_value(&format!("*.{parent}")) {
                return Some(wildcard);
            }
            below = parent;
        }
        None
    }

    fn exists(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.between.contains(name)
    }

    /// Whether `name` exists only for clients outside the cluster. This is so for a name of the edge, and for the name
    /// of a container on the external network.
    pub(crate) fn is_hidden(&self, name: &str) -> bool {
        self.entry(&plain(name)).is_some_and(|(name, _)| self.hidden.contains(name))
    }

    /// Returns what the name server answers about `name` to a client that may see every name.
    pub(crate) fn look_up(&self, name: &str, asked: Asked) -> Verdict {
        let name = plain(name);
        let Some((_, all)) = self.entry(&name) else {
            let exists = name.is_empty() || self.between.contains(&name);
            return if exists { Verdict::NoData } else { Verdict::NoSuchName };
        };
        let fits = |address: &&IpAddr| match asked {
            Asked::Four => address.is_ipv4(),
            Asked::Six => address.is_ipv6(),
            Asked::Other => false,
        };
        let addresses: Vec<_> = all.iter().filter(fits).copied().collect();
        if addresses.is_empty() { Verdict::NoData } else { Verdict::Addresses(addresses) }
    }
}

/// Converts a name to lower case and removes the root's dot at its end.
pub(crate) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_names_exist_and_nothing_else_does() {
        let edge: IpAddr = "172.18.0.2".parse().unwrap();
        let six: IpAddr = "fd00::1".parse().unwrap();
        let config = WorldConfig {
            names: BTreeMap::from([
                ("minio.example.com".to_owned(), NameTarget::Edge),
                ("*.s3.example.com".to_owned(), NameTarget::Edge),
                ("own.s3.example.com".to_owned(), NameTarget::Addresses(vec![six])),
                ("a.between.s3.example.com".to_owned(), NameTarget::Addresses(vec![six])),
                ("six.example.org".to_owned(), NameTarget::Addresses(vec![six])),
                ("empty.example.org".to_owned(), NameTarget::Addresses(vec![])),
            ]),
            ..WorldConfig::default()
        };
        let zone = Zone::new(&config, edge);
        let table = [
            ("minio.example.com.", Asked::Four, Verdict::Addresses(vec![edge])),
            ("MINIO.Example.com", Asked::Four, Verdict::Addresses(vec![edge])),
            ("minio.example.com", Asked::Six, Verdict::NoData),
            ("minio.example.com", Asked::Other, Verdict::NoData),
            ("six.example.org", Asked::Six, Verdict::Addresses(vec![six])),
            ("six.example.org", Asked::Four, Verdict::NoData),
            ("empty.example.org", Asked::Four, Verdict::NoData),
            ("example.com", Asked::Four, Verdict::NoData),
            ("com", Asked::Four, Verdict::NoData),
            (".", Asked::Other, Verdict::NoData),
            ("x.minio.example.com", Asked::Four, Verdict::NoSuchName),
            ("photos.s3.example.com", Asked::Four, Verdict::Addresses(vec![edge])),
            ("photos.s3.example.com", Asked::Six, Verdict::NoData),
            ("s3.example.com", Asked::Four, Verdict::NoData),
            ("my.photos.s3.example.com", Asked::Four, Verdict::Addresses(vec![edge])),
            ("x.own.s3.example.com", Asked::Four, Verdict::NoSuchName),
            ("x.between.s3.example.com", Asked::Four, Verdict::NoSuchName),
            ("own.s3.example.com", Asked::Six, Verdict::Addresses(vec![six])),
            ("own.s3.example.com", Asked::Four, Verdict::NoData),
            ("between.s3.example.com", Asked::Four, Verdict::NoData),
            ("xminio.example.com", Asked::Four, Verdict::NoSuchName),
            ("sts.us-east-1.amazonaws.com", Asked::Four, Verdict::NoSuchName),
            ("minio.example.com.default.svc.cluster.local", Asked::Four, Verdict::NoSuchName),
        ];
        for (name, asked, expected) in table {
            assert_eq!(zone.look_up(name, asked), expected, "{name} {asked:?}");
        }
        assert!(zone.is_hidden("MINIO.example.com.") && !zone.is_hidden("six.example.org"));
        assert!(zone.is_hidden("photos.s3.example.com") && !zone.is_hidden("own.s3.example.com"));
        assert!(zone.is_hidden("my.photos.s3.example.com") && !zone.is_hidden("x.own.s3.example.com"));
    }
}
