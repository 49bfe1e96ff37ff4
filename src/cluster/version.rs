//! Compares the version that the apiserver of a started cluster reports with the one that the user chose.

use kube::Client;

use super::error::ClusterError;

/// Fails if the apiserver of the cluster has another version of Kubernetes than the user chose.
pub(super) async fn check(client: &Client, cluster: &str, chosen: &str) -> Result<(), ClusterError> {
    let said = client.apiserver_version().await.map_err(|source| ClusterError::Api {
        cluster: cluster.to_owned(),
        doing: "ask the apiserver for its version".to_owned(),
        source: Box::new(source),
    })?;
    if is_same(&said.git_version, chosen) {
        return Ok(());
    }
    let (cluster, chosen) = (cluster.to_owned(), chosen.to_owned());
    Err(ClusterError::OtherVersion { cluster, chosen, said: said.git_version })
}

/// Whether the version that an apiserver reports, such as `v1.33.13+k3s1`, has the numbers of the chosen one. A chosen
/// version without numbers is only a name in images.lock, so it cannot be compared.
fn is_same(said: &str, chosen: &str) -> bool {
    let chosen = numbers(chosen);
    chosen.is_empty() || numbers(said).starts_with(&chosen)
}

/// The numbers at the beginning of a version: `v1.33.13+k3s1` has 1, 33 and 13.
fn numbers(version: &str) -> Vec<u32> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    version[..end].split('.').map_while(|number| number.parse().ok()).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reported_version_has_the_numbers_of_the_chosen_one() {
        for (said, chosen, expected) in [
            ("v1.33.13", "1.33.13", true),
            ("v1.33.13+k3s1", "1.33.13", true),
            ("v1.33.13-rc.1+k3s1", "1.33.13", true),
            ("v1.34.4", "1.33.13", false),
            ("v1.33.1", "1.33.13", false),
            ("v1.33.130", "1.33.13", false),
            ("v1.33.13", "1.33.1", false),
            ("v1.34.4", "1.34.4-again", true),
            ("v1.34.4", "1.34", true),
            ("v1.34.4", "mine", true),
            ("", "1.33.13", false),
        ] {
            assert_eq!(is_same(said, chosen), expected, "{said} {chosen}");
        }
    }

    #[test]
    fn an_error_names_both_versions_and_what_to_correct() {
        let [cluster, chosen, said] = ["c1", "1.33.13", "v1.34.4"].map(str::to_owned);
        let failure = ClusterError::OtherVersion { cluster, chosen, said }.failure();
        assert_eq!(failure.what, "cluster c1 has Kubernetes v1.34.4, and 1.33.13 was chosen (--k8s)");
        assert!(failure.fix.is_some_and(|fix| fix.contains("images.lock")));
    }
}
