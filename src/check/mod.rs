//! `parallax check`: examines a store and a cluster of the user's own, without a scenario. The same questions are asked
//! from this process (outside) and from one pod (inside), and the answers are shown side by side, in a table with two
//! columns. The pod is created by the check, or it is a pod of the user's application.
//!
//! The code that asks, judges and explains is the same as in runs: `parallax-probe`, `parallax-judge` and
//! `parallax-explain`.
//!
//! **Architecture Invariant:** this module needs no container engine and no scenario, and uses the cluster only through
//! `Access`. It creates one pod, and objects whose keys begin with [`Wanted::prefix`], and removes the pod and the
//! objects. In an application's own pod, it creates one file and removes the file. Or it creates one ephemeral
//! container there, and ends the program of this container.

mod application;
mod ask;
mod headers;
mod identity;
mod junit;
mod own;
mod pages;
mod refused;
mod resolver;
mod rows;
mod save;
mod secret;
mod show;
mod signed;
mod trust;
mod wanted;

pub use application::{Application, of_pod, pod_of};
pub use ask::{Checked, Inside, check};
pub use junit::junit;
pub use rows::{Cell, Row, State};
pub use save::scenario;
pub use secret::keys_of;
pub use show::{json, text};
pub use trust::system;
pub use wanted::{Identity, Wanted, endpoint};
