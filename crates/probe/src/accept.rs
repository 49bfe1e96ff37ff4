//! Accepts TCP connections, for the servers in the agent and in the harness.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The pause after a failed `accept`. The usual reason is that no file descriptor is free. A connection that ends frees
/// a descriptor, but no event reports this.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts the next connection. If this fails, passes the error to `failed` and tries again after a pause.
pub async fn accept(listener: &TcpListener, failed: impl Fn(&io::Error)) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => failed(&error),
        }
        // No event reports that `accept` can succeed again, so the loop pauses.
        tokio::time::sleep(PAUSE).await;
    }
}
