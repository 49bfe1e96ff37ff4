//! Waits for an object of the apiserver, even if the watch fails in between.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::wait::Condition;
use kube::runtime::watcher::watch_object;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// The pause before a failed watch is started again the first time. The pause doubles with each failure, up to
/// [`LONGEST`]. kube's own pauses grow to half a minute, which is too long for the start of a node.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Waits until `condition` holds. The condition is about an object, or about its absence. Returns the object; `None` if
/// the condition is that the object does not exist. kube's `await_condition` ends at the first error. Here, a failed
/// watch is started again after a pause. The caller sets the time limit.
pub(crate) async fn until<K>(api: Api<K>, name: &str, condition: impl Condition<K>) -> Option<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let mut seen = pin!(watch_object(api, name).backoff(Pauses(SHORTEST)));
    while let Some(event) = seen.next().await {
        if let Ok(object) = event
            && condition.matches_object(object.as_ref())
        {
            return object;
        }
    }
    // If the stream of the watch ends, the condition was not met, so this function must not return. It waits until the
    // caller's time limit ends the wait.
    std::future::pending().await
}

/// Pauses between attempts. Each pause is twice as long as the pause before, up to [`LONGEST`].
struct Pauses(Duration);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = LONGEST.min(pause * 2);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::{Client, Config};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_failed_watch_is_started_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                let (status, body) = match number {
                    0 => continue,
                    1 => ("500 Internal Server Error", "{}"),
                    _ => (
                        "200 OK",
                        r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"default"}}]}"#,
                    ),
                };
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
            }
        });
        let mut config = Config::new(format!("http://{address}").parse().expect("a URL"));
        config.default_retry = false;
        let namespaces: Api<Namespace> = Api::all(Client::try_from(config).expect("a client"));
        let there = until(namespaces, "default", |it: Option<&Namespace>| it.is_some());
        let there = tokio::time::timeout(Duration::from_secs(30), there).await.expect("in time");
        assert_eq!(there.and_then(|it| it.metadata.name).as_deref(), Some("default"));
        server.abort();
    }
}
