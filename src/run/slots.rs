//! A semaphore that gives a free slot to the waiter with the highest priority. Work has the highest priority if its
//! delay would delay the end of the run the most. While the machine is idle, additional slots can be lent.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A limited number of slots, for which work waits before it begins. Each waiter has a priority. Among waiters of equal
/// priority, the first one gets a slot first.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The number of slots that were lent in addition to the fixed number, and are still in use. Each slot that is
    /// given back ends one of these loans, as long as there are any. No waiter gets such a slot.
    lent: usize,
    /// The largest number of slots that may be lent.
    lendable: usize,
    asked: u64,
    waiting: BinaryHeap<Waiting>,
}

/// One slot. Dropping this value gives the slot back.
#[derive(Debug)]
pub(crate) struct Slot {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct Waiting {
    priority: u64,
    number: u64,
    give: oneshot::Sender<Slot>,
}

impl Slots {
    /// Creates `number` free slots, at least one slot. The number is fixed: `lend` never adds a slot.
    pub(crate) fn new(number: usize) -> Self {
        Self::up_to(number, number)
    }

    /// Creates `number` free slots, at least one. Additional slots can be lent as long as there are fewer than `most`
    /// slots in total.
    pub(crate) fn up_to(number: usize, most: usize) -> Self {
        let free = number.max(1);
        let state = State { free, lent: 0, lendable: most.saturating_sub(free), asked: 0, waiting: BinaryHeap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Gives an additional slot to the waiter with the highest priority. Returns whether a waiter got a slot.
    pub(crate) fn lend(&self) -> bool {
        loop {
            let next = {
                let mut state = locked(&self.state);
                let next = if state.lent < state.lendable { state.waiting.pop() } else { None };
                state.lent += usize::from(next.is_some());
                next
            };
            let Some(next) = next else { return false };
            // If the waiter no longer exists, the lent slot is dropped, which ends the loan. Then the next waiter is
            // offered a slot.
            if next.give.send(Slot { state: Arc::clone(&self.state) }).is_ok() {
                return true;
            }
        }
    }

    /// Waits for a slot. The waiter with the highest `priority` gets the next slot. If the future is dropped, no slot
    /// is taken.
    pub(crate) async fn take(&self, priority: u64) -> Slot {
        let taken = {
            let mut state = locked(&self.state);
            if state.free > 0 {
                state.free -= 1;
                return Slot { state: Arc::clone(&self.state) };
            }
            let (give, taken) = oneshot::channel();
            let number = state.asked;
            state.asked += 1;
            state.waiting.push(Waiting { priority, number, give });
            taken
        };
        taken
            .await
            .expect("whoever waits is kept until a place is given to it, and the queue lives as long as this borrow")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        loop {
            let next = {
                let mut state = locked(&self.state);
                if state.lent > 0 {
                    state.lent -= 1;
                    return;
                }
                let next = state.waiting.pop();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            if next.give.is_closed() {
                continue;
            }
            // If the waiter is dropped at this moment, its slot is dropped too. The slot then goes to the next waiter.
            drop(next.give.send(Self { state: Arc::clone(&self.state) }));
            return;
        }
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.priority.cmp(&other.priority).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn the_waiter_of_the_highest_priority_gets_a_slot_first_then_the_earliest() {
        let slots = Slots::new(1);
        let held = slots.take(0).now_or_never().expect("it is free");
        let mut waiting = [(3, 'a'), (7, 'b'), (7, 'c'), (1, 'd')].map(|(priority, name)| {
            let mut wait = Box::pin(slots.take(priority));
            assert!(wait.as_mut().now_or_never().is_none());
            (name, wait)
        });
        let mut order = Vec::new();
        let mut held = Some(held);
        while held.take().is_some() {
            let next = waiting.iter_mut().filter(|(name, _)| !order.contains(name)).find_map(|(name, wait)| {
                let slot = wait.as_mut().now_or_never()?;
                Some((*name, slot))
            });
            if let Some((name, slot)) = next {
                order.push(name);
                held = Some(slot);
            }
        }
        assert_eq!(order, ['b', 'c', 'a', 'd']);
    }

    #[test]
    fn a_lent_slot_goes_to_a_waiter_and_ends_when_a_slot_is_given_back() {
        let slots = Slots::up_to(1, 2);
        assert!(!slots.lend(), "nobody waits");
        let first = slots.take(0).now_or_never().expect("it is free");
        let mut second = Box::pin(slots.take(1));
        let mut third = Box::pin(slots.take(0));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(slots.lend());
        assert!(!slots.lend(), "two is the most");
        let second = second.as_mut().now_or_never().expect("the waiter with the highest priority gets it");
        // Two slots are in use, one of them lent. The slot that is given back first ends the loan.
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        let third = third.as_mut().now_or_never().expect("the fixed slot is free again");
        drop(third);
        // A waiter that was dropped gets no lent slot.
        let held = slots.take(0).now_or_never().expect("it is free");
        let mut gone = Box::pin(slots.take(0));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        assert!(!slots.lend());
        drop(held);
        let held = slots.take(0).now_or_never().expect("it is free");
        assert!(slots.take(0).now_or_never().is_none());
        drop(held);
    }

    #[test]
    fn a_waiter_that_gives_up_does_not_lose_a_slot() {
        let slots = Slots::new(1);
        let held = slots.take(0).now_or_never().expect("it is free");
        let mut gone = Box::pin(slots.take(9));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut stays = Box::pin(slots.take(1));
        assert!(stays.as_mut().now_or_never().is_none());
        drop(gone);
        drop(held);
        let held = stays.as_mut().now_or_never().expect("the place is passed on");
        let mut late = Box::pin(slots.take(1));
        assert!(late.as_mut().now_or_never().is_none());
        // The slot is given to a waiter that is dropped before it takes the slot. The slot must then be free again.
        drop(held);
        drop(late);
        assert!(slots.take(0).now_or_never().is_some());
    }
}
