//! Checks whether CoreDNS answers: sends one DNS question to the Service of CoreDNS, as a pod does.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::net::UdpSocket;

/// The time limit of one question. The limit is short, so that the next try, which uses a new socket, comes soon. An
/// old socket does not help: all its packets keep the route of its first packet, even after the Service has got an
/// endpoint (docs/facts.md#services-and-addresses).
const QUESTION_LIMIT: Duration = Duration::from_millis(100);
const PORT: u16 = 53;
/// The header of the DNS question: id, flags (recursion desired), and the four counts (one question, no records).
const HEADER: [u8; 12] = [0x70, 0x78, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
/// The record type A and the class IN, as they stand in a DNS question.
const TYPE_A_CLASS_IN: [u8; 4] = [0, 1, 0, 1];

/// The mask for the response code in the second byte of the flags.
const RCODE: u8 = 0x0f;
const NO_ERROR: u8 = 0;

/// Whether the DNS server `server` currently returns an address for `name`.
pub(crate) async fn answers(server: Ipv4Addr, name: &str) -> bool {
    let asked = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(SocketAddrV4::new(server, PORT)).await?;
        socket.send(&question(name)).await?;
        let mut reply = [0_u8; 512];
        let length = socket.recv(&mut reply).await?;
        std::io::Result::Ok(is_answer(&reply[..length]))
    };
    matches!(tokio::time::timeout(QUESTION_LIMIT, asked).await, Ok(Ok(true)))
}

fn question(name: &str) -> Vec<u8> {
    let mut packet = HEADER.to_vec();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // A label in a DNS packet has at most 63 bytes. A longer label is cut, so the server does not find the name.
        let bytes = &label.as_bytes()[..label.len().min(63)];
        packet.push(u8::try_from(bytes.len()).unwrap_or(63));
        packet.extend_from_slice(bytes);
    }
    packet.push(0);
    packet.extend_from_slice(&TYPE_A_CLASS_IN);
    packet
}

/// Whether `reply` is a successful answer to the question: it has the question's id, no error, and at least one record.
fn is_answer(reply: &[u8]) -> bool {
    reply.len() > HEADER.len()
        && reply[..2] == HEADER[..2]
        && reply[2] & 0x80 != 0
        && reply[3] & RCODE == NO_ERROR
        && reply[6..8] != [0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_spelt_by_labels() {
        let packet = question("kubernetes.default.");
        assert_eq!(&packet[12..], b"\x0akubernetes\x07default\x00\x00\x01\x00\x01");
    }

    #[test]
    fn only_a_record_without_error_is_an_answer() {
        let reply = |flags: [u8; 2], records: u8| [0x70, 0x78, flags[0], flags[1], 0, 1, 0, records, 0, 0, 0, 0, 0];
        assert!(is_answer(&reply([0x85, 0x00], 1)));
        for (why, packet) in [
            ("the question itself", reply([0x01, 0x00], 0)),
            ("no such name", reply([0x85, 0x03], 0)),
            ("server failure", reply([0x81, 0x02], 0)),
            ("no record", reply([0x85, 0x00], 0)),
        ] {
            assert!(!is_answer(&packet), "{why}");
        }
        assert!(!is_answer(&[]));
    }
}
