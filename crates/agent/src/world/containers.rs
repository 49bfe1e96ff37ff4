//! Looks up the addresses of the containers that the external network knows by name. The addresses come from the
//! container engine's own resolver. On a busy machine, this resolver may not answer for seconds; then the last known
//! addresses are used.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use parallax_vocab::{Cause, DnsFault};

/// The time limit for the engine's resolver if an earlier address of the container is known. It is short, because the
/// earlier address can be used instead.
const REFRESH_LIMIT: Duration = Duration::from_secs(2);

struct Known {
    asked: Instant,
    addresses: Vec<IpAddr>,
}

/// The last known addresses of containers, by the container's name.
#[derive(Default)]
pub(crate) struct Containers {
    known: Mutex<HashMap<String, Known>>,
}

impl Containers {
    /// Returns the addresses of the container `name`. If the last lookup is older than `fresh`, this call asks the
    /// engine's resolver. Concurrent callers get the last known addresses in the meantime. If the resolver does not
    /// answer within `limit`, the last known addresses are returned.
    pub(crate) async fn addresses(&self, name: &str, fresh: Duration, limit: Duration) -> Result<Vec<IpAddr>, Cause> {
        let limit = if self.is_known(name) { limit.min(REFRESH_LIMIT) } else { limit };
        self.through(name, fresh, || parallax_probe::resolve(name, limit)).await
    }

    async fn through<F>(&self, name: &str, fresh: Duration, resolve: impl FnOnce() -> F) -> Result<Vec<IpAddr>, Cause>
    where
        F: Future<Output = Result<Vec<IpAddr>, Cause>>,
    {
        if let Some(addresses) = self.fresh(name, fresh) {
            return Ok(addresses);
        }
        match resolve().await {
            Ok(addresses) => {
                let known = Known { asked: Instant::now(), addresses: addresses.clone() };
                self.lock().insert(name.to_owned(), known);
                Ok(addresses)
            }
            // After a timeout, the last known addresses may still be right. Every other error means that the name
            // does not exist or has no address, so the last known addresses are forgotten.
            Err(Cause::Dns { fault: DnsFault::Timeout, detail }) => {
                let last = self.lock().get(name).map(|known| known.addresses.clone());
                last.ok_or(Cause::Dns { fault: DnsFault::Timeout, detail })
            }
            Err(other) => {
                self.lock().remove(name);
                Err(other)
            }
        }
    }

    /// Returns the known addresses if the last lookup is not older than `fresh`. Otherwise returns `None`, and the
    /// caller must do a lookup. Before it returns `None` for an old lookup, this function sets the time of the last
    /// lookup to now. Other callers then use the old addresses until the new lookup ends.
    fn fresh(&self, name: &str, fresh: Duration) -> Option<Vec<IpAddr>> {
        let mut known = self.lock();
        let known = known.get_mut(name)?;
        if known.asked.elapsed() < fresh {
            return Some(known.addresses.clone());
        }
        known.asked = Instant::now();
        None
    }

    fn is_known(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed(fault: DnsFault) -> Result<Vec<IpAddr>, Cause> {
        Err(Cause::Dns { fault, detail: "d".to_owned() })
    }

    #[tokio::test]
    async fn without_an_answer_the_last_address_counts() {
        let containers = Containers::default();
        let first: Vec<IpAddr> = vec!["10.0.0.1".parse().expect("an address")];
        let ask = |answer: Result<Vec<IpAddr>, Cause>| containers.through("node", Duration::ZERO, || async { answer });
        assert!(ask(failed(DnsFault::Timeout)).await.is_err(), "nothing is known yet");
        assert_eq!(ask(Ok(first.clone())).await, Ok(first.clone()));
        assert_eq!(ask(failed(DnsFault::Timeout)).await, Ok(first.clone()));
        assert_eq!(ask(failed(DnsFault::NoSuchName)).await, failed(DnsFault::NoSuchName), "the container is gone");
        assert!(ask(failed(DnsFault::Timeout)).await.is_err(), "and is forgotten");
    }

    #[tokio::test]
    async fn one_question_at_a_time_asks_and_nobody_waits_for_it() {
        let containers = Containers::default();
        let first: Vec<IpAddr> = vec!["10.0.0.1".parse().expect("an address")];
        containers.through("node", SECOND, || async { Ok(first.clone()) }).await.expect("found");
        let unasked = || async { panic!("this is fresh") };
        assert_eq!(containers.through("node", SECOND, unasked).await, Ok(first.clone()));
        if let Some(known) = containers.lock().get_mut("node") {
            known.asked = Instant::now().checked_sub(SECOND * 2).expect("the machine runs for longer");
        }
        let (ask, asked) = tokio::sync::oneshot::channel();
        let slow = containers.through("node", SECOND, || async { asked.await.expect("an answer") });
        let meanwhile = async {
            assert_eq!(containers.through("node", SECOND, unasked).await, Ok(first.clone()));
            ask.send(failed(DnsFault::Timeout)).expect("somebody waits");
        };
        let (slow, ()) = tokio::join!(slow, meanwhile);
        assert_eq!(slow, Ok(first.clone()));
    }
}
