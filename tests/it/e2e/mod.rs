//! Tests of `parallax e2e` when something goes wrong. The tests use the binary with a real engine and a real cluster.
//!
//! Each test works on a copy of the project and changes one thing in the copy. The test asserts the output and the exit
//! code that a person gets, and asserts that the engine has no objects left. At most two runs are in progress at the
//! same time, each with a cluster.

mod attach;
mod bench;
mod canary;
mod charts;
mod check;
mod crowd;
mod demo;
mod died;
mod existing;
mod images;
mod interrupted;
mod killed;
mod machine;
mod page;
mod proxy;
mod set_ups;
mod shards;
mod standing;
mod taken_down;
mod theirs;
mod unanswered;
mod up;
mod usage;
mod verdicts;
mod versions;
mod workload;
