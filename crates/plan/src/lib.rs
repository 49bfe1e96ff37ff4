//! The plan: the whole run, computed before anything starts.
//!
//! The plan decides on the clusters and their flags, on the namespaces and host names, and on the DNS rules that must
//! be in place before CoreDNS starts. It also decides which images the nodes need, and where each variant runs.
//!
//! **Architecture Invariant:** this crate is pure. `parallax plan` shows the whole plan without an engine.

mod apart;
mod build;
mod claims;
mod cluster;
mod coredns;
mod expected;
mod history;
mod hosts;
mod namespaces;
mod order;
mod pods;
mod shard;
mod show;
mod typical;

#[cfg(test)]
mod tests;

pub use build::{NODE_PORTS, PlanError, build, build_in, check};
pub use cluster::{ClusterPlan, EdgePlan, EnvironmentPlan, Plan, VariantPlan};
pub use coredns::custom_config_map;
pub use expected::{AtOnce, Expected};
pub use history::History;
pub use namespaces::Namespaces;
pub use order::Order;
pub use show::show;
