//! Reads the `Host` header from the first bytes of a plain HTTP connection, without I/O.

/// What the first bytes of an HTTP connection contain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The end of the request's head has not arrived yet.
    Incomplete,
    /// The head is complete. The value is its `Host` in lower case and without a port; `None` if there is no `Host`.
    Asks(Option<String>),
}

/// Whether the bytes begin like an HTTP request, which means with a method in capital letters. A TLS connection
/// begins with the byte 22, which is not a letter.
pub(crate) fn is_http(bytes: &[u8]) -> bool {
    const LONGEST_METHOD: usize = 8;
    let method = bytes.iter().take(LONGEST_METHOD).take_while(|it| it.is_ascii_uppercase()).count();
    method > 0 && bytes.get(method).is_none_or(|it| *it == b' ')
}

/// Parses `bytes`, the first bytes of an HTTP connection.
pub(crate) fn read(bytes: &[u8]) -> Head {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return Head::Incomplete };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let host = fields.filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.trim()).next();
    Head::Asks(host.map(|it| it.split(':').next().unwrap_or_default().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_once_the_head_is_complete() {
        let bytes = b"PUT /a HTTP/1.1\r\nx: y\r\nhOST: MinIO.example.com:80\r\n\r\nbody";
        let end = bytes.len() - "body".len();
        for cut in 1..end {
            assert!(is_http(&bytes[..cut]), "{cut} bytes");
            assert_eq!(read(&bytes[..cut]), Head::Incomplete, "{cut} bytes");
        }
        assert_eq!(read(bytes), Head::Asks(Some("minio.example.com".to_owned())));
        assert_eq!(read(b"GET / HTTP/1.0\r\nx: y\r\n\r\n"), Head::Asks(None));
    }

    #[test]
    fn other_protocols_are_not_http() {
        for bytes in [&b""[..], &[22, 3, 1], b"SSH-2.0-x\r\n", b"get / HTTP/1.1\r\n"] {
            assert!(!is_http(bytes), "{bytes:?}");
        }
    }
}
