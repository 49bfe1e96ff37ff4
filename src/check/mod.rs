//! `parallax check`: looks at somebody's own store and cluster, without a scenario. The same questions are asked from
//! this process (outside) and from one pod (inside), and the answers stand beside each other.
//!
//! The questions, the judgement and the explanations are those of runs: `parallax-probe`, `parallax-judge` and
//! `parallax-explain`.
//!
//! **Architecture Invariant:** this room needs no container engine and no scenario, and uses the cluster through
//! `Access` alone. What it makes is one pod and objects below [`Wanted::prefix`], and it removes both.

mod ask;
mod junit;
mod pages;
mod rows;
mod secret;
mod show;
mod trust;
mod wanted;

pub use ask::{Checked, check};
pub use junit::junit;
pub use rows::{Cell, Row, State};
pub use secret::keys_of;
pub use show::{json, text};
pub use trust::system;
pub use wanted::{Identity, Wanted, endpoint};
