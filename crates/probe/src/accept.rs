//! Accepts connections, for the servers of the agent and of the harness.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The pause after a connection that could not be accepted. The usual reason is that no file descriptor is free.
/// Existing connections will free some, but no event reports this.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts the next connection. If this fails, reports the error to `failed` and tries again after a pause.
pub async fn accept(listener: &TcpListener, failed: impl Fn(&io::Error)) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => failed(&error),
        }
        // No event can be awaited here; see the comment at the constant.
        tokio::time::sleep(PAUSE).await;
    }
}
