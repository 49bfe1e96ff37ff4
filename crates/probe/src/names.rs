//! Resolves names. The cause of a failure comes only from the look-up of the absolute name. A look-up with a search
//! path tries several names and returns only the last error, which may hide the error of the absolute name.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};
use parallax_vocab::answer::DnsReply;
use parallax_vocab::question::DnsQuestion;
use parallax_vocab::{Cause, DnsFault, View};

use crate::dial::Dialler;
use crate::invalid;
use crate::trail::micros;

/// The time limit for one attempt to resolve a name. The limit is shorter if the remaining time would not be enough for
/// two attempts. A second attempt may be needed because a UDP datagram may get lost.
const ATTEMPT: Duration = Duration::from_millis(2_500);
/// The largest number of attempts to resolve a name. A name server that answers none of these attempts is not only
/// slow, so further attempts would not help.
const ATTEMPTS: u32 = 4;
const DNS_PORT: u16 = 53;

/// Answers a DNS question.
pub(crate) async fn answer(question: &DnsQuestion, dialler: &Dialler) -> Result<DnsReply, Cause> {
    let name = question.name.as_str();
    dialler.trail.enter(format!("resolving {name}"));
    let servers = servers(&dialler.view);
    dialler.trail.note(|evidence| evidence.name_servers = servers);
    let began = Instant::now();
    let absolute = found(&dialler.view, name, dialler.share()).await;
    dialler.trail.note(|evidence| {
        evidence.dns_us = Some(micros(began.elapsed()));
        evidence.addresses = absolute.as_ref().map(|found| found.addresses.clone()).unwrap_or_default();
    });
    // The second look-up only shows what the search path gives. If the view has an application's own resolver, the
    // first look-up has already used the search path of this resolver. So no second look-up is needed.
    let searched = match dialler.view.own_resolver {
        None => searched(&dialler.view, name, dialler.share()).await,
        Some(_) => None,
    };
    match absolute {
        Ok(mut found) => {
            found.searched = searched.filter(|other| *other != shown(&found.addresses));
            Ok(found)
        }
        Err(Cause::Dns { fault, detail }) => {
            let other = searched.filter(|other| other != fault.as_str());
            let detail = other.map_or(detail.clone(), |other| format!("{detail}; its search path gives {other}"));
            Err(Cause::Dns { fault, detail })
        }
        Err(other) => Err(other),
    }
}

/// Resolves `name` in the way that the view requires: by DNS as an absolute name, or in the same way as an
/// application's own resolver.
pub(crate) async fn found(view: &View, name: &str, limit: Duration) -> Result<DnsReply, Cause> {
    let Some(own) = &view.own_resolver else { return absolute(view, name, limit).await };
    let by_file = own.hosts.get(&name.trim_end_matches('.').to_ascii_lowercase());
    if let Some(addresses) = by_file {
        return Ok(DnsReply { addresses: addresses.clone(), cnames: Vec::new(), ttl_s: 0, searched: None });
    }
    if !own.asks_dns {
        let detail = format!("{name}: /etc/hosts does not have it, and /etc/nsswitch.conf names no DNS");
        return Err(Cause::Dns { fault: DnsFault::NoSuchName, detail });
    }
    let limit = limit / 2;
    if !name.ends_with('.')
        && let Ok((resolver, _, true)) = resolver(view, limit)
    {
        let mut relative = parse(name)?;
        relative.set_fqdn(false);
        if let Ok(found) = lookup(&resolver, relative).await {
            return Ok(found);
        }
    }
    absolute(view, name, limit).await
}

/// Resolves `name` as an absolute name, as if it ended with a dot. No search path is applied.
pub(crate) async fn absolute(view: &View, name: &str, limit: Duration) -> Result<DnsReply, Cause> {
    let (resolver, servers, _) = resolver(view, limit).map_err(|why| Cause::Dns {
        fault: DnsFault::Timeout,
        detail: format!("{name}: no name server to ask: {why}"),
    })?;
    let mut full = parse(name)?;
    full.set_fqdn(true);
    lookup(&resolver, full).await.map_err(|fault| Cause::Dns { fault, detail: detail(name, fault, &servers) })
}

