//! Makes the kernel end the agent before the application, if the memory of the application's container is short.

use std::fs;
use std::path::Path;

/// The folder in which a container sees its own control group.
const GROUP: &str = "/sys/fs/cgroup";

/// Makes the kernel end this program before the other programs of its container if memory is short.
///
/// The kernel ends all programs of a control group together if the file `memory.oom.group` of the group contains 1.
/// With cgroup v2, Kubernetes writes 1 into this file of each container from version 1.28 on; the kubelet's option
/// `singleProcessOOMKill` switches this off. In such a group, a higher `oom_score_adj` of this program would make the
/// kernel choose the whole container before all other containers of the node. Therefore this function does not change
/// `oom_score_adj` in such a group.
pub(crate) fn yield_first() {
    if ends_alone(Path::new(GROUP)) {
        // A process may raise its own `oom_score_adj`. If the write fails, the agent still works, so the error is
        // ignored.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
    }
}

/// Whether the kernel ends only one program, and not the whole control group, if the memory of the group is short.
/// Returns false if this cannot be found out.
fn ends_alone(group: &Path) -> bool {
    match fs::read_to_string(group.join("memory.oom.group")) {
        Ok(text) => text.trim() == "0",
        // With cgroup v1, this file does not exist, and the kernel never ends a whole group. A folder `memory` shows
        // that this is cgroup v1.
        Err(_) => group.join("memory").is_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_ends_alone_goes_first() {
        let group = tempfile::tempdir().expect("a folder");
        assert!(!ends_alone(group.path()), "nothing is known");
        fs::create_dir(group.path().join("memory")).expect("made");
        assert!(ends_alone(group.path()), "cgroup v1");
        for (text, alone) in [("1\n", false), ("0\n", true)] {
            fs::write(group.path().join("memory.oom.group"), text).expect("written");
            assert_eq!(ends_alone(group.path()), alone, "{text}");
        }
    }
}
