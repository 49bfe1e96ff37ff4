//! Asks for the user's permission where an untrusted project could do harm. Without permission, such a project can
//! neither choose images and recipes in CI, nor run programs on this machine itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use parallax_vocab::{VariantId, Versions};

use super::Project;
use crate::cli::CliError;
use crate::cli::args::{HostPrograms, LockOf};
use crate::cli::printer::is_ci;
use parallax_images::{Lock, Recipes};
use parallax_language::scenario::HostProgram;

/// The environment variable with the folder of the objects that `shards` has made. The Job of `shards` sets it.
pub const READY_MADE: &str = "PARALLAX_READY_MADE";

/// Returns where images.lock and the recipes of a run come from: the project, or the files that Parallax ships.
pub fn recipes(project: &Path, lock: LockOf) -> Result<Recipes, CliError> {
    of(project, lock, is_ci())
}

/// Returns where images.lock and the recipes come from, for a project whose author is unknown, such as an unpacked
/// bundle. As in CI, fails if the project's own files differ from the shipped files, unless the user has chosen between
/// them with `--lock`.
pub fn recipes_of_a_stranger(project: &Path, lock: LockOf) -> Result<Recipes, CliError> {
    of(project, lock, true)
}

/// Returns the recipes with the versions that the user wants in place of the defaults. Fails if images.lock does not list
/// such a version.
pub fn at(recipes: Recipes, wanted: &Versions) -> Result<Recipes, CliError> {
    let versions = Lock::listed(&recipes)?.versions(wanted)?;
    Ok(recipes.at(versions))
}

fn of(project: &Path, lock: LockOf, is_strange: bool) -> Result<Recipes, CliError> {
    let own = Recipes::of(project.to_owned());
    match lock {
        LockOf::Shipped => Ok(Recipes::shipped()),
        LockOf::Auto if is_strange && own.are_foreign() => Err(CliError::Usage(
            "images/ of this project is not what parallax ships: it names images that run privileged, and recipes that run \
             on this machine, and it may be a stranger's; `--lock project` trusts it, `--lock shipped` leaves it out"
                .to_owned(),
        )),
        LockOf::Auto | LockOf::Project => Ok(own),
    }
}

/// Returns every program that the selected variants would run on this machine itself.
pub(super) fn host_programs(project: &Project, selected: &[VariantId]) -> BTreeSet<HostProgram> {
    let variants = project.scenarios.iter().flat_map(|loaded| loaded.variants.iter().map(move |it| (loaded, it)));
    let selected = variants.filter(|(_, variant)| selected.contains(&variant.id));
    selected.flat_map(|(loaded, variant)| loaded.host_programs(&project.library, variant)).collect()
}

/// Fails if the selected variants would run programs on this machine, and `allowed` does not permit this. Also fails if
/// the machine cannot run the programs in the permitted way.
pub fn check_host_programs(
    project: &Project,
    selected: &[VariantId],
    allowed: Option<HostPrograms>,
) -> Result<(), CliError> {
    let mut programs = host_programs(project, selected);
    if ready_made().is_some() {
        programs.retain(|it| !makes_objects(it));
    }
    if programs.is_empty() {
        return Ok(());
    }
    let refused = refusal(allowed, parallax_probe::can_run_apart);
    let list = programs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    refused.map_or(Ok(()), |why| Err(CliError::Usage(format!("{why}; nothing was started:\n  {list}"))))
}

/// Fails if `helm` or `kustomize` makes objects for the selected variants, and `allowed` does not permit this. The objects
/// are made here for a run in pods. Other programs of the variants run only in the pods.
pub(super) fn check_makers(
    project: &Project,
    selected: &[VariantId],
    allowed: Option<HostPrograms>,
) -> Result<(), CliError> {
    let programs = host_programs(project, selected);
    let makers: Vec<String> = programs.iter().filter(|it| makes_objects(it)).map(ToString::to_string).collect();
    if makers.is_empty() {
        return Ok(());
    }
    let why = match allowed {
        None => Some(
            "`shards` makes the objects of charts on this machine, as you, and gives them to the pods; allow it with `-- \
             --allow-host-programs`, or put the project and the programs into the image (--project-in-image)"
                .to_owned(),
        ),
        allowed => refusal(allowed, parallax_probe::can_run_apart),
    };
    why.map_or(Ok(()), |why| Err(CliError::Usage(format!("{why}; nothing was started:\n  {}", makers.join("\n  ")))))
}

fn makes_objects(program: &HostProgram) -> bool {
    program.of.starts_with("fixture ")
}

/// Returns the folder with the objects that `shards` has made on another machine, if this is one of its pods.
pub(super) fn ready_made() -> Option<PathBuf> {
    std::env::var_os(READY_MADE).filter(|it| !it.is_empty()).map(PathBuf::from)
}

/// Returns the reason why programs may not run on this machine. `None` if they may.
fn refusal(allowed: Option<HostPrograms>, can_run_apart: impl FnOnce() -> Result<(), String>) -> Option<String> {
    match allowed {
        None => Some(
            "programs would run on this machine itself, as you; give the vantage of a step an `image`, or allow them with \
             --allow-host-programs"
                .to_owned(),
        ),
        Some(HostPrograms::Unconfined) => None,
        Some(HostPrograms::Apart) => can_run_apart().err().map(|why| {
            format!(
                "programs on this machine cannot be kept apart from its other processes, whose environment they could then \
                 read ({why}); give their vantage an `image`, allow user namespaces (`sysctl \
                 kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu), or accept it with \
                 --allow-host-programs=unconfined"
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_on_this_machine_run_apart_or_where_somebody_accepts_that_they_cannot() {
        let of =
            |allowed, apart: Result<(), &str>| refusal(allowed, || apart.map_err(str::to_owned)).unwrap_or_default();
        assert!(of(None, Ok(())).contains("allow them with --allow-host-programs"));
        assert_eq!(of(Some(HostPrograms::Apart), Ok(())), "");
        let refused = of(Some(HostPrograms::Apart), Err("unshare: no"));
        assert!(refused.contains("(unshare: no)") && refused.contains("--allow-host-programs=unconfined"), "{refused}");
        assert_eq!(of(Some(HostPrograms::Unconfined), Err("unshare: no")), "");
    }

    #[test]
    fn in_ci_a_projects_own_images_need_a_word() {
        let home = tempfile::tempdir().expect("a folder");
        let own = Recipes::of(home.path().to_owned());
        let of = |lock, is_ci| of(home.path(), lock, is_ci).map_err(|error| error.to_string());
        assert_eq!(of(LockOf::Auto, true), Ok(own.clone()), "it has none");
        std::fs::create_dir(home.path().join("images")).expect("made");
        std::fs::write(home.path().join("images/images.lock"), "images: []").expect("written");
        assert_eq!(of(LockOf::Auto, false), Ok(own.clone()));
        assert!(of(LockOf::Auto, true).is_err_and(|error| error.contains("--lock project")));
        for is_ci in [false, true] {
            assert_eq!(of(LockOf::Project, is_ci), Ok(own.clone()));
            assert_eq!(of(LockOf::Shipped, is_ci), Ok(Recipes::shipped()));
        }
    }
}
