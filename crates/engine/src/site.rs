//! The objects of one run in the engine. Each object gets a name and labels, and is in the ledger before it is created.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parallax_record::Noted as _;
use parallax_vocab::RunId;
use testcontainers::bollard::{self, models::NetworkCreateRequest};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::Engine;
use super::error::EngineError;
use super::identity::{
    LABEL_CREATED, LABEL_OWNER, LABEL_RUN, LABEL_STANDING, LABEL_WHAT, Owner, object_name, unix_seconds,
};
use super::ledger::{Kept, Kind, Ledger, StateDir};
use super::sweep::{Swept, Unfinished};

/// The time for which [`Site::close`] waits for creations of objects that are still in progress.
const CREATIONS_END_WITHIN: Duration = Duration::from_mins(1);

/// Parts of the messages with which Docker reports that each of its address ranges belongs to a network. The first is
/// from release 26.1, and the second is from release 27 and later.
const NO_ADDRESSES: [&str; 2] =
    ["non-overlapping IPv4 address pool", "all predefined address pools have been fully subnetted"];

/// All objects of one run in the engine. The value can be cloned cheaply, and dropping it removes nothing.
#[derive(Clone, Debug)]
pub struct Site(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) run: RunId,
    pub(super) owner: Owner,
    pub(super) ledger: Ledger,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
    standing: bool,
}

/// A network that belongs to the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The name of the network in the engine.
    pub name: String,
    /// The address range of the network, for example `172.18.0.0/16`.
    pub subnet: String,
    /// The address of the engine's machine on this network. `None` if the engine reports no address.
    pub gateway: Option<IpAddr>,
}

