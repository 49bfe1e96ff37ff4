//! The arguments that select variants.

use std::str::FromStr;

use clap::{Args, ValueEnum};

/// The options that select scenarios and breaks, for `e2e`, `list` and `plan`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// The scenarios to select: by name (`presigned-url`), by path (`presign`, `presign/presigned-url`, or the path of
    /// the file), or by pattern (`presign/*`). `presign/presigned-url+no-rewrite` selects one break. Without any,
    /// everything is selected.
    ///
    /// Some images take many minutes to build (`on-request` in images.lock). A run without a filter, a label, a store
    /// or `--failed` does not build these images: it skips each scenario that needs such an image, unless the image
    /// is already built.
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Select only scenarios with this label. `!LABEL` excludes the scenarios with the label. If the option is
    /// repeated, a scenario needs one of the labels, and must have none of the excluded labels.
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Select only variants that use one of these stores. A store is named by its fixture, for example
    /// `seaweedfs,versitygw`. A scenario that compares stores runs with all of its stores.
    #[arg(long, value_name = "STORE", value_delimiter = ',')]
    pub stores: Vec<String>,
    /// Select only the breaks with this name (or pattern) of the chosen scenarios. Can be repeated.
    #[arg(long = "break", value_name = "NAME", conflicts_with = "breaks")]
    pub only_breaks: Vec<String>,
    /// Which breaks to run in addition to the baselines.
    ///
    /// `changed` leaves out the breaks of a scenario if there is evidence that nothing has changed since these breaks
    /// last failed as the scenario declares. There are two kinds of evidence.
    ///
    /// The first is the last run on this machine: the scenario's folder, its fixtures, the recipes of its images and
    /// their entries in images.lock, the program `parallax` and the value of `--k3s` have the same digest as in that
    /// run.
    ///
    /// The second is git: no file of the scenario, of its fixtures, of images/ or of the program `parallax` differs
    /// between the working tree and the commit at which the branch left origin/main or main. On main itself, git is
    /// no evidence.
    ///
    /// A break that was red in its last run counts as changed. A break without evidence is run. With a chosen
    /// version of a system (`--k8s`, `--minio` and so on), every break is run. The run reports the breaks that it leaves
    /// out.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Breaks::All)]
    pub breaks: Breaks,
    /// Select only variants that were red in the last run: they failed, ended with an error, or did not run. The record
    /// of the last run is read from target/e2e/latest, or from `--out`. `e2e` runs them at the versions of that run, if
    /// it had one version of each system and no version is chosen.
    #[arg(long)]
    pub failed: bool,
    /// Select only one part of the chosen variants, for example `2/3`, the second of three parts. Each machine of a CI
    /// job runs one part, and `parallax merge` makes one report of the records.
    ///
    /// The parts have about the same expected duration. All variants of a scenario are in one part, because its breaks
    /// are compared with its baseline. The parts depend only on the project's files and on the other options, so all
    /// machines compute the same parts.
    #[arg(long, value_name = "K/N", conflicts_with = "failed")]
    pub shard: Option<Shard>,
}

impl Selection {
    /// Whether the user named what to run, by filters, labels or stores, or by `--failed`. A label with `!` does not
    /// count, because it only excludes scenarios.
    pub fn is_named(&self) -> bool {
        let labels = self.labels.iter().any(|it| !it.starts_with('!'));
        !self.filters.is_empty() || labels || !self.stores.is_empty() || self.failed
    }
}

/// Which breaks are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Breaks {
    /// No breaks: baselines only.
    None,
    /// The breaks of scenarios that changed since their breaks last failed as the scenario declares.
    Changed,
    /// All breaks.
    #[default]
    All,
}

/// One part of the chosen variants, for a run that is divided among machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of the part, counted from 1.
    pub number: u16,
    /// The total number of parts.
    pub of: u16,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) && of <= 256 => Ok(Self { number, of }),
            _ => Err("write it as K/N, for example 2/3: the second of three parts, of at most 256".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_number_and_how_many_there_are() {
        assert_eq!("2/3".parse(), Ok(Shard { number: 2, of: 3 }));
        for wrong in ["0/3", "4/3", "3", "a/b", "1/0", "1/257", "-1/3", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
