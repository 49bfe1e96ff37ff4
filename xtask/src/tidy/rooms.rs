//! Checks the boundaries between the rooms, which are the top-level modules and crates of ARCHITECTURE.md. A boundary
//! forbids names in a room.

use super::{Finding, code, has_word, is_rust, numbered};

struct Boundary {
    /// Prefixes of file paths. The boundary applies to files with these prefixes.
    within: &'static [&'static str],
    /// Prefixes of file paths. The boundary does not apply to files with these prefixes, although `within` includes
    /// them.
    except: &'static [&'static str],
    /// The names that must not occur in the files to which the boundary applies.
    words: &'static [&'static str],
    why: &'static str,
}

const BOUNDARIES: [Boundary; 10] = [
    // The Cargo manifests of these crates must not contain a dependency that allows effects, such as I/O. Then the
    // compiler ensures that the crates have no effects.
    Boundary {
        within: &[
            "crates/language/Cargo.toml",
            "crates/plan/Cargo.toml",
            "crates/judge/Cargo.toml",
            "crates/explain/Cargo.toml",
            "crates/vocab/Cargo.toml",
        ],
        except: &[],
        words: &["tokio", "kube", "testcontainers", "reqwest", "hyper", "parallax-record", "parallax-engine"],
        why: "this crate only decides and has no effects",
    },
    Boundary {
        within: &["crates/report/Cargo.toml"],
        except: &[],
        words: &["tokio", "kube", "parallax-language", "parallax-plan", "parallax-judge", "parallax-engine"],
        why: "reports are made from events and nothing else",
    },
    Boundary {
        within: &["crates/language/", "crates/plan/", "crates/judge/", "crates/explain/", "crates/vocab/"],
        except: &[],
        words: &["std::process::", "std::env::"],
        why: "this crate only decides and has no effects",
    },
    Boundary {
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
    Boundary {
        within: &["src/"],
        except: &["src/cluster/", "src/world/", "src/run/own/", "src/cli/"],
        words: &["crate::world", "detours", "Neighbour", "site.engine", "\"ctr"],
        why: "only the owner's side of a cluster knows its containers; everybody else asks `cluster::Access`",
    },
    Boundary {
        within: &["src/run/", "src/act/", "crates/judge/", "crates/explain/", "crates/probe/src/"],
        // The exceptions are the modules for the store MinIO, and the modules that call them.
        except: &[
            "crates/probe/src/minio/",
            "crates/probe/src/store.rs",
            "crates/explain/src/minio.rs",
            "crates/explain/src/store.rs",
        ],
        words: &["MinIO", "Minio", "minio::", "x-minio", "arn:minio", "MINIO_", "/minio/", "minio/health"],
        why: "what a store is beyond S3 is data of its fixture; the words of one store are in its module alone",
    },
    Boundary {
        within: &["src/", "crates/probe/", "crates/agent/"],
        // A token request is a POST, but it creates no object. The controller `balance` belongs to a fixture, and a
        // fixture may change its environment.
        except: &["src/apply/", "src/act/", "src/tokens/request.rs", "crates/agent/src/balance/"],
        words: &["PatchParams", "PostParams", "DeleteParams"],
        why: "only src/apply and src/act change a cluster",
    },
    Boundary {
        within: &["src/check/"],
        except: &[],
        words: &[
            "crate::run",
            "crate::certs",
            "crate::act",
            "parallax_engine",
            "parallax_plan",
            "parallax_language",
            "own(",
        ],
        why: "`check` needs no engine and no scenario, and uses somebody else's cluster",
    },
    Boundary {
        within: &["crates/report/"],
        except: &[],
        words: &["std::env::"],
        why: "reports are made from events and nothing else",
    },
    Boundary {
        within: &["crates/vocab/"],
        except: &[],
        words: &["std::fs::", "SystemTime::now", "Instant::now"],
        why: "this crate has no effects",
    },
];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) && !path.ends_with("/Cargo.toml") {
        return Vec::new();
    }
    let applies = |boundary: &&Boundary| {
        boundary.within.iter().any(|room| path.starts_with(room))
            && !boundary.except.iter().any(|room| path.starts_with(room))
    };
    let boundaries: Vec<&Boundary> = BOUNDARIES.iter().filter(applies).collect();
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        for boundary in &boundaries {
            if let Some(word) = boundary.words.iter().find(|word| has_word(code(line), word)) {
                findings
                    .push(Finding::new(number, format!("names `{}`: {}", word.trim_end_matches(':'), boundary.why)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_boundary_is_checked() {
        let table = [
            ("crates/plan/Cargo.toml", "tokio.workspace = true", 1),
            ("crates/record/Cargo.toml", "tokio.workspace = true", 0),
            ("crates/report/Cargo.toml", "parallax-plan.workspace = true", 1),
            ("crates/judge/src/lib.rs", "let child = std::process::Command::new(x);", 1),
            ("src/apply/mod.rs", "let client = Client::try_default().await?;", 1),
            ("src/cluster/client.rs", "let client = Client::try_from(config)?;", 0),
            ("crates/node/src/main.rs", "let client = Client::try_from(config)?;", 0),
            ("src/act/kill.rs", "let command = [\"ctr\", \"tasks\"];", 1),
            ("src/run/lives.rs", "context.site.engine().life(&name)", 1),
            ("src/run/own/mod.rs", "context.site.engine().logs(name)", 0),
            ("src/run/store.rs", "parallax_probe::minio::put_policy(view)", 1),
            ("crates/probe/src/store.rs", "minio::admin::put_policy(view)", 0),
            ("crates/explain/src/refusal.rs", "\"https://minio.example.com\"", 0),
            ("src/probe/logs.rs", "use kube::api::DeleteParams;", 1),
            ("src/act/delete.rs", "use kube::api::DeleteParams;", 0),
            ("crates/agent/src/session.rs", "use kube::api::PatchParams;", 1),
            ("crates/agent/src/balance/mod.rs", "use kube::api::PatchParams;", 0),
            ("src/check/ask.rs", "access.own(\"end a process\")", 1),
            ("src/check/ask.rs", "use crate::run::Options;", 1),
            ("src/check/ask.rs", "use crate::cluster::Access;", 0),
            ("crates/vocab/src/id.rs", "std::fs::read(x)", 1),
            ("crates/vocab/src/id.rs", "/// like std::fs::read", 0),
            ("docs/plan.md", "tokio::", 0),
        ];
        for (path, text, findings) in table {
            assert_eq!(check(path, text).len(), findings, "{path}: {text}");
        }
    }
}