/// Looks up `name` with the vantage's search path. Returns the addresses or the error as text. Returns `None` if the
/// vantage has no search path or the name ends with a dot.
async fn searched(view: &View, name: &str, limit: Duration) -> Option<String> {
    let (resolver, _, has_search) = resolver(view, limit).ok()?;
    if !has_search || name.ends_with('.') {
        return None;
    }
    let mut relative = parse(name).ok()?;
    relative.set_fqdn(false);
    Some(match lookup(&resolver, relative).await {
        Ok(found) => shown(&found.addresses),
        Err(fault) => fault.as_str().to_owned(),
    })
}

fn parse(name: &str) -> Result<Name, Cause> {
    Name::from_ascii(name).map_err(|why| invalid(format!("`{name}` is not a host name: {why}")))
}

/// Returns the name servers that the probe uses for a question with this view. The result is empty if the vantage's
/// own name servers cannot be read.
fn servers(view: &View) -> Vec<SocketAddr> {
    if !view.name_servers.is_empty() {
        return view.name_servers.clone();
    }
    let of_vantage = read_system_conf().map(|(config, _)| config.name_servers().iter().map(address).collect());
    of_vantage.unwrap_or_default()
}

/// Returns a resolver without a cache, the name servers that it asks (as text), and whether it has a search path.
fn resolver(view: &View, limit: Duration) -> Result<(TokioResolver, String, bool), NetError> {
    let (config, mut options) = if view.name_servers.is_empty() {
        read_system_conf()?
    } else {
        let servers = view.name_servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        (ResolverConfig::from_parts(None, vec![], servers.collect()), ResolverOpts::default())
    };
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.num_concurrent_reqs = 1;
    let attempts = attempts(limit);
    // The resolver's option `attempts` is the number of repetitions after the first attempt.
    options.attempts = attempts as usize - 1;
    options.timeout = ATTEMPT.min(limit / attempts);
    let servers: Vec<_> = config.name_servers().iter().map(server).collect();
    let has_search = !config.search().is_empty() || config.domain().is_some();
    let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    Ok((builder.with_options(options).build()?, servers.join(", "), has_search))
}

/// The number of attempts to resolve a name within `limit`. It is at least two.
fn attempts(limit: Duration) -> u32 {
    let fit = limit.as_millis() / ATTEMPT.as_millis();
    u32::try_from(fit).unwrap_or(ATTEMPTS).clamp(2, ATTEMPTS)
}

/// The address of a name server.
fn address(config: &NameServerConfig) -> SocketAddr {
    SocketAddr::new(config.ip, config.connections.first().map_or(DNS_PORT, |connection| connection.port))
}

/// The text for a name server in messages: its address, and its port if that is not 53.
fn server(config: &NameServerConfig) -> String {
    match address(config) {
        it if it.port() == DNS_PORT => it.ip().to_string(),
        it => it.to_string(),
    }
}

async fn lookup(resolver: &TokioResolver, name: Name) -> Result<DnsReply, DnsFault> {
    let (four, six) = tokio::join!(one(resolver, name.clone(), RecordType::A), one(resolver, name, RecordType::AAAA));
    join(four, six)
}

