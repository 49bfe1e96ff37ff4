//! Builds the sentence that explains why a cluster or an environment did not become ready.

use parallax_vocab::Cause;

use parallax_language::scenario::model::CLUSTER_READY;

/// Returns one sentence that says what did not become ready, and where to look. `what` is the name of the readiness
/// check.
pub(super) fn unready(what: &str, cause: &Cause) -> String {
    let fix = match cause {
        Cause::Resource { detail, .. } if detail.contains("CrashLoopBackOff") => {
            "the program says why it ends in the line that is quoted; correct what it names"
        }
        Cause::Resource { detail, .. } if detail.contains("ErrImage") || detail.contains("ImagePull") => {
            "the node does not have the image: name one that images/images.lock lists"
        }
        Cause::Resource { detail, .. }
            if ["StartError", "RunContainer", "CreateContainer"].iter().any(|it| detail.contains(it)) =>
        {
            "the container cannot be made as its pod says; correct the manifest"
        }
        Cause::Resource { detail, .. } if detail.contains("anonymous") && what == CLUSTER_READY => {
            "the apiserver takes `anonymous-auth` or a file with `anonymous`, never both: remove the flag"
        }
        Cause::Resource { .. } if what == CLUSTER_READY => "the node's last lines are below",
        Cause::Resource { .. } => "what its pods say is below",
        Cause::Connect { .. } | Cause::Dns { .. } => {
            "nothing answers under the store's name outside; check the port that it listens on"
        }
        Cause::Tls { .. } => "the store serves another certificate than the one that was issued for it",
        Cause::Status { .. } => "the store answers and does not call itself well; its last lines are below",
        _ => "the last thing seen is below",
    };
    let cause = match cause {
        Cause::Resource { resource, detail } => format!("{resource}: {detail}"),
        other => other.to_string(),
    };
    format!("`{what}` did not come, so the flow was not run: {cause}; {fix}")
}
