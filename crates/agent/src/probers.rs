//! The probers of a session, by number. They live no longer than it.

use std::collections::HashMap;
use std::sync::Arc;

use parallax_probe::Prober;
use parallax_vocab::prober::{ProberOrder, Series};
use tokio::sync::Mutex;

/// All of them; each under a lock of its own, because one that is stopped waits for its answers.
#[derive(Debug, Default)]
pub(crate) struct Probers(Mutex<HashMap<u64, Arc<Mutex<Prober>>>>);

impl Probers {
    /// Does what it is told, and tells what was seen; nothing of a prober that is not there.
    pub(crate) async fn obey(&self, prober: u64, order: ProberOrder) -> Option<Box<Series>> {
        let mut all = self.0.lock().await;
        match order {
            ProberOrder::Start(question) => {
                all.insert(prober, Arc::new(Mutex::new(Prober::start(*question))));
                Some(Box::default())
            }
            ProberOrder::End => all.remove(&prober).map(|_| Box::default()),
            ProberOrder::Read(known) => {
                let it = all.get(&prober).cloned()?;
                drop(all);
                let series = it.lock().await.read(known);
                Some(Box::new(series))
            }
            ProberOrder::Stop(known) => {
                let it = all.get(&prober).cloned()?;
                drop(all);
                let mut it = it.lock().await;
                it.stop().await;
                Some(Box::new(it.read(known)))
            }
        }
    }
}
