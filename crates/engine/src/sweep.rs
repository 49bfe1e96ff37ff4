//! Removes every object of a run. A search finds objects by their labels *and* by the ledger. Searches are repeated
//! until two in succession find nothing, or until none of the found objects can be removed.
//!
//! The engine may complete the creation of an object after the process that requested it was killed. Therefore the
//! second search waits until the engine has created nothing for one second. An object that no longer exists, or that
//! another process is removing, counts as removed.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::StreamExt as _;
use parallax_vocab::RunId;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::query_parameters::{
    EventsOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, WaitContainerOptionsBuilder,
};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::connect::Engine;
use super::error::{EngineError, message, status};
use super::identity::LABEL_RUN;
use super::ledger::{Entry, Kind};

/// The time limit of a whole sweep.
const SWEEP_WITHIN: Duration = Duration::from_mins(2);
/// If the engine creates no object of the run for this time, all creations count as finished.
const QUIET: Duration = Duration::from_secs(1);
/// The largest number of searches in one sweep. The limit ends the sweep if another process creates new objects of the
/// run again and again.
const LOOKS: usize = 12;
/// The time for which a sweep waits if another process is already removing a container.
const OTHERS_REMOVE_WITHIN: Duration = Duration::from_secs(30);

/// Whether the engine may still be creating objects of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The engine has finished all creations of objects.
    None,
    /// Some creations may be unfinished, because the process that requested them was killed or did not wait for them.
    Maybe,
}

/// The result of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The objects that were removed.
    pub removed: BTreeSet<Entry>,
    /// The objects that still exist. If a search failed or the time limit is over, these are the objects of the ledger
    /// that were not removed: they may still exist.
    pub remaining: Vec<Remaining>,
    /// The reason why more objects of the run may exist, for example that a search failed. `None` if the last search
    /// found no object of the run other than those in `remaining`.
    pub unsure: Option<String>,
}

impl Swept {
    /// Whether no object of the run exists any more. Only then may the run's ledger be removed.
    pub fn is_clean(&self) -> bool {
        self.remaining.is_empty() && self.unsure.is_none()
    }

    /// The commands with which the user removes the objects that remain or may remain.
    pub fn commands(&self) -> Vec<String> {
        let search_again = self.unsure.iter().map(|why| format!("parallax gc  # {why}"));
        self.remaining.iter().map(Remaining::command).chain(search_again).collect()
    }
}

/// An object that the sweep could not remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The kind and the name of the object.
    pub entry: Entry,
    /// The reason why the object could not be removed.
    pub why: String,
}

impl Remaining {
    /// The command with which the user removes the object.
    pub fn command(&self) -> String {
        let name = &self.entry.name;
        match self.entry.kind {
            Kind::Container => format!("docker rm -fv {name}"),
            Kind::Network => format!("docker network rm {name}"),
            Kind::Volume => format!("docker volume rm -f {name}"),
        }
    }
}

impl std::fmt::Display for Remaining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}; `{}` removes it", self.entry.kind, self.entry.name, self.why, self.command())
    }
}

/// An object of the engine that has labels.
#[derive(Clone, Debug)]
pub(super) struct Labelled {
    pub(super) entry: Entry,
    /// All labels of the object.
    pub(super) labels: HashMap<String, String>,
    /// The time at which the engine created the object, in seconds since 1970 by the engine's clock. `None` if the
    /// engine does not report it.
    pub(super) made: Option<u64>,
}

impl Swept {
    fn failed(entries: impl IntoIterator<Item = Entry>, why: &str) -> Vec<Remaining> {
        entries.into_iter().map(|entry| Remaining { entry, why: why.to_owned() }).collect()
    }
}

