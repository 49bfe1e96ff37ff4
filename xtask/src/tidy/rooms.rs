//! The walls between the rooms (ARCHITECTURE.md): what a room may name.

use super::{Finding, code, has_word, is_rust, numbered};

struct Wall {
    /// Files whose path begins so are meant.
    within: &'static [&'static str],
    /// Of these, the ones that may.
    except: &'static [&'static str],
    /// What they must not name.
    words: &'static [&'static str],
    why: &'static str,
}

const WALLS: [Wall; 6] = [
    Wall {
        within: &["crates/language/", "src/plan/", "src/judge/", "src/explain/"],
        except: &[],
        words: &["tokio::", "kube::", "testcontainers::", "bollard::", "reqwest::", "std::process::"],
        why: "this room decides and has no effects",
    },
    Wall {
        within: &["src/"],
        except: &["src/engine/"],
        words: &["testcontainers::", "bollard::"],
        why: "only src/engine names the container engine",
    },
    Wall {
        within: &["src/"],
        except: &["src/cluster/"],
        words: &[
            "kube::Config",
            "Client::try_from",
            "Client::try_default",
            "from_kubeconfig",
            "from_custom_kubeconfig",
        ],
        why: "only src/cluster builds a Kubernetes client",
    },
    Wall {
        within: &["src/", "crates/probe/", "crates/agent/"],
        // A token is asked for by a POST that leaves nothing behind.
        except: &["src/apply/", "src/act/", "src/tokens/request.rs"],
        words: &["PatchParams", "PostParams", "DeleteParams"],
        why: "only src/apply and src/act change a cluster",
    },
    Wall {
        within: &["src/report/"],
        except: &[],
        words: &[
            "crate::apply",
            "crate::certs",
            "crate::cli",
            "crate::cluster",
            "crate::engine",
            "crate::images",
            "crate::plan",
            "crate::probe",
            "crate::run",
            "crate::world",
            "parallax_language::",
            "std::env::",
        ],
        why: "reports are made from events and nothing else",
    },
    Wall {
        within: &["crates/vocab/"],
        except: &[],
        words: &["std::fs::", "std::env::", "std::process::", "tokio::", "SystemTime::now", "Instant::now"],
        why: "the words have no effects",
    },
];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) {
        return Vec::new();
    }
    let meant = |wall: &&Wall| {
        wall.within.iter().any(|room| path.starts_with(room)) && !wall.except.iter().any(|room| path.starts_with(room))
    };
    let walls: Vec<&Wall> = WALLS.iter().filter(meant).collect();
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        for wall in &walls {
            if let Some(word) = wall.words.iter().find(|word| has_word(code(line), word)) {
                findings.push(Finding::new(number, format!("names `{}`: {}", word.trim_end_matches(':'), wall.why)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_wall_stands() {
        let table = [
            ("src/plan/order.rs", "use tokio::sync::mpsc;", 1),
            ("src/plan/order.rs", "/// like tokio::sync", 0),
            ("src/run/mod.rs", "use tokio::sync::mpsc;", 0),
            ("src/run/mod.rs", "use bollard::Docker;", 1),
            ("src/engine/connect.rs", "use bollard::Docker;", 0),
            ("src/apply/mod.rs", "let client = Client::try_default().await?;", 1),
            ("src/cluster/client.rs", "let client = Client::try_from(config)?;", 0),
            ("crates/node/src/main.rs", "let client = Client::try_from(config)?;", 0),
            ("src/probe/logs.rs", "use kube::api::DeleteParams;", 1),
            ("src/act/delete.rs", "use kube::api::DeleteParams;", 0),
            ("src/report/mod.rs", "use crate::run::Run;", 1),
            ("src/report/mod.rs", "use crate::record::Live;", 0),
            ("crates/vocab/src/id.rs", "std::fs::read(x)", 1),
            ("docs/plan.md", "tokio::", 0),
        ];
        for (path, text, findings) in table {
            assert_eq!(check(path, text).len(), findings, "{path}: {text}");
        }
    }
}
