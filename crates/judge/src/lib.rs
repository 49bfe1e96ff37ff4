//! Judging: decides whether an answer is what a step expects, and whether a variant did what its scenario declares.
//!
//! **Architecture Invariant:** this crate is pure. The same answer always gets the same judgement, so a verdict can be
//! computed again from the record and the scenario, without a cluster.

mod again;
mod altered;
mod bound;
mod capture;
mod cause;
mod connection;
mod database;
mod events;
mod expect;
mod facts;
mod figures;
mod log;
mod look;
mod mutant;
mod object;
mod observe;
mod program;
mod proof;
mod ready;
mod tally;
mod variant;

pub use again::Recorded;
pub use capture::{answer_as_json, capture};
pub use cause::{describe, matches};
pub use events::ObjectEvent;
pub use expect::{Expected, Judgement, Seen, judge, judge_look, prove};
pub use figures::{figure, number_of};
pub use log::LogLook;
pub use look::{Look, Looked};
pub use mutant::Mutant;
pub use object::object_differences;
pub use proof::proof;
pub use ready::unready;
pub use tally::{Counted, judge_tally, tally};
pub use variant::{StepResult, problems};
