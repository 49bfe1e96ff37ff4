//! The containers that fixtures run outside the cluster. A flow may stop and start them.

use std::net::IpAddr;

use super::agents::NotSo;
use super::error::ClusterError;
use super::own::Own;
use crate::world::Neighbour;
use parallax_engine::Life;

/// Identifies a container that a fixture runs outside the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The namespace of the environment whose fixture runs the container.
    pub namespace: &'a str,
    /// The fixture's id and the container's name, joined by a dot, for example `store.minio`.
    pub name: &'a str,
}

/// The state of a container outside the cluster.
#[derive(Clone, Debug)]
pub struct LifeBeside {
    /// A description of the container for messages.
    pub title: String,
    /// The fixture's id and the container's name, joined by a dot, for example `store.minio`. `None` if the container
    /// belongs to no fixture.
    pub name: Option<String>,
    /// The state of the container: whether it runs, since when, and how it ended.
    pub life: Life,
}

impl Own {
    /// Kills all processes of a container outside the cluster at once.
    ///
    /// # Errors
    ///
    /// The inner error says that the container does not run.
    pub async fn kill_beside(&self, which: Beside<'_>) -> Result<Result<(), NotSo>, ClusterError> {
        let container = &self.beside(which)?.container.name;
        if !self.engine.is_running(container).await? {
            return Ok(Err(NotSo));
        }
        self.engine.kill(container, "SIGKILL").await?;
        self.engine.wait_exit(container).await?;
        Ok(Ok(()))
    }

    /// Starts a stopped container outside the cluster, and returns its address.
    ///
    /// # Errors
    ///
    /// The inner error says that the container already runs.
    pub async fn start_beside(&self, which: Beside<'_>) -> Result<Result<IpAddr, NotSo>, ClusterError> {
        let container = &self.beside(which)?.container;
        if self.engine.is_running(&container.name).await? {
            return Ok(Err(NotSo));
        }
        self.engine.start_again(&container.name).await?;
        Ok(Ok(self.engine.locate(&container.what, &container.name).await?.address))
    }

    /// Returns the states of the containers outside the cluster that an environment uses. They are the world, the
    /// containers of the environment's fixtures, and the containers of its vantages. Every environment uses the world,
    /// because it has the name server and the edge.
    pub(super) async fn lives_beside(
        &self,
        namespace: &str,
        images: impl Iterator<Item = &str>,
    ) -> Result<Vec<LifeBeside>, ClusterError> {
        let world = self.engine.life(self.world.container()).await?;
        let title = "the container of the outside network (name server and edge)".to_owned();
        let mut lives = vec![LifeBeside { title, name: None, life: world }];
        for it in self.neighbours(namespace) {
            let name = Some(format!("{}.{}", it.fixture, it.name));
            lives.push(LifeBeside { title: it.title(), name, life: self.engine.life(&it.container.name).await? });
        }
        for (image, container) in images.filter_map(|it| Some((it, self.outside.get(it)?))) {
            let title = format!("the container of image {image} beside the cluster");
            lives.push(LifeBeside { title, name: None, life: self.engine.life(&container.name).await? });
        }
        Ok(lives)
    }

    /// Returns the first container that the fixture `fixture` of a namespace runs outside the cluster.
    pub(super) fn neighbour(&self, namespace: &str, fixture: &str) -> Option<&Neighbour> {
        self.neighbours(namespace).find(|it| it.fixture == fixture)
    }

    /// Returns the ids of the fixtures of a namespace that have a container outside the cluster.
    pub fn fixtures_beside(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.neighbours(namespace).map(|it| it.fixture.as_str())
    }

    /// Returns the addresses of the containers that the fixtures of a namespace started outside the cluster.
    pub(super) fn addresses_beside(&self, namespace: &str) -> impl Iterator<Item = IpAddr> {
        self.neighbours(namespace).map(|it| it.container.address)
    }

    fn neighbours(&self, namespace: &str) -> impl Iterator<Item = &Neighbour> {
        self.world.neighbours().iter().filter(move |it| it.namespace == namespace)
    }

    fn beside(&self, which: Beside<'_>) -> Result<&Neighbour, ClusterError> {
        let named = |it: &&Neighbour| which.name.split_once('.') == Some((it.fixture.as_str(), it.name.as_str()));
        let unknown = || ClusterError::NoContainer { cluster: self.name.clone(), container: which.name.to_owned() };
        self.neighbours(which.namespace).find(named).ok_or_else(unknown)
    }
}
