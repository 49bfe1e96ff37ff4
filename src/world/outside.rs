//! Vantages outside the cluster that need an image: containers on its network, with the world as their resolver.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::World;
use crate::probe::AGENT_PATH;
use parallax_engine::{Container, ContainerSpec, EngineError, Site};

/// Starts one container for each image; the agent in it waits for questions. Names resolve in the container as they do
/// outside the cluster, and the edge is reached at its real address.
pub async fn start(
    site: &Site,
    cluster: &str,
    images: &BTreeMap<String, String>,
    network: &str,
    world: &World,
) -> Result<BTreeMap<String, Container>, EngineError> {
    let all = images.iter().map(|(name, reference)| async move {
        let mut spec = ContainerSpec::new(format!("{cluster}-outside-{name}"), reference, network);
        spec.entrypoint = Some(vec![AGENT_PATH.to_owned()]);
        spec.command = vec!["hold".to_owned()];
        spec.dns = vec![world.address()];
        Ok::<_, EngineError>((name.clone(), site.start(spec).await?))
    });
    Ok(try_join_all(all).await?.into_iter().collect())
}
