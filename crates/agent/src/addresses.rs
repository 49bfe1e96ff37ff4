//! Reads the own addresses of the container in which the agent runs, from the kernel's routing table in `/proc`. This
//! works without a host name and without a default route.

use std::net::{IpAddr, Ipv4Addr};

/// Returns all IPv4 addresses of this network namespace that are not loopback, in the kernel's order.
pub(crate) fn own() -> Vec<IpAddr> {
    std::fs::read_to_string("/proc/net/fib_trie").map(|trie| local(&trie)).unwrap_or_default()
}

/// Returns the addresses in `/proc/net/fib_trie` that the kernel marks `host LOCAL`. The file lists each of them twice
/// (in the tables `Main` and `Local`), so repetitions are dropped.
fn local(trie: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line.ends_with("host LOCAL")
            && let Some(address) = leaf
            && !address.is_loopback()
            && !found.contains(&IpAddr::V4(address))
        {
            found.push(IpAddr::V4(address));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_leaves_are_ours_and_broadcasts_are_not() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 172.18.0.0/16 2 0 2\n\
                    \x20       |-- 172.18.0.0\n           /16 link UNICAST\n        |-- 172.18.0.3\n           /32 host LOCAL\n\
                    \x20       |-- 172.18.255.255\n           /32 link BROADCAST\n     +-- 127.0.0.0/8 2 0 2\n\
                    \x20       |-- 127.0.0.1\n           /32 host LOCAL\nLocal:\n        |-- 172.18.0.3\n           /32 host LOCAL\n";
        assert_eq!(local(trie), ["172.18.0.3".parse::<IpAddr>().unwrap()]);
        assert!(local("").is_empty());
    }
}
