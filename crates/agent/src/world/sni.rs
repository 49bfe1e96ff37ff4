//! Reads the server name (SNI) from the first bytes of a TLS connection, without I/O.

use rustls::server::Acceptor;

/// The largest accepted size of a `ClientHello`, in bytes. Real clients send smaller ones.
pub(crate) const HELLO_LIMIT_BYTES: usize = 32 * 1024;

/// What the first bytes of a TLS connection contain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// The end of the `ClientHello` has not arrived yet.
    Incomplete,
    /// The `ClientHello` is complete. The value is its server name in lower case; `None` if it has none.
    Asks(Option<String>),
    /// The bytes are not TLS, or rustls cannot parse the `ClientHello`. The text is the reason.
    NotTls(String),
}

/// Parses `bytes`, the first bytes of a TLS connection.
pub(crate) fn read(mut bytes: &[u8]) -> Hello {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        match acceptor.read_tls(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(why) => return Hello::NotTls(why.to_string()),
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(hello)) => {
                return Hello::Asks(hello.client_hello().server_name().map(str::to_ascii_lowercase));
            }
            Err((why, _)) => return Hello::NotTls(why.to_string()),
        }
    }
    Hello::Incomplete
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello(name: &'static str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn the_name_is_found_however_the_hello_is_cut() {
        let bytes = hello("MinIO.example.com");
        assert!(bytes.len() < HELLO_LIMIT_BYTES);
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Hello::Incomplete, "{cut} bytes");
        }
        assert_eq!(read(&bytes), Hello::Asks(Some("minio.example.com".to_owned())));
        assert_eq!(read(&hello("10.0.0.1")), Hello::Asks(None));
    }

    #[test]
    fn data_that_is_not_tls_is_detected_at_once() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0; 64]] {
            assert!(matches!(read(bytes), Hello::NotTls(_)), "{bytes:?}");
        }
    }
}
