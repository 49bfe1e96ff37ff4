//! A socket that forwards connections to the engine's socket, as `ssh -L` or socat does. Two kinds of processes use it:
//! a process that may not open the engine's own socket, and a program that runs as if it were on another machine.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Forwards each connection at the path `at` to the engine until this process ends. Any user may connect. Returns the
/// address in the format of `DOCKER_HOST`.
pub(crate) fn forward(at: &Path, engine: PathBuf) -> Result<String> {
    let listener = UnixListener::bind(at).with_context(|| format!("failed to listen at {}", at.display()))?;
    std::fs::set_permissions(at, Permissions::from_mode(0o666))?;
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // If the engine cannot be reached, the connection is dropped, and the client sees that the connection
            // closes.
            if let Ok(server) = UnixStream::connect(&engine) {
                join(client, server);
            }
        }
    });
    Ok(format!("unix://{}", at.display()))
}

/// Copies bytes in both directions. When one side ends its output, the other side sees the end.
fn join(client: UnixStream, server: UnixStream) {
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || carry(from_client, server));
    std::thread::spawn(move || carry(from_server, client));
}

fn carry(mut from: UnixStream, mut to: UnixStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The connection may already be closed, so an error is ignored.
    drop(to.shutdown(Shutdown::Write));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_heard_to_their_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = folder.path().join("engine");
        let listener = UnixListener::bind(&engine).expect("a socket");
        forward(&folder.path().join("forwarded"), engine).expect("a socket");
        let mut client = UnixStream::connect(folder.path().join("forwarded")).expect("it listens");
        client.write_all(b"question").expect("it takes it");
        client.shutdown(Shutdown::Write).expect("it is open");
        let (mut server, _) = listener.accept().expect("it is led on");
        let mut heard = String::new();
        server.read_to_string(&mut heard).expect("text");
        server.write_all(b"answer").expect("it takes it");
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("text");
        assert_eq!((heard.as_str(), answer.as_str()), ("question", "answer"));
    }
}
