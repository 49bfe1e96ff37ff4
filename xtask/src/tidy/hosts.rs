//! Checks that no file contains the host name of a package registry or mirror. Such a host name must come from the
//! machine's configuration.

use super::{Finding, numbered};

/// The forbidden hosts. Each host is split into labels, so that this file does not violate its own rule.
const HOSTS: [&[&str]; 13] = [
    &["crates", "io"],
    &["proxy", "golang", "org"],
    &["sum", "golang", "org"],
    &["registry", "npmjs", "org"],
    &["files", "pythonhosted", "org"],
    &["pypi", "org"],
    &["deb", "debian", "org"],
    &["security", "debian", "org"],
    &["snapshot", "debian", "org"],
    &["archive", "ubuntu", "com"],
    &["registry-1", "docker", "io"],
    &["repo", "maven", "apache", "org"],
    &["repo1", "maven", "org"],
];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    // Cargo writes the registry's name into its lock file, so the lock file is not checked.
    if path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let hosts: Vec<String> = HOSTS.iter().map(|labels| labels.join(".")).collect();
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        if let Some(host) = hosts.iter().find(|host| line.contains(host.as_str())) {
            findings
                .push(Finding::new(number, format!("names the host {host}; take it from the machine's own settings")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_in_its_line() {
        let text = format!("a\nGOPROXY=https://{}", HOSTS[1].join("."));
        assert_eq!(check("a.sh", &text).iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
        assert!(check("Cargo.lock", &text).is_empty());
        assert!(check("a.sh", "https://minio.example.com").is_empty());
    }
}
