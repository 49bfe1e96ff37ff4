//! Explains why a pod does not accept the agent, and says what the user can do.

use parallax_vocab::settings::Settings;

use crate::probe::exec::Ran;

/// Parts of error messages of runc, crun, gVisor and the kernel. These messages say that the container does not have
/// the program that an exec should run.
const NO_PROGRAM: [&str; 4] =
    ["executable file", "error finding executable", "no such file or directory", "not found in $PATH"];

/// A message quotes at most this number of bytes of a text from a container, such as the output of a program.
const SHOWN_BYTES: usize = 1024;

/// Returns the end of the output of a program in the container. The output is cut, because a container can write any
/// amount.
pub(super) fn last_words(said: &str) -> &str {
    let said = said.trim();
    &said[said.ceil_char_boundary(said.len().saturating_sub(SHOWN_BYTES))..]
}

/// Checks the settings that the agent read in the container. Fails if two trust stores are of the same kind. This
/// limits the number of trust stores, and of questions about them. Also cuts long texts.
pub(super) fn plausible(mut told: Settings) -> Result<Settings, String> {
    for (at, store) in told.stores.iter().enumerate() {
        if told.stores[..at].iter().any(|it| it.named_by == store.named_by) {
            return Err(format!("the container tells two trust stores of the kind {:?}", store.named_by));
        }
    }
    for store in &mut told.stores {
        store.path.truncate(store.path.floor_char_boundary(SHOWN_BYTES));
        if let Err(why) = &mut store.certificates {
            why.truncate(why.floor_char_boundary(SHOWN_BYTES));
        }
    }
    Ok(told)
}

/// The explanation of a refused exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The reason why the exec was refused, and what the user can do.
    pub(super) why: String,
    /// If true, an ephemeral container does not help either. The harness reaches the agent in such a container through
    /// exec, too.
    pub(super) is_final: bool,
}

/// Explains the refusal of an exec in `place`. `said` is the message of the apiserver or the container runtime.
pub(super) fn exec_refused(place: &str, said: &str) -> Refused {
    let lower = said.to_lowercase();
    if lower.contains("forbidden") && lower.contains("pods/exec") {
        let why = format!("{place}: {said}; the rights `get` and `create` on `pods/exec` are needed");
        return Refused { why, is_final: true };
    }
    // A message that contains a text of `NO_PROGRAM` may be about a file of the container runtime itself. Therefore the
    // message counts only if it also names the shell.
    let is_part = |it: char| it.is_alphanumeric() || "._-".contains(it);
    let names_shell = lower.split(|it| !is_part(it)).any(|word| word == "sh");
    if names_shell && NO_PROGRAM.iter().any(|it| lower.contains(&it.to_lowercase())) {
        return Refused { why: format!("{place} has no shell `sh`"), is_final: false };
    }
    // Any other reason also applies to an ephemeral container: for example, an admission webhook refuses each exec, or
    // the application's container does not run.
    Refused { why: format!("{place}: {said}"), is_final: true }
}

/// Explains why `put.sh` could not write the agent's program into a folder of `place`. `no_folder` says whether none of
/// the folders was suitable.
pub(super) fn unusable(place: &str, ran: &Ran, no_folder: bool) -> String {
    let said =
        last_words(&ran.stderr).lines().map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
    if no_folder {
        let tried = if said.is_empty() { "none of the usual folders exists" } else { &said };
        return format!(
            "{place} has no folder in which a program may be written and run ({tried}), as with readOnlyRootFilesystem; an emptyDir at /tmp helps"
        );
    }
    format!("the shell of {place} could not write the agent's program (exit code {}): {said}", ran.exit)
}

/// Explains the refusal of an ephemeral container. `said` is the message of the apiserver.
pub(super) fn ephemeral_refused(pod: &str, said: &str) -> String {
    let help = if said.contains("pods/ephemeralcontainers") && said.contains("cannot") {
        "the right `patch` on `pods/ephemeralcontainers` is needed"
    } else if said.contains("violates PodSecurity") {
        "an ephemeral container has the security settings of the application's container, so the pod itself violates the policy: it is older than the policy"
    } else if said.contains("admission webhook") {
        "a policy of the cluster refuses it: let it except ephemeral containers, or this namespace"
    } else {
        "the apiserver refuses it"
    };
    format!("an ephemeral container in pod {pod} is refused: {said}; {help}")
}

