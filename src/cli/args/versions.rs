//! The arguments that choose versions of the systems under test.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use parallax_vocab::{System, Versions as Combination};

use crate::cli::CliError;

/// The options for the versions of the systems under test: one for each [`System`]. `images/images.lock` lists the
/// versions that can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<System, Vec<String>>);

impl Versions {
    /// Returns every combination of the versions that the user named, in the order of the command line. Without the
    /// options, returns one combination, of the defaults.
    pub fn combinations(&self) -> Vec<Combination> {
        let with_each = |all: Vec<Combination>, (system, named): (&System, &Vec<String>)| {
            let with = |it: &Combination| named.iter().map(|version| it.clone().with(*system, version)).collect();
            all.iter().flat_map(|it| -> Vec<Combination> { with(it) }).collect()
        };
        self.0.iter().fold(vec![Combination::default()], with_each)
    }

    /// Returns the only combination of versions. Fails if the user named several, for the command `what`.
    pub fn single(&self, what: &str) -> Result<Combination, CliError> {
        match self.combinations().as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(CliError::Usage(format!("`{what}` uses one version at a time; only `e2e` takes several"))),
        }
    }

    /// Returns the options as arguments of a command line.
    pub fn again(&self) -> Vec<String> {
        self.0.iter().flat_map(|(system, named)| [format!("--{}", system.name()), named.join(",")]).collect()
    }
}

impl From<&Combination> for Versions {
    fn from(of: &Combination) -> Self {
        Self(of.named().map(|(system, version)| (system, vec![version.to_owned()])).collect())
    }
}

// The options come from the table of systems. With a derived implementation, each system would need a field here, too.
impl Args for Versions {
    fn augment_args(command: Command) -> Command {
        System::ALL.iter().fold(command, |command, system| command.arg(option(*system)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Versions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut versions = Self::default();
        versions.update_from_arg_matches(matches)?;
        Ok(versions)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for system in System::ALL {
            if let Some(named) = matches.get_many::<String>(system.name()) {
                self.0.insert(*system, named.cloned().collect());
            }
        }
        Ok(())
    }
}

/// Returns the option for the version of a system.
fn option(system: System) -> Arg {
    let (title, example) = (system.title(), system.example());
    let help = format!("The version of {title}, for example `{example}`");
    let rule = "A part of a version is enough if it means one version. With several versions, separated by commas, `e2e` runs \
                everything at each of them";
    let option = Arg::new(system.name()).long(system.name()).value_name("VERSION").help_heading("Versions");
    option.value_delimiter(',').action(ArgAction::Append).long_help(format!("{help}. {rule}")).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(all: &[(System, &[&str])]) -> Versions {
        let named = |named: &[&str]| named.iter().map(|&it| it.to_owned()).collect();
        Versions(all.iter().map(|(system, it)| (*system, named(it))).collect())
    }

    #[test]
    fn each_version_is_combined_with_each_of_the_other_systems() {
        let (k8s, minio, rgw) = (System::K8s, System::Minio, System::Rgw);
        for (all, combinations, again) in [
            (&[][..], "the defaults", ""),
            (&[(k8s, &["1.33"][..])], "k8s 1.33", "--k8s 1.33"),
            (&[(k8s, &["1.33", "1.35"])], "k8s 1.33; k8s 1.35", "--k8s 1.33,1.35"),
            (
                &[(minio, &["a", "b"]), (k8s, &["1.33", "1.35"])],
                "k8s 1.33, minio a; k8s 1.33, minio b; k8s 1.35, minio a; k8s 1.35, minio b",
                "--k8s 1.33,1.35 --minio a,b",
            ),
            (&[(rgw, &["16", "18"]), (minio, &["a"])], "minio a, rgw 16; minio a, rgw 18", "--minio a --rgw 16,18"),
        ] {
            let versions = versions(all);
            let words = versions.combinations().iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((words.join("; ").as_str(), versions.again().join(" ").as_str()), (combinations, again));
        }
        let several = versions(&[(k8s, &["1", "2"])]);
        assert!(several.single("up").is_err_and(|error| error.to_string().contains("only `e2e` takes several")));
    }

    #[test]
    fn each_system_has_an_option_whose_value_becomes_its_version() {
        for system in System::ALL {
            let command = Versions::augment_args(Command::new("x"));
            let line = ["x".to_owned(), format!("--{}", system.name()), "1,2".to_owned()];
            let matches = command.try_get_matches_from(line).expect("a command line");
            let seen = Versions::from_arg_matches(&matches).expect("read");
            assert_eq!(seen, versions(&[(*system, &["1", "2"])]));
        }
    }
}
