//! `parallax e2e` when things go wrong: tests of the binary with a real engine and a real cluster.
//!
//! Each test works on a copy of the project and changes one thing in it. It asserts the output and the exit code that a
//! person gets, and that the engine has no objects left. At most two runs, with a cluster each, run at the same time.

mod bench;
mod canary;
mod check;
mod crowd;
mod died;
mod images;
mod interrupted;
mod killed;
mod machine;
mod page;
mod shards;
mod standing;
mod taken_down;
mod unanswered;
mod up;
mod usage;
mod verdicts;
mod workload;