impl Engine {
    /// Removes all objects of a run: those that have the run's label, and those that `ledger` names.
    pub async fn sweep(&self, run: &RunId, ledger: &[Entry], unfinished: Unfinished) -> Swept {
        let deadline = Instant::now() + SWEEP_WITHIN;
        let mut swept = Swept::default();
        let looked = tokio::time::timeout_at(deadline, self.look_and_remove(run, ledger, unfinished, &mut swept)).await;
        if looked.is_err() {
            let why = format!("not removed within {} s", SWEEP_WITHIN.as_secs());
            let left = ledger.iter().filter(|entry| !swept.removed.contains(entry)).cloned();
            swept.remaining = Swept::failed(left, &why);
            swept.unsure = Some(format!("the search for what is left did not end within {} s", SWEEP_WITHIN.as_secs()));
        }
        swept
    }

    /// Removes the objects of a run that have the name `part`, or a name that begins with `part` and a hyphen.
    pub(super) async fn sweep_part(&self, run: &RunId, part: &str) -> Result<Swept, EngineError> {
        let prefix = format!("{part}-");
        let found = self.labelled(&format!("{LABEL_RUN}={run}")).await?.into_iter().map(|found| found.entry);
        let found = found.filter(|it| it.name == part || it.name.starts_with(&prefix)).collect();
        let mut swept = Swept::default();
        self.remove_all(found, &mut swept).await;
        Ok(swept)
    }

    async fn look_and_remove(&self, run: &RunId, ledger: &[Entry], unfinished: Unfinished, swept: &mut Swept) {
        let mut empty_looks = 0;
        for _ in 0..LOOKS {
            let quiet = self.quiet(run);
            let found = match self.existing(run, ledger).await {
                Ok(found) => found,
                Err(error) => {
                    let left = ledger.iter().filter(|entry| !swept.removed.contains(entry)).cloned();
                    swept.remaining = Swept::failed(left, &error.to_string());
                    // The search failed. An object that is missing in the ledger can be found only by a search for its
                    // label, so more objects may exist.
                    swept.unsure = Some(format!("the search for what is left failed: {error}"));
                    return;
                }
            };
            swept.remaining = Vec::new();
            if found.is_empty() {
                empty_looks += 1;
                if empty_looks == 2 {
                    return;
                }
                if unfinished == Unfinished::Maybe {
                    quiet.await;
                }
                continue;
            }
            empty_looks = 0;
            let before = swept.removed.len();
            self.remove_all(found, swept).await;
            if swept.removed.len() == before {
                return;
            }
        }
        swept.unsure = Some(format!("{LOOKS} searches in a row found objects of the run"));
    }

    /// Removes all containers in parallel, then the networks, then the volumes. An object that is still in use cannot
    /// be removed, so the order matters.
    async fn remove_all(&self, found: BTreeSet<Entry>, swept: &mut Swept) {
        for kind in [Kind::Container, Kind::Network, Kind::Volume] {
            let of_kind = found.iter().filter(|entry| entry.kind == kind).cloned();
            let removals = of_kind.map(|entry| async {
                let result = self.remove(kind, &entry.name).await;
                (entry, result)
            });
            for (entry, result) in futures::future::join_all(removals).await {
                match result {
                    Ok(()) => {
                        swept.removed.insert(entry);
                    }
                    Err(why) => swept.remaining.push(Remaining { entry, why }),
                }
            }
        }
    }

    /// The objects of a run that exist: those that have the run's label, and those whose names are in the ledger.
    async fn existing(&self, run: &RunId, ledger: &[Entry]) -> Result<BTreeSet<Entry>, EngineError> {
        let mut found: BTreeSet<Entry> =
            self.labelled(&format!("{LABEL_RUN}={run}")).await?.into_iter().map(|found| found.entry).collect();
        for entry in ledger {
            if !found.contains(entry) && self.exists(entry).await? {
                found.insert(entry.clone());
            }
        }
        Ok(found)
    }

