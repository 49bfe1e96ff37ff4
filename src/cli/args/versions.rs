//! The arguments that choose versions of the systems under test.

use clap::Args;
use parallax_vocab::Versions as Combination;

use crate::cli::CliError;

/// The options for the versions of the systems under test. `images/images.lock` lists the versions that can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Versions {
    /// The version of Kubernetes of the clusters that the run starts, for example `1.33`. A part of a version is enough
    /// if it means one version. With several versions (`1.33,1.34`), `e2e` runs everything at each of them.
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub k8s: Vec<String>,
    /// The version of MinIO, for example `2025-09-07`. A part of a version is enough if it means one version. With
    /// several versions, `e2e` runs everything at each of them.
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub minio: Vec<String>,
}

impl Versions {
    /// Returns every combination of the versions that the user named, in the order of the command line. Without the
    /// options, returns one combination, of the defaults.
    pub fn combinations(&self) -> Vec<Combination> {
        let each = |named: &[String]| {
            if named.is_empty() { vec![None] } else { named.iter().cloned().map(Some).collect::<Vec<_>>() }
        };
        let all = each(&self.k8s)
            .into_iter()
            .flat_map(|k8s| each(&self.minio).into_iter().map(move |minio| Combination { k8s: k8s.clone(), minio }));
        all.collect()
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
        let all = [("--k8s", &self.k8s), ("--minio", &self.minio)];
        let given = all.into_iter().filter(|(_, named)| !named.is_empty());
        given.flat_map(|(option, named)| [option.to_owned(), named.join(",")]).collect()
    }
}

impl From<&Combination> for Versions {
    fn from(of: &Combination) -> Self {
        let list = |version: &Option<String>| version.iter().cloned().collect();
        Self { k8s: list(&of.k8s), minio: list(&of.minio) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_combined_with_each_of_the_other_system() {
        let of = |k8s: &[&str], minio: &[&str]| {
            let [k8s, minio] = [k8s, minio].map(|it| it.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
            let versions = Versions { k8s, minio };
            let words = versions.combinations().iter().map(ToString::to_string).collect::<Vec<_>>();
            (words.join("; "), versions.again().join(" "))
        };
        for (k8s, minio, combinations, again) in [
            (&[][..], &[][..], "the defaults", ""),
            (&["1.33"], &[], "k8s 1.33", "--k8s 1.33"),
            (&["1.33", "1.35"], &[], "k8s 1.33; k8s 1.35", "--k8s 1.33,1.35"),
            (
                &["1.33", "1.35"],
                &["a", "b"],
                "k8s 1.33, minio a; k8s 1.33, minio b; k8s 1.35, minio a; k8s 1.35, minio b",
                "--k8s 1.33,1.35 --minio a,b",
            ),
        ] {
            assert_eq!(of(k8s, minio), (combinations.to_owned(), again.to_owned()));
        }
        let several = Versions { k8s: vec!["1".to_owned(), "2".to_owned()], minio: Vec::new() };
        assert!(several.single("up").is_err_and(|error| error.to_string().contains("only `e2e` takes several")));
    }
}
