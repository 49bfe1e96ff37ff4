//! `parallax e2e` when things go wrong: the binary itself, against a real engine and a real cluster.
//!
//! Each test works on a copy of the project, changes one thing in it, and asserts the words and the exit code that a
//! person gets, and that nothing is left in the engine. At most two runs go on at once: a cluster each.

mod bench;
mod canary;
mod crowd;
mod died;
mod images;
mod interrupted;
mod killed;
mod machine;
mod standing;
mod taken_down;
mod unanswered;
mod usage;
mod verdicts;
mod workload;
