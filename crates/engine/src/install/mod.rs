//! Installs and starts an engine that can run privileged containers. Also raises the kernel's limit of inotify
//! instances, because clusters reach this limit, and no other limit of the kernel.

mod daemon;
mod engine;
mod kernel;

pub use engine::ensure_engine;
pub use kernel::ensure_inotify;