/// Joins the results of the queries for A and AAAA. Addresses take precedence. Without addresses, a server failure
/// takes precedence over "no address", because the failed query could have found one.
fn join(four: Result<DnsReply, DnsFault>, six: Result<DnsReply, DnsFault>) -> Result<DnsReply, DnsFault> {
    match (four, six) {
        (Ok(mut four), Ok(six)) => {
            four.ttl_s = four.ttl_s.min(six.ttl_s);
            four.addresses.extend(six.addresses);
            four.cnames.extend(six.cnames);
            four.addresses.sort_unstable();
            four.addresses.dedup();
            four.cnames.dedup();
            Ok(four)
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        (Err(DnsFault::NoAddress), Err(DnsFault::NoSuchName)) => Err(DnsFault::NoAddress),
        (Err(DnsFault::NoAddress), Err(other)) => Err(other),
        (Err(fault), Err(_)) => Err(fault),
    }
}

async fn one(resolver: &TokioResolver, name: Name, kind: RecordType) -> Result<DnsReply, DnsFault> {
    let lookup = resolver.lookup(name, kind).await.map_err(|why| fault(&why))?;
    let mut found = DnsReply { addresses: Vec::new(), cnames: Vec::new(), ttl_s: u32::MAX, searched: None };
    for record in lookup.answers() {
        match &record.data {
            RData::A(address) => found.addresses.push(IpAddr::V4(address.0)),
            RData::AAAA(address) => found.addresses.push(IpAddr::V6(address.0)),
            RData::CNAME(alias) => found.cnames.push(alias.0.to_utf8().trim_end_matches('.').to_owned()),
            _ => continue,
        }
        found.ttl_s = found.ttl_s.min(record.ttl);
    }
    found.addresses.sort_unstable();
    if found.addresses.is_empty() { Err(DnsFault::NoAddress) } else { Ok(found) }
}

fn fault(error: &NetError) -> DnsFault {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => code(none.response_code).unwrap_or(DnsFault::NoAddress),
        NetError::Dns(DnsError::ResponseCode(said)) => code(*said).unwrap_or(DnsFault::ServerFailure),
        // After these errors, no server has said whether the name exists. So all of them count as a timeout, also a
        // refused datagram and a reset connection.
        NetError::Timeout | NetError::Io(_) | NetError::NoConnections | NetError::Busy => DnsFault::Timeout,
        _ => DnsFault::ServerFailure,
    }
}

fn code(said: ResponseCode) -> Option<DnsFault> {
    match said {
        ResponseCode::NoError => None,
        ResponseCode::NXDomain => Some(DnsFault::NoSuchName),
        ResponseCode::Refused => Some(DnsFault::Refused),
        _ => Some(DnsFault::ServerFailure),
    }
}

fn detail(name: &str, fault: DnsFault, servers: &str) -> String {
    let said = match fault {
        DnsFault::NoSuchName => "NXDOMAIN",
        DnsFault::NoAddress => "NOERROR without an address",
        DnsFault::ServerFailure => "SERVFAIL",
        DnsFault::Refused => "REFUSED",
        DnsFault::Timeout => "no answer",
    };
    format!("{}.: {said} from {servers}", name.trim_end_matches('.'))
}

fn shown(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_precedence_then_failures_then_absence() {
        use DnsFault::{NoAddress, NoSuchName, Refused, ServerFailure, Timeout};
        let found = |address: &str, ttl_s| {
            Ok(DnsReply { addresses: vec![address.parse().unwrap()], cnames: vec![], ttl_s, searched: None })
        };
        let both = join(found("10.0.0.1", 30), found("fd00::1", 5)).unwrap();
        assert_eq!((both.addresses.len(), both.ttl_s), (2, 5));
        assert!(join(found("10.0.0.1", 5), Err(Timeout)).is_ok());
        assert!(join(Err(ServerFailure), found("fd00::1", 5)).is_ok());
        let table = [
            (NoSuchName, NoSuchName, NoSuchName),
            (NoAddress, NoAddress, NoAddress),
            // Some servers answer NXDOMAIN to the AAAA query although the name has an A record or other records.
            (NoAddress, NoSuchName, NoAddress),
            (NoAddress, ServerFailure, ServerFailure),
            (NoAddress, Timeout, Timeout),
            (Refused, NoAddress, Refused),
        ];
        for (four, six, expected) in table {
            assert_eq!(join(Err(four), Err(six)), Err(expected), "{four} {six}");
        }
    }
}
