//! Turns the plan into Kubernetes objects, applies them, and waits until they are ready.
//!
//! Only this module and `act` change a cluster.

mod attached;
mod clear;
mod corefile;
mod environment;
mod error;
mod evidence;
mod former;
mod guest;
mod objects;
mod ready;
mod rights;
mod rollout;
mod server_side;
mod take_down;
mod unready;
pub(crate) mod unrecoverable;
mod words;

pub use attached::{Absent, Attached, Outlook, Placing, Terms, can_attach, pod_of};
pub use clear::{Cleared, Reach, clear, take_away};
pub use corefile::write_into_corefile;
pub use environment::{Environment, Given, Provisioned, bring_up, in_order, pod_of_vantage, prepare, unready};
pub use error::ApplyError;
pub use evidence::namespace as evidence;
pub use former::Former;
pub use guest::{Guest, Refused};
pub(crate) use objects::tls_secret;
pub use objects::{RUN_LABEL, TOKEN_FILE};
pub use ready::logged_cause;
pub use rights::{Needs, Rights};
pub(crate) use server_side::is_unknown;
pub use server_side::{Applier, Names, Visit};
pub use take_down::{held_by, take_down};
pub use unready::{Accepts, Declared, Lasting, Unready};
pub(crate) use words::last_words;
