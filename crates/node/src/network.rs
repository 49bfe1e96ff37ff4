//! IPv4 address ranges of pods and Services. A node has one range for each.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of IPv4 addresses: the first address, and the length of the prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    base: Ipv4Addr,
    bits: u8,
}

/// The longest accepted prefix (the smallest range). A smaller range would not suffice: each node's pods get a /24,
/// and CoreDNS gets the tenth address of the services' range.
const LONGEST_PREFIX: u8 = 24;
/// The shortest accepted prefix (the largest range).
const SHORTEST_PREFIX: u8 = 8;

impl Range {
    /// The address `n` after the first address of the range; 0 means the first address.
    pub(crate) fn nth(self, n: u8) -> Ipv4Addr {
        // A range has at least eight host bits, so the sum stays inside the range.
        Ipv4Addr::from(u32::from(self.base) + u32::from(n))
    }

    /// The first /24 of the range, which the controller-manager assigns to the first node.
    pub(crate) fn first_node(self) -> Self {
        Self { base: self.base, bits: LONGEST_PREFIX }
    }

    /// Whether `address` is in the range.
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.bits) == u32::from(self.base)
    }
}

fn mask(bits: u8) -> u32 {
    u32::MAX << (32 - u32::from(bits))
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not one IPv4 range such as 10.42.0.0/16");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if !(SHORTEST_PREFIX..=LONGEST_PREFIX).contains(&bits) {
            return Err(format!("`{text}`: the prefix must be from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}"));
        }
        let base = Ipv4Addr::from(u32::from(address) & mask(bits));
        if base != address {
            return Err(format!("`{text}` has bits beyond its prefix; did you mean {base}/{bits}?"));
        }
        Ok(Self { base, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_ranges() {
        for (text, first, last_in, out) in [
            ("10.43.0.0/16", "10.43.0.1", "10.43.255.255", "10.44.0.0"),
            ("10.0.0.0/8", "10.0.0.1", "10.255.255.255", "11.0.0.0"),
            ("192.168.5.0/24", "192.168.5.1", "192.168.5.255", "192.168.6.0"),
        ] {
            let range: Range = text.parse().expect(text);
            assert_eq!(range.to_string(), text);
            assert_eq!(range.nth(1).to_string(), first);
            assert!(range.contains(last_in.parse().expect("address")));
            assert!(!range.contains(out.parse().expect("address")));
        }
    }

    #[test]
    fn errors_of_refused_ranges_give_the_reason() {
        for (text, why) in [
            ("10.42.0.0", "not one IPv4 range"),
            ("10.42.0.0/16,fd00::/48", "not one IPv4 range"),
            ("fd00::/48", "not one IPv4 range"),
            ("10.42.0.0/28", "must be from"),
            ("10.42.1.0/16", "did you mean 10.42.0.0/16"),
        ] {
            let error = text.parse::<Range>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
