//! Accepts connections, for the servers of the agent and of the harness.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The pause after a connection that could not be accepted. The usual reason is that no file descriptor is free. The
/// connections that are served will free some, but the kernel does not say when.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts the next connection. If that fails, it reports the error to `failed` and tries again after a pause.
pub async fn accept(listener: &TcpListener, failed: impl Fn(&io::Error)) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => failed(&error),
        }
        // Nothing can be awaited here; see the constant.
        tokio::time::sleep(PAUSE).await;
    }
}
