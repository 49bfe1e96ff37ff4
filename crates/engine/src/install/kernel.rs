//! Raises the kernel's limit of inotify instances, which several clusters at the same time would exceed. Clusters
//! reach no other limit of the kernel.

use std::path::Path;

use crate::error::EngineError;
use parallax_record::Sink;

/// The file with the kernel's limit of inotify instances for each user. The instances of all containers count as those
/// of one user. The kernel's default limit is 128.
const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";
/// The lowest limit that Parallax accepts without a change. It is enough for about forty clusters at the same time.
const ENOUGH: u64 = 1024;

/// Raises the kernel's limit of inotify instances if it is too low for several runs at once and this process is root.
/// The change is reported before it is made.
pub fn ensure_inotify(sink: &Sink) -> Result<(), EngineError> {
    let path = Path::new(INSTANCES);
    let now = std::fs::read_to_string(path).map_err(EngineError::file("read", path))?;
    if now.trim().parse::<u64>().is_ok_and(|limit| limit >= ENOUGH) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    sink.note(format!("raising fs.inotify.max_user_instances from {} to {ENOUGH}, until the next boot", now.trim()));
    std::fs::write(path, ENOUGH.to_string()).map_err(EngineError::file("write", path))
}
