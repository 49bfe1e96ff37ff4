//! The probers of a session. Each prober has a number, and all of them end with the session.

use std::collections::HashMap;
use std::sync::Arc;

use parallax_probe::Prober;
use parallax_vocab::prober::{ProberOrder, Series};
use tokio::sync::Mutex;

/// All probers of a session, by their number. Each prober has its own lock. The stop of a prober waits for its open
/// questions, but must not block the other probers.
#[derive(Debug, Default)]
pub(crate) struct Probers(Mutex<HashMap<u64, Arc<Mutex<Prober>>>>);

impl Probers {
    /// Starts, reads, stops or removes a prober. Returns the results that the caller does not know yet; they are empty
    /// for a start and a removal. `None` if there is no prober with this number.
    pub(crate) async fn execute(&self, prober: u64, order: ProberOrder) -> Option<Box<Series>> {
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