impl Site {
    /// Begins a run in the engine and creates the run's ledger. With `kept`, the objects stay after this process has
    /// ended, and gc spares them.
    pub fn open(engine: Engine, state: StateDir, run: RunId, kept: Option<&Kept>) -> Result<Self, EngineError> {
        let owner = Owner::this_process()?;
        let ledger = Ledger::open(state, &run, owner.clone(), &engine.endpoint().host)?;
        if let Some(kept) = kept {
            ledger.keep_standing(kept)?;
        }
        let standing = kept.is_some();
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self(Arc::new(Inner { engine, run, owner, ledger, tasks, closing, standing })))
    }

    /// Returns the engine of the run.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Returns the id of the run.
    pub fn run(&self) -> &RunId {
        &self.0.run
    }

    /// The state folder, in which the ledger of the run is.
    pub fn state(&self) -> &StateDir {
        self.0.ledger.state()
    }

    /// Returns the name that the run's object with the role `what` has in the engine. A role is, for example, `world`.
    pub fn name_of(&self, what: &str) -> String {
        object_name(&self.0.run, what)
    }

    /// Appends an object to the ledger and syncs the file to disk. Call this function before the engine creates the
    /// object. The sync blocks, so it runs on a thread for blocking work.
    pub(super) async fn record(&self, kind: Kind, name: &str) -> Result<(), EngineError> {
        let (site, name) = (self.clone(), name.to_owned());
        let written = tokio::task::spawn_blocking(move || site.0.ledger.record(kind, &name));
        joined(written.await, "write the run's ledger")
    }

    /// Creates a network with the role `what`. Containers of different networks cannot reach each other.
    pub async fn network(&self, what: &str) -> Result<Network, EngineError> {
        let name = self.name_of(what);
        self.refuse_when_closing(&format!("network {name}"))?;
        let (site, what) = (self.clone(), what.to_owned());
        // The creation runs in its own task. If the caller stops waiting, the creation still runs to its end, and
        // [`Site::close`] waits for that end before it removes objects.
        let creation = self.0.tasks.spawn(async move {
            site.record(Kind::Network, &name).await?;
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some("bridge".to_owned()),
                labels: Some(site.labels(&what)),
                ..Default::default()
            };
            let docker = &site.0.engine.docker;
            if let Err(source) = docker.create_network(request).await {
                return Err(site.0.engine.no_network(name, source).await);
            }
            let made = docker
                .inspect_network(&name, None)
                .await
                .map_err(EngineError::call(format!("inspect network {name}")))?;
            let config = made.ipam.and_then(|ipam| ipam.config).and_then(|configs| configs.into_iter().next());
            let config = config.unwrap_or_default();
            Ok(Network {
                name,
                subnet: config.subnet.unwrap_or_default(),
                gateway: config.gateway.and_then(|gateway| gateway.parse().ok()),
            })
        });
        joined(creation.await, "create a network")
    }

    /// Removes the network of a cluster that has ended: the network with the role `what`. Also removes each container
    /// whose role begins with `what` and a hyphen, and the anonymous volumes of these containers. An engine has address
    /// ranges for only about 30 networks, so a run with more clusters must use the ranges again.
    pub async fn remove_network(&self, what: &str) -> Result<Swept, EngineError> {
        self.0.engine.sweep_part(&self.0.run, &self.name_of(what)).await
    }

    /// Removes every object of the run, and then the ledger. New creations are refused, and the function first waits
    /// for creations in progress. The result lists each object that could not be removed, with the command that removes
    /// it. The ledger is kept if an object remains or may remain.
    pub async fn close(&self) -> Swept {
        self.0.closing.cancel();
        self.0.tasks.close();
        let ended = tokio::time::timeout(CREATIONS_END_WITHIN, self.0.tasks.wait()).await.is_ok();
        let unfinished = if ended { Unfinished::None } else { Unfinished::Maybe };
        let swept = self.0.engine.sweep(&self.0.run, &self.0.ledger.entries(), unfinished).await;
        if swept.is_clean() {
            // If the removal of the ledger fails, the next garbage collection examines this run once more, which is
            // harmless.
            self.0.ledger.state().forget(&self.0.run).noted("remove the ledger of a run");
        }
        swept
    }

    pub(super) fn refuse_when_closing(&self, what: &str) -> Result<(), EngineError> {
        if self.0.closing.is_cancelled() { Err(EngineError::Closing { what: what.to_owned() }) } else { Ok(()) }
    }

    /// The labels of an object of the run. `what` is the object's role.
    pub(super) fn labels(&self, what: &str) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            (LABEL_RUN.to_owned(), self.0.run.to_string()),
            (LABEL_WHAT.to_owned(), what.to_owned()),
            (LABEL_OWNER.to_owned(), self.0.owner.to_string()),
            (LABEL_CREATED.to_owned(), unix_seconds().to_string()),
        ]);
        if self.0.standing {
            labels.insert(LABEL_STANDING.to_owned(), "true".to_owned());
        }
        labels
    }
}

impl Engine {
    /// Returns the error for a network that the engine did not create.
    async fn no_network(&self, name: String, source: bollard::errors::Error) -> EngineError {
        if !has_no_addresses(&source.to_string()) {
            return EngineError::Call { doing: format!("create network {name}"), source };
        }
        let networks = self.docker.list_networks(None).await.noted("count the networks").map(|networks| networks.len());
        EngineError::NoAddresses { name, networks }
    }
}

/// Whether the engine refused a network because it has no address range left. `message` is the message of the engine.
fn has_no_addresses(message: &str) -> bool {
    NO_ADDRESSES.iter().any(|words| message.contains(words))
}

/// The result of a finished task. A panic of the task becomes an error.
pub(super) fn joined<T>(
    result: Result<Result<T, EngineError>, tokio::task::JoinError>,
    doing: &str,
) -> Result<T, EngineError> {
    result.unwrap_or_else(|error| Err(EngineError::Process { doing: doing.to_owned(), reason: error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_addresses_is_recognised_by_the_words_of_each_release() {
        for (message, expected) in [
            (
                "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
                true,
            ),
            ("all predefined address pools have been fully subnetted", true),
            ("network with name parallax-r1-c1 already exists", false),
        ] {
            assert_eq!(has_no_addresses(message), expected, "{message}");
        }
    }
}
