//! Vantages outside the cluster that name an image. They are containers on the cluster's network, and use the world as
//! their resolver.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::World;
use crate::probe::AGENT_PATH;
use parallax_engine::{Container, ContainerSpec, EngineError, Site};

/// Starts one container for each image of `images`, in which the agent waits for questions. The container resolves
/// names as clients outside the cluster do. It connects to the edge at the edge's own address, and so needs no
/// detour.
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
