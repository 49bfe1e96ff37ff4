//! The arguments that users give for a Kubernetes component, and the code that merges them with the node's defaults.

use std::fmt;
use std::str::FromStr;

/// One argument for a component, given with a flag such as `--kube-apiserver-arg`: `name=value`, or `name` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    name: String,
    value: Option<String>,
}

impl Argument {
    /// The name of the component's flag, without dashes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Argument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // k3s expects the name without dashes, but some users write the dashes. Both are accepted.
        let bare = text.trim_start_matches('-');
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (bare, None),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("`{text}` is not of the form name=value"));
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "--{}={value}", self.name),
            None => write!(f, "--{}", self.name),
        }
    }
}

/// Merges the default arguments of a component with the user's. A user's argument replaces the default of the same
/// name. If the user gives a name several times, all values are kept in order, as in k3s.
pub(crate) fn merge(defaults: &[(&str, String)], user: &[Argument]) -> Vec<String> {
    let named = |name: &str| user.iter().any(|argument| argument.name == name);
    let ours = defaults.iter().filter(|(name, _)| !named(name)).map(|(name, value)| format!("--{name}={value}"));
    ours.chain(user.iter().map(ToString::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(texts: &[&str]) -> Vec<Argument> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn the_users_value_replaces_ours() {
        let defaults = [("anonymous-auth", "false".to_owned()), ("v", "0".to_owned())];
        for (given, expected) in [
            (&[][..], &["--anonymous-auth=false", "--v=0"][..]),
            (&["anonymous-auth=true"], &["--v=0", "--anonymous-auth=true"]),
            (&["--v=4"], &["--anonymous-auth=false", "--v=4"]),
            (&["x=1", "x=2"], &["--anonymous-auth=false", "--v=0", "--x=1", "--x=2"]),
            (&["feature-gates=A=true,B=false"], &["--anonymous-auth=false", "--v=0", "--feature-gates=A=true,B=false"]),
            (&["bare"], &["--anonymous-auth=false", "--v=0", "--bare"]),
        ] {
            assert_eq!(merge(&defaults, &user(given)), expected, "{given:?}");
        }
    }

    #[test]
    fn an_argument_needs_a_name() {
        for text in ["", "--", "=x", "two words=x"] {
            assert!(text.parse::<Argument>().is_err(), "{text:?}");
        }
    }
}