    /// Returns all objects that have the label `label`, which is `key` or `key=value`.
    pub(super) async fn labelled(&self, label: &str) -> Result<Vec<Labelled>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let containers = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let (containers, networks, volumes) = tokio::try_join!(
            self.docker.list_containers(Some(containers)),
            self.docker.list_networks(Some(networks)),
            self.docker.list_volumes(Some(volumes)),
        )
        .map_err(EngineError::call(format!("list what carries the label {label}")))?;
        let labelled = |kind, name, labels: Option<HashMap<String, String>>, made: Option<i64>| Labelled {
            entry: Entry { kind, name },
            labels: labels.unwrap_or_default(),
            made: made.and_then(|seconds| seconds.try_into().ok()),
        };
        let containers = containers.into_iter().filter_map(|container| {
            let name = container.names.and_then(|names| names.into_iter().next())?;
            let name = name.trim_start_matches('/').to_owned();
            Some(labelled(Kind::Container, name, container.labels, container.created))
        });
        let networks = networks.into_iter().filter_map(|network| {
            let made = network.created.map(OffsetDateTime::unix_timestamp);
            Some(labelled(Kind::Network, network.name?, network.labels, made))
        });
        let volumes = volumes.volumes.into_iter().flatten().map(|volume| {
            let made = volume.created_at.map(OffsetDateTime::unix_timestamp);
            labelled(Kind::Volume, volume.name, Some(volume.labels), made)
        });
        Ok(containers.chain(networks).chain(volumes).collect())
    }

    async fn exists(&self, entry: &Entry) -> Result<bool, EngineError> {
        let name = &entry.name;
        let result = match entry.kind {
            Kind::Container => self.docker.inspect_container(name, None).await.map(drop),
            Kind::Network => self.docker.inspect_network(name, None).await.map(drop),
            Kind::Volume => self.docker.inspect_volume(name).await.map(drop),
        };
        match result {
            Ok(()) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(source) => Err(EngineError::Call { doing: format!("look for {} {name}", entry.kind), source }),
        }
    }

    /// Removes one object, in whatever state the object is. The error is the reason why the object still exists.
    pub(super) async fn remove(&self, kind: Kind, name: &str) -> Result<(), String> {
        let result = match kind {
            Kind::Container => {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                self.patient().remove_container(name, Some(options)).await
            }
            Kind::Network => self.patient().remove_network(name).await,
            Kind::Volume => {
                let options = RemoveVolumeOptionsBuilder::default().force(true).build();
                self.patient().remove_volume(name, Some(options)).await
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) if kind == Kind::Container && status(&error) == Some(409) => self.removed_by_others(name).await,
            Err(error) => Err(message(&error)),
        }
    }

    /// Waits until another process has removed the container. Call this function if the engine refuses a removal with
    /// status 409, because another process is already removing the container.
    async fn removed_by_others(&self, name: &str) -> Result<(), String> {
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut answers = Box::pin(self.patient().wait_container(name, Some(options)));
        let answer = tokio::time::timeout(OTHERS_REMOVE_WITHIN, answers.next()).await;
        match answer {
            Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) | None) => Ok(()),
            Ok(Some(Err(error))) if status(&error) == Some(404) => Ok(()),
            Ok(Some(Err(error))) => Err(message(&error)),
            Err(_) => {
                Err(format!("its removal by somebody else did not end within {} s", OTHERS_REMOVE_WITHIN.as_secs()))
            }
        }
    }

    /// Waits until the engine creates an object of the run, but not longer than [`QUIET`].
    fn quiet(&self, run: &RunId) -> impl Future<Output = ()> + Send + use<> {
        let label = format!("{LABEL_RUN}={run}");
        let filters = HashMap::from([("label", vec![label.as_str()]), ("event", vec!["create"])]);
        let mut events = Box::pin(self.docker.events(Some(EventsOptionsBuilder::default().filters(&filters).build())));
        async move {
            // The result is ignored: after an event as well as after the time limit, the next search shows which
            // objects exist.
            let _ = tokio::time::timeout(QUIET, events.next()).await;
        }
    }
}

#[cfg(test)]
mod tests;
