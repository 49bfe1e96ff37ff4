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

const WALLS: [Wall; 7] = [
    // The compiler keeps the walls between crates, as long as their manifests say no more than this.
    Wall {
        within: &[
            "crates/language/Cargo.toml",
            "crates/plan/Cargo.toml",
            "crates/judge/Cargo.toml",
            "crates/explain/Cargo.toml",
            "crates/vocab/Cargo.toml",
        ],
        except: &[],
        words: &["tokio", "kube", "testcontainers", "reqwest", "hyper", "parallax-record", "parallax-engine"],
        why: "this crate decides and has no effects",
    },
    Wall {
        within: &["crates/report/Cargo.toml"],
        except: &[],
        words: &["tokio", "kube", "parallax-language", "parallax-plan", "parallax-judge", "parallax-engine"],
        why: "reports are made from events and nothing else",
    },
    Wall {
        within: &["crates/language/", "crates/plan/", "crates/judge/", "crates/explain/", "crates/vocab/"],
        except: &[],
        words: &["std::process::", "std::env::"],
        why: "this crate decides and has no effects",
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
        within: &["crates/report/"],
        except: &[],
        words: &["std::env::"],
        why: "reports are made from events and nothing else",
    },
    Wall {
        within: &["crates/vocab/"],
        except: &[],
        words: &["std::fs::", "SystemTime::now", "Instant::now"],
        why: "the words have no effects",
    },
];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) && !path.ends_with("/Cargo.toml") {
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
            ("crates/plan/Cargo.toml", "tokio.workspace = true", 1),
            ("crates/record/Cargo.toml", "tokio.workspace = true", 0),
            ("crates/report/Cargo.toml", "parallax-plan.workspace = true", 1),
            ("crates/judge/src/lib.rs", "let child = std::process::Command::new(x);", 1),
            ("src/apply/mod.rs", "let client = Client::try_default().await?;", 1),
            ("src/cluster/client.rs", "let client = Client::try_from(config)?;", 0),
            ("crates/node/src/main.rs", "let client = Client::try_from(config)?;", 0),
            ("src/probe/logs.rs", "use kube::api::DeleteParams;", 1),
            ("src/act/delete.rs", "use kube::api::DeleteParams;", 0),
            ("crates/vocab/src/id.rs", "std::fs::read(x)", 1),
            ("crates/vocab/src/id.rs", "/// like std::fs::read", 0),
            ("docs/plan.md", "tokio::", 0),
        ];
        for (path, text, findings) in table {
            assert_eq!(check(path, text).len(), findings, "{path}: {text}");
        }
    }
}
