//! The plan: the whole run, computed before anything starts.
//!
//! It decides which clusters exist and with which flags, which namespaces they have, which host names these use, which
//! DNS rules must be in place before CoreDNS starts, which images the node must have, and where each variant runs.
//!
//! **Architecture Invariant:** pure. `parallax plan` shows all of it without an engine.

mod apart;
mod build;
mod cluster;
mod coredns;
mod expected;
mod history;
mod hosts;
mod order;
mod pods;
mod shard;
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
