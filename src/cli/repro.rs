//! `parallax repro` starts a variant that failed on another machine.

use std::path::PathBuf;

use parallax_vocab::event::Exit;
use parallax_vocab::inert;

use super::args::{K3s, Repro, Up, Versions};
use super::wiring::{self, Project};
use super::{CliError, printer, standing};
use crate::bundle::{self, Bundle};
use clap::ValueEnum as _;

/// Unpacks the bundle, prints how this machine differs from the machine of the run, and runs the variant up to the
/// step that failed.
pub(super) async fn repro(verbose: u8, args: Repro) -> Result<Exit, CliError> {
    let Repro { file, variant, into, mut common } = args;
    let file = if file.is_dir() { file.join(bundle::FILE) } else { file };
    let bundle = Bundle::about(&file)?;
    let failed = match &variant {
        None => bundle.failed.first(),
        Some(name) => bundle.failed.iter().find(|it| it.variant.as_str() == name),
    };
    let all: Vec<&str> = bundle.failed.iter().map(|it| it.variant.as_str()).collect();
    let Some(failed) = failed else {
        return Err(CliError::Usage(
            inert(&format!("the bundle has no such variant; it has {}", all.join(", "))).into_owned(),
        ));
    };
    let into = into.unwrap_or_else(|| PathBuf::from(format!("repro-{}", plain(bundle.run.as_str()))));
    Bundle::unpack(&file, &into)?;
    let project = into.join(bundle::PROJECT);
    let at = failed
        .step
        .as_ref()
        .map_or_else(|| "it failed before its first step".to_owned(), |it| format!("it failed at step {it}"));
    printer::word(&inert(&format!("{} of run {}: {at}; unpacked into {}", failed.variant, bundle.run, into.display())));
    if all.len() > 1 {
        printer::word(&inert(&format!("the bundle holds {}", all.join(", "))));
    }
    if common.k3s == K3s::Auto {
        common.k3s = K3s::from_str(&bundle.k3s, false).unwrap_or_default();
    }
    if common.versions == Versions::default() {
        common.versions = Versions::from(&bundle.versions);
    }
    let loaded = Project::load(&project)?;
    let recipes = wiring::recipes_of_a_stranger(&project, common.lock)?;
    let recipes = wiring::at(recipes, &common.versions.single("repro")?)?;
    for difference in wiring::differences(&loaded, &bundle, &recipes).await? {
        printer::word(&inert(&format!("warning: {difference}")));
    }
    let up =
        Up { variant: failed.variant.to_string(), until: None, before: failed.step.clone(), seed: failed.seed, common };
    standing::up(&project, verbose, &up).await
}

/// Returns the id of a run in a form that is safe as the name of a folder. The id comes from a bundle, which may be
/// untrusted.
fn plain(run: &str) -> String {
    run.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}
