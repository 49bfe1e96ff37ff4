//! Prints the output and the messages of commands. Data goes to standard output, and messages go to standard error.

use std::io::{IsTerminal as _, Write as _};

use parallax_vocab::inert;

use parallax_record::by_form;

/// Prints data unchanged to standard output. A closed pipe is not an error, so that `parallax list | head` ends without
/// a message.
pub fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints one message to standard error.
pub fn word(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints why the command failed. The text is redacted and its control characters are escaped, because the text may
/// quote the output of other programs or an address with a password.
pub fn error(text: &str) {
    word(&format!("error: {}", inert(&by_form(text))));
}

/// Whether standard output may have colours. It must be a terminal that supports colours, and `NO_COLOR` must not be
/// set (no-color.org).
pub fn colour_wanted() -> bool {
    colour(std::io::stdout().is_terminal(), &|name| std::env::var(name).ok())
}

fn colour(is_terminal: bool, env: &dyn Fn(&str) -> Option<String>) -> bool {
    is_terminal && env("NO_COLOR").is_none_or(|value| value.is_empty()) && env("TERM").is_none_or(|term| term != "dumb")
}

/// Whether this process runs in CI. In CI, the output is plain lines even on a terminal.
pub(in crate::cli) fn is_ci() -> bool {
    is_set(&|name| std::env::var(name).ok(), "CI")
}

/// Whether the output may become part of a CI log in which the CI service searches for commands and executes them, as
/// GitHub's runner does.
pub(in crate::cli) fn acts_on_commands() -> bool {
    of_ci(&|name| std::env::var(name).ok())
}

fn of_ci(env: &dyn Fn(&str) -> Option<String>) -> bool {
    is_set(env, "CI") || is_set(env, "GITHUB_ACTIONS")
}

fn is_set(env: &dyn Fn(&str) -> Option<String>, name: &str) -> bool {
    env(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::{colour, of_ci};

    #[test]
    fn in_ci_the_log_acts_on_what_is_printed() {
        for (set, acts) in [
            (&[][..], false),
            (&[("CI", "true")], true),
            (&[("CI", "false")], false),
            (&[("GITHUB_ACTIONS", "true")], true),
            (&[("CI", ""), ("GITHUB_ACTIONS", "true")], true),
        ] {
            let env = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(of_ci(&env), acts, "{set:?}");
        }
    }

    #[test]
    fn colours_only_on_a_terminal_that_wants_them() {
        type Row = (bool, &'static [(&'static str, &'static str)], bool);
        let table: [Row; 6] = [
            (true, &[], true),
            (false, &[], false),
            (true, &[("NO_COLOR", "1")], false),
            (true, &[("NO_COLOR", "")], true),
            (true, &[("TERM", "dumb")], false),
            (true, &[("TERM", "xterm")], true),
        ];
        for (is_terminal, set, expected) in table {
            let env = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(colour(is_terminal, &env), expected, "{is_terminal} {set:?}");
        }
    }
}
