//! Decides whether the kubelet starts a container again after the container has ended.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// Whether the kubelet starts a container of this pod again after an end with this exit code. `container` is the name
/// of the container.
pub(super) fn starts_again(spec: &PodSpec, container: &str, exit_code: i32) -> bool {
    match policy(spec, container) {
        Some("Never") => false,
        Some("OnFailure") => exit_code != 0,
        _ => true,
    }
}

/// Returns the `restartPolicy` that applies to a container of the pod. The policy of the container itself comes before
/// the policy of the pod.
fn policy<'a>(spec: &'a PodSpec, container: &str) -> Option<&'a str> {
    let named = |it: &&'a Container| it.name == container;
    let init = spec.init_containers.iter().flatten().find(named);
    let own = init.or_else(|| spec.containers.iter().find(named)).and_then(|it| it.restart_policy.as_deref());
    own.or(match (init, spec.restart_policy.as_deref()) {
        // An init container that ended with success does not run again. The exception is a sidecar, which has its own
        // policy, so this code does not apply to it.
        (Some(_), None | Some("Always")) => Some("OnFailure"),
        (_, of_pod) => of_pod,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_init_container_starts_again_only_if_it_failed() {
        let spec = |of_pod: Option<&str>| {
            let init = json!([{"name": "init"}, {"name": "sidecar", "restartPolicy": "Always"}]);
            let spec = json!({"restartPolicy": of_pod, "initContainers": init, "containers": [{"name": "app"}]});
            serde_json::from_value::<PodSpec>(spec).expect("a pod's spec")
        };
        for (of_pod, container, expected) in [
            (None, "app", None),
            (Some("Always"), "app", Some("Always")),
            (Some("Never"), "app", Some("Never")),
            (None, "init", Some("OnFailure")),
            (Some("Always"), "init", Some("OnFailure")),
            (Some("Never"), "init", Some("Never")),
            (Some("Never"), "sidecar", Some("Always")),
        ] {
            assert_eq!(policy(&spec(of_pod), container), expected, "{of_pod:?} {container}");
        }
    }

    #[test]
    fn the_exit_code_matters_only_on_failure() {
        for (of_pod, after_success, after_failure) in
            [("Always", true, true), ("OnFailure", false, true), ("Never", false, false)]
        {
            let spec = json!({ "restartPolicy": of_pod, "containers": [{ "name": "app" }] });
            let spec: PodSpec = serde_json::from_value(spec).expect("a pod's spec");
            let found = (starts_again(&spec, "app", 0), starts_again(&spec, "app", 1));
            assert_eq!(found, (after_success, after_failure), "{of_pod}");
        }
    }
}
