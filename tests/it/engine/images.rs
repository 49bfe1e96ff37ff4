//! Tests of saving images, loading images, and missing images.

use std::time::Duration;

use parallax_engine::PullLimits;
use serial_test::serial;

use super::bench::{Bench, docker};

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn an_image_survives_saving_and_loading() {
    let Some(bench) = Bench::new().await else { return };
    let engine = &bench.engine;
    let id = engine.image_id(&bench.image).await.unwrap().unwrap();
    let archive = bench.scratch.path().join("image.tar");
    engine.save_image(&bench.image, &archive).await.unwrap();
    engine.remove_image(&bench.image).await.unwrap();
    engine.remove_image(&bench.image).await.unwrap();
    assert_eq!(engine.image_id(&bench.image).await.unwrap(), None);
    engine.load_image(&archive).await.unwrap();
    assert_eq!(engine.image_id(&bench.image).await.unwrap(), Some(id.clone()));
    engine.tag_image(&bench.image, "parallax-engine-test-second", "1").await.unwrap();
    assert_eq!(engine.image_id("parallax-engine-test-second:1").await.unwrap(), Some(id));
    docker(&["image", "rm", "parallax-engine-test-second:1"]);

    let missing = bench.scratch.path().join("missing.tar");
    let error = engine.save_image("parallax-none:1", &missing).await.unwrap_err();
    assert!(error.to_string().contains("parallax-none:1"), "{error}");
    assert!(!missing.exists() && !missing.with_extension("partial").exists());
    let broken = bench.scratch.path().join("broken.tar");
    std::fs::write(&broken, "no archive").unwrap();
    let error = engine.load_image(&broken).await.unwrap_err();
    assert!(error.to_string().contains("broken.tar"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_pull_that_cannot_succeed_ends_with_a_reason() {
    let Some(bench) = Bench::new().await else { return };
    // No program listens on port 9 of loopback. The connection is therefore refused at once, and no traffic leaves the
    // machine.
    let limits = PullLimits { first_answer: Duration::from_secs(10), silence: Duration::from_secs(10) };
    let error = bench.engine.pull_image("127.0.0.1:9/none:1", limits, |_| {}).await.unwrap_err();
    assert!(error.to_string().starts_with("failed to pull 127.0.0.1:9/none:1: "), "{error}");
    assert!(error.fix().unwrap().contains("registry"));
}
