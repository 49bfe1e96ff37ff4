//! Converts the pod selector of a workload, such as a Deployment, into the form that the apiserver accepts in a query.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;

/// Returns the label selector by which a workload finds its pods, as text for a query. An empty selector is an error,
/// because it has two meanings: in a workload it selects no pods, but in a query it selects all pods.
pub fn selector(of: LabelSelector) -> Result<String, String> {
    pod_selector(of).map(|it| it.to_string())
}

/// Returns the label selector by which a workload finds its pods, as a value that can be compared with labels. An empty
/// selector is an error.
pub fn pod_selector(of: LabelSelector) -> Result<Selector, String> {
    let labels = Selector::try_from(of).map_err(|why| format!("its selector: {why}"))?;
    if labels.to_string().is_empty() { Err("its selector selects nothing".to_owned()) } else { Ok(labels) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_is_converted_completely_and_an_empty_one_is_an_error() {
        for (of, expected) in [
            (json!({"matchLabels": {"a": "b"}}), Ok("a=b")),
            (json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}), Ok("a in (b)")),
            (
                json!({"matchLabels": {"c": "d"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}),
                Ok("c=d,!a"),
            ),
            (json!({"matchLabels": {"c": "d", "a": "b"}}), Ok("a=b,c=d")),
            (json!({}), Err("its selector selects nothing")),
        ] {
            let of: LabelSelector = serde_json::from_value(of).expect("a selector");
            assert_eq!(selector(of).as_deref().map_err(String::as_str), expected);
        }
    }
}
