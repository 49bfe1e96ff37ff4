//! Makes the kernel end the agent before the application, if the memory of the application's container is short.

use std::fs;
use std::path::Path;

/// The folder in which a container sees its own control group.
const GROUP: &str = "/sys/fs/cgroup";

/// Lets the kernel end this program before the others of its container if memory is short.
///
/// The kernel ends all programs of a control group together if the file `memory.oom.group` of the group contains 1.
/// Kubernetes sets it for each container from version 1.28 on with cgroup v2; the kubelet's option
/// `singleProcessOOMKill` switches this off. In such a group, a higher score would make the kernel choose this
/// container before all others on the node. So the score stays as it is.
pub(crate) fn yield_first() {
    if ends_alone(Path::new(GROUP)) {
        // A process may raise its own score. If the write fails, the agent still works, so the error is ignored.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
    }
}

/// Whether the kernel ends one program alone if the memory of its control group is short. Returns false if this cannot
/// be found out.
fn ends_alone(group: &Path) -> bool {
    match fs::read_to_string(group.join("memory.oom.group")) {
        Ok(text) => text.trim() == "0",
        // Only cgroup v1 has a folder for each resource, and v1 cannot end a whole group.
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
