//! Vantages outside the cluster that have an image of their own. Each of their images runs in a container on the
//! cluster's network, and uses the world as its resolver.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::World;
use crate::probe::AGENT_PATH;
use parallax_engine::{Container, ContainerSpec, EngineError, Site};

/// Starts one container for each image of `images`. In each container, the agent waits for questions. The container
/// resolves names as clients outside the cluster do. It can connect to the edge's own address, so it needs no
/// redirection to a published port (detour).
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
