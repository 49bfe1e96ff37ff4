//! Compares several logs of one request. Each log is from another program on the way from the client to the store. The
//! comparison shows between which two programs the request was changed.

use super::{Compared, Line};

/// Returns one line for each difference. The line says between which two logs the difference appeared. The logs are
/// numbered from 1, in the order from the client to the store.
pub fn between(all: &[Compared]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, here) in all.iter().enumerate().skip(1) {
        let number = index + 1;
        for part in &here.differs {
            if all[..index].iter().any(|it| it.differs.contains(part)) {
                continue;
            }
            let kind = part.split(' ').next().unwrap_or_default();
            let kind = if kind == "port" { "host" } else { kind };
            let shown = |it: &Compared| !it.hidden.iter().any(|hidden| hidden.trim_end_matches('s') == kind);
            let last = all[..index].iter().rposition(shown);
            lines.push((
                "where",
                match last {
                    Some(last) => format!(
                        "{part}: as it was signed in {}, and not in {number}: what is between these two changes it",
                        last + 1
                    ),
                    None => format!("{part}: no earlier log shows it, so anything before {number} can have changed it"),
                },
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lies_behind_the_last_log_that_shows_it_as_it_was_signed() {
        let log = |differs: &[&str], hidden: &[&'static str]| Compared {
            differs: differs.iter().map(|it| (*it).to_owned()).collect(),
            hidden: hidden.to_vec(),
            ..Compared::default()
        };
        for (logs, says) in [
            (vec![log(&[], &[]), log(&["host"], &[])], vec!["host: as it was signed in 1, and not in 2"]),
            (
                vec![log(&[], &[]), log(&[], &["host"]), log(&["port"], &[])],
                vec!["port: as it was signed in 1, and not in 3"],
            ),
            (
                vec![log(&[], &["host", "headers"]), log(&["host", "header range"], &[])],
                vec!["host: no earlier log", "header range: no earlier log"],
            ),
            (
                vec![log(&["path"], &[]), log(&["path", "query"], &[])],
                vec!["query: as it was signed in 1, and not in 2"],
            ),
            (vec![log(&["path"], &[])], vec![]),
            (vec![], vec![]),
        ] {
            let lines = between(&logs);
            assert_eq!(lines.len(), says.len(), "{lines:?}");
            assert!(lines.iter().zip(&says).all(|((_, line), says)| line.starts_with(says)), "{lines:?}");
        }
    }
}