#[cfg(test)]
mod tests {
    use parallax_vocab::settings::{NamedBy, TrustStore};

    use super::*;

    #[test]
    fn what_refuses_an_exec_is_named_with_what_helps() {
        let runc = "failed to exec in container: failed to start exec \"e\": OCI runtime exec failed: exec failed: unable to start container process: exec: \"sh\": executable file not found in $PATH";
        let crun = "executable file `sh` not found in $PATH: No such file or directory";
        let rights = "pods \"web\" is forbidden: User \"u\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"n\"";
        let gone = "unable to upgrade connection: container not found (\"app\")";
        let webhook = "admission webhook \"no-exec\" denied the request: nobody may exec";
        for (said, says, is_final) in [
            (runc, "web has no shell `sh`", false),
            (crun, "web has no shell `sh`", false),
            ("error finding executable \"sh\" in PATH", "web has no shell `sh`", false),
            ("exec failed: exec /bin/sh: no such file or directory", "web has no shell `sh`", false),
            ("failed to create the console: stat /run/push.sh-1: no such file or directory", "no such file", true),
            (rights, "`get` and `create` on `pods/exec`", true),
            (gone, "container not found", true),
            (webhook, "nobody may exec", true),
        ] {
            let refused = exec_refused("container app of pod web", said);
            assert!(refused.why.contains(says) && refused.is_final == is_final, "{said}: {refused:?}");
        }
        for (said, says) in [
            (
                "pods \"web\" is forbidden: User \"u\" cannot patch resource \"pods/ephemeralcontainers\" in API group",
                "`patch` on",
            ),
            (
                "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
                "older than the policy",
            ),
            ("admission webhook \"p\" denied the request: x", "except ephemeral containers"),
            ("pods \"web\" not found", "the apiserver refuses it"),
        ] {
            let why = ephemeral_refused("web", said);
            assert!(why.contains(says) && why.contains(said), "{why}");
        }
    }

    #[test]
    fn what_a_container_tells_has_a_limit() {
        let long = "ü".repeat(SHOWN_BYTES);
        let said = last_words(&long);
        assert!(said.len() <= SHOWN_BYTES && long.ends_with(said) && !said.is_empty());
        assert_eq!(last_words(" short\n"), "short");
        let flood = Ran { exit: 3, stdout: String::new(), stderr: "/tmp cannot be written\n".repeat(10_000) };
        assert!(unusable("app", &flood, true).len() < 2 * SHOWN_BYTES);

        let store = |named_by| TrustStore { named_by, path: long.clone(), certificates: Err(long.clone()) };
        let told = |stores| Settings { stores, ..Settings::default() };
        let once = plausible(told(vec![store(NamedBy::SslCertFile), store(NamedBy::System)])).expect("two kinds");
        assert_eq!(once.stores.len(), 2);
        for store in &once.stores {
            let why = store.certificates.as_ref().expect_err("unread");
            assert!(store.path.len() <= SHOWN_BYTES && why.len() <= SHOWN_BYTES);
        }
        let twice = plausible(told(vec![store(NamedBy::System), store(NamedBy::Folder), store(NamedBy::System)]));
        assert!(twice.is_err_and(|why| why.contains("two trust stores of the kind System")));
    }

    #[test]
    fn each_folder_is_named_with_what_it_refuses() {
        let ran = |exit, stderr: &str| Ran { exit, stdout: String::new(), stderr: stderr.to_owned() };
        let refused = unusable("app", &ran(3, "/tmp cannot be written\n/dev/shm is mounted noexec\n"), true);
        assert!(
            refused.contains("app has no folder")
                && refused.contains("(/tmp cannot be written, /dev/shm is mounted noexec)"),
            "{refused}"
        );
        assert!(unusable("app", &ran(3, ""), true).contains("none of the usual folders"));
        assert!(
            unusable("app", &ran(127, "sh: chmod: not found"), false).contains("exit code 127): sh: chmod: not found")
        );
    }
}
