//! Installs and starts an engine that can run privileged containers. Also raises the limit of inotify instances, the
//! only kernel limit that clusters reach.

mod daemon;
mod engine;
mod kernel;

pub use engine::ensure_engine;
pub use kernel::ensure_inotify;
