//! The plan: the whole run, computed before anything starts.
//!
//! Which clusters there are and with which flags, which namespaces on them, under which host names, which DNS rules
//! must be in place before CoreDNS starts, which images the node must hold, and which variants run where.
//!
//! **Architecture Invariant:** pure. `parallax plan` shows it all without an engine.

mod apart;
mod build;
mod cluster;
mod coredns;
mod expected;
mod history;
mod hosts;
mod order;
mod pods;
mod show;
mod typical;

#[cfg(test)]
mod tests;

pub use build::{PlanError, build, check};
pub use cluster::{ClusterPlan, EdgePlan, EnvironmentPlan, Plan, VariantPlan};
pub use coredns::custom_config_map;
pub use expected::{AtOnce, Expected};
pub use history::History;
pub use order::Order;
pub use show::show;
