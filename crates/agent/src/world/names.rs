//! The name server: turns the zone's decisions into DNS answers, and logs each question.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use parallax_vocab::world::Entry;

use super::containers::Containers;
use super::log::Log;
use super::zone::{Asked, Verdict, Zone, plain};

/// The TTL of DNS answers, in seconds. It is short, so that a client notices a change soon. A caching resolver may
/// apply a longer minimum of its own.
const TTL_S: u32 = 5;
/// The size of the largest UDP datagram that the server offers to clients (EDNS), in bytes.
const PAYLOAD_BYTES: u16 = 1232;

/// The time limit for looking up the address of the cluster's container. The address shows whether a question comes
/// from the cluster. If no address is known after this time, the question counts as one from outside the cluster.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// The time for which the looked-up addresses of the cluster's container are used. A prober may ask a hundred questions
/// per second. If each question caused a lookup, clients would time out as soon as the engine's resolver is slow.
const REMEMBERED: Duration = Duration::from_secs(1);

/// A handler that answers DNS questions from the zone.
pub(crate) struct Names {
    pub(crate) zone: Zone,
    /// The name of the container in which the cluster runs; `None` if there is no such container.
    pub(crate) cluster: Option<String>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) log: Log,
}

impl Names {
    /// Decides what to answer about `name` to a client with the address `source`.
    async fn verdict(&self, name: &str, kind: RecordType, source: IpAddr) -> Verdict {
        if self.zone.is_hidden(name) && self.is_cluster(source).await {
            return Verdict::NoSuchName;
        }
        self.zone.look_up(name, asked(kind))
    }

    /// Whether a question comes from the cluster. The address of the cluster's container is looked up again and again.
    /// This container starts after the container of this name server, and may be restarted with another address.
    async fn is_cluster(&self, source: IpAddr) -> bool {
        let Some(cluster) = &self.cluster else { return false };
        let found = self.containers.addresses(cluster, REMEMBERED, LOOKUP_LIMIT).await;
        found.is_ok_and(|addresses| addresses.contains(&source))
    }
}

#[async_trait::async_trait]
impl RequestHandler for Names {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let mut answers = Vec::new();
        let mut authority = Vec::new();
        match request.request_info() {
            Ok(info) if request.metadata.op_code == OpCode::Query => {
                let name = plain(&info.query.name().to_string());
                let kind = info.query.query_type();
                let verdict = self.verdict(&name, kind, info.src.ip()).await;
                let said = shown(&verdict);
                // The server answers only from its own zone and does no recursion. It still sets the flag "recursion
                // available": a question that requests recursion gets the same answer as any other question.
                metadata.authoritative = true;
                metadata.recursion_available = true;
                match verdict {
                    Verdict::Addresses(addresses) => {
                        let owner = Name::from(info.query.name());
                        answers.extend(addresses.iter().map(|address| record(&owner, *address)));
                    }
                    Verdict::NoData => authority.push(soa()),
                    Verdict::NoSuchName => {
                        metadata.response_code = ResponseCode::NXDomain;
                        authority.push(soa());
                    }
                }
                let from = info.src;
                self.log.write(&Entry::Dns {
                    at: parallax_probe::unix_ms(),
                    from,
                    name,
                    kind_asked: kind.to_string(),
                    answer: said,
                });
            }
            Ok(_) => metadata.response_code = ResponseCode::NotImp,
            Err(_) => metadata.response_code = ResponseCode::FormErr,
        }
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_BYTES);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let response = builder.build(metadata, &answers, [], &authority, []);
        // Sending fails only if the client is gone, so the error is ignored.
        let sent = handle.send_response(response).await;
        sent.unwrap_or_else(|_| Header { metadata, counts: HeaderCounts::default() }.into())
    }
}

fn asked(kind: RecordType) -> Asked {
    match kind {
        RecordType::A => Asked::Four,
        RecordType::AAAA => Asked::Six,
        _ => Asked::Other,
    }
}

fn record(owner: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(four) => RData::A(A(four)),
        IpAddr::V6(six) => RData::AAAA(AAAA(six)),
    };
    Record::from_rdata(owner.clone(), TTL_S, data)
}

/// Returns the SOA record of the root domain. A negative answer needs this record, because it tells resolvers how
/// long to cache the answer.
fn soa() -> Record {
    let minimum = TTL_S;
    let soa = SOA::new(Name::root(), Name::root(), 1, 60, 60, 60, minimum);
    Record::from_rdata(Name::root(), TTL_S, RData::SOA(soa))
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Addresses(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Verdict::NoData => "no-address".to_owned(),
        Verdict::NoSuchName => "no-such-name".to_owned(),
    }
}
