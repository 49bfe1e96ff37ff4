//! A name server for tests: the first label of a name decides what the server answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use super::NOWHERE;

/// A running name server. Dropping this value stops it.
pub(crate) struct NameServer {
    _server: Server<Behaviour>,
    pub(crate) at: SocketAddr,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(at).await.unwrap();
        let mut server = Server::new(Behaviour);
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 8);
        Self { _server: server, at }
    }
}

struct Behaviour;

#[async_trait::async_trait]
impl RequestHandler for Behaviour {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let owner = Name::from(info.query.name());
        let first = owner.iter().next().map(|label| String::from_utf8_lossy(label).into_owned()).unwrap_or_default();
        let four = info.query.query_type() == RecordType::A;
        let address = |text: &str| match text.parse().unwrap() {
            IpAddr::V4(four) => RData::A(A(four)),
            IpAddr::V6(_) => unreachable!("tests name IPv4 addresses"),
        };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let mut answers = Vec::new();
        match first.as_str() {
            "gone" => metadata.response_code = ResponseCode::NXDomain,
            "broken" => metadata.response_code = ResponseCode::ServFail,
            "closed" => metadata.response_code = ResponseCode::Refused,
            "silent" => std::future::pending().await,
            "empty" => {}
            "loopback" if four => answers.push(Record::from_rdata(owner, 7, address("127.0.0.1"))),
            "alias" if four => {
                let target = Name::from_ascii("target.example.com.").unwrap();
                answers.push(Record::from_rdata(owner, 30, RData::CNAME(CNAME(target.clone()))));
                answers.push(Record::from_rdata(target, 9, address(NOWHERE)));
            }
            // The answer has so many addresses that it does not fit into one UDP datagram. Only a client that asks
            // again over TCP gets all of them.
            "many" if four => {
                let all = (0..=255).map(|n| Record::from_rdata(owner.clone(), 5, address(&format!("10.0.0.{n}"))));
                answers.extend(all);
            }
            _ if four => answers.push(Record::from_rdata(owner, 5, address(NOWHERE))),
            _ => {}
        }
        let response = MessageResponseBuilder::from_message_request(request).build(metadata, &answers, [], [], []);
        handle.send_response(response).await.unwrap()
    }
}
