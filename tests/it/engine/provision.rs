//! Tests of a real installation. The tests change the machine, so they run only on request: `unshare --mount --net
//! chroot A-FRESH-DEBIAN it engine::provision --ignored --nocapture`.

use parallax_engine::install::ensure_engine;
use parallax_engine::{Engine, RealSurroundings};
use parallax_provision::{Use, ensure_tools};
use parallax_record::Sink;
use parallax_vocab::EventKind;

fn printing_sink() -> Sink {
    Sink::new(|event| match event {
        EventKind::Note { text } => eprintln!("note: {text}"),
        other => eprintln!("{other:?}"),
    })
}

#[tokio::test]
#[ignore = "installs an engine on this machine"]
async fn an_engine_is_installed_and_answers() {
    let endpoint = ensure_engine(true, &RealSurroundings, &printing_sink()).await;
    let endpoint = endpoint.unwrap_or_else(|error| panic!("{error}\nfix: {:?}\n{:#?}", error.fix(), error.evidence()));
    let engine = Engine::connect(&endpoint).await.unwrap();
    eprintln!("engine {} answers", engine.facts().version);
}

#[tokio::test]
#[ignore = "installs toolchains on this machine"]
async fn tools_are_installed() {
    for of in [Use::Recipe, Use::Test] {
        if let Err(error) = ensure_tools(of, true, &printing_sink()).await {
            panic!("{error}\nfix: {:?}\n{:#?}", error.fix(), error.evidence());
        }
    }
}
