//! The functions behind the commands that build images and that bundle them.

use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use parallax_vocab::VariantId;
use tokio_util::sync::CancellationToken;

use super::Project;
use super::machine::{connected, failed, own_programs, policy};
use super::project::planned;
use crate::cli::CliError;
use crate::cli::args::K3s;
use crate::run::{self, Machine, OnRequest};
use parallax_images::{Cache, Here, Lock, Recipes, Want};
use parallax_plan::Plan;
use parallax_record::Sink;

/// Three values: a project, the variants whose images the bundle contains, and the recipes of these images.
type Of<'a> = (&'a Project, &'a [VariantId], &'a Recipes);

/// Obtains the images that the variants need, and writes them to the file `out`. Returns the names of the images and
/// the digest of the file as text.
pub async fn images_bundle(
    (project, selected, recipes): Of<'_>,
    (k3s, provision): (K3s, bool),
    out: &Path,
    sink: Sink,
    cancel: CancellationToken,
) -> Result<String, CliError> {
    // Obtaining the images may take long, so an output path that cannot be written is reported first.
    let folder = out.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if out.is_dir() || !folder.is_dir() {
        let what = if out.is_dir() { "it is a folder" } else { "its folder does not exist" };
        return Err(CliError::Usage(format!("{} cannot be written: {what}", out.display())));
    }
    let plan = planned(project, &selected.iter().cloned().collect())?;
    let machine = Machine::find(&sink, provision).await.map_err(|error| failed(&error.failure()))?;
    let with = (policy(k3s), &machine.engine, provision);
    let obtained = run::fetch(recipes, with, (&plan, archives), OnRequest::Build, &sink, cancel.clone()).await?;
    let cache = Cache::open()?;
    let lock = Lock::of(recipes, &cache)?;
    let bundled = parallax_images::bundle(&lock, &cache, &obtained, out, &sink, cancel).await?;
    let text = bundled.images.iter().fold(String::new(), |mut text, (name, reference)| {
        let _ = writeln!(text, "{name:<18}  {reference}");
        text
    });
    let (count, megabytes) = (bundled.images.len(), bundled.bytes.div_ceil(1_000_000));
    Ok(format!("{text}{count} images, {megabytes} MB\n{}  {}\n", bundled.sha256, out.display()))
}

/// Builds the images `names` from their recipes. If `output` is set, copies the archives of the images into this
/// folder. Returns a text with the reference and the file of each image. `root` is the folder of the project.
pub async fn images_build(
    (root, recipes): (&Path, Recipes),
    (names, output): (Vec<String>, Option<PathBuf>),
    provision: bool,
    sink: Sink,
    cancel: CancellationToken,
) -> Result<String, CliError> {
    // The builds may take long, so a folder that cannot be used is reported first.
    if let Some(folder) = &output {
        refuse_recipes(root, folder)?;
        std::fs::create_dir_all(folder).map_err(CliError::file("create", folder))?;
    }
    let machine = Machine::find(&sink, provision).await.map_err(|error| failed(&error.failure()))?;
    let built = run::build_images(&recipes, &names, &machine, provision, &sink, cancel.clone()).await?;
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        // An interrupted command copies no further archive. Its exit code says that it was interrupted.
        for image in built.values().take_while(|_| !cancel.is_cancelled()) {
            let _ = write!(text, "{:<18}  {}", image.name, image.reference);
            if let Some((folder, archive)) = output.as_ref().zip(image.archive.as_ref()) {
                let file = folder.join(format!("{}.tar", image.name));
                copied(archive, &file).map_err(CliError::file("write", &file))?;
                let _ = write!(text, "  {}", file.display());
            }
            text.push('\n');
        }
        Ok(text)
    })
    .await
    .unwrap_or_else(|crash| std::panic::resume_unwind(crash.into_panic()))
}

/// Fails if `folder`, into which archives will be copied, is the folder of the project's recipes or is inside it. The
/// next command would count an archive in this folder as a change of the recipes.
fn refuse_recipes(root: &Path, folder: &Path) -> Result<(), CliError> {
    let absolute = |it: &Path| std::path::absolute(it).map_err(CliError::file("find", it));
    if absolute(folder)?.starts_with(absolute(&root.join("images"))?) {
        let what = "the folder images/ of a project is for images.lock and recipes; choose another folder";
        return Err(CliError::Usage(format!("--output {}: {what}", folder.display())));
    }
    Ok(())
}

/// Copies a file. The copy gets its name only when it is complete. So an incomplete copy is never mistaken for an
/// image. If the copying fails, the incomplete copy is removed.
fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(folder)?;
    std::io::copy(&mut File::open(from)?, &mut part)?;
    part.persist(to).map(drop).map_err(|error| error.error)
}

/// Returns the images that a plan needs. Each image is needed as an archive, because an image bundle contains the
/// content of these archives.
fn archives(plan: &Plan) -> Vec<Want> {
    run::wants(plan).into_iter().map(|want| Want { engine: false, archive: true, ..want }).collect()
}

/// Loads the images of a bundle that the variants need. With `all`, fails if the bundle lacks one of these images.
/// Returns a text that says how many images were loaded.
pub async fn images_load(
    (project, selected, recipes): Of<'_>,
    (file, all): (&Path, bool),
    provision: bool,
    sink: Sink,
    cancel: CancellationToken,
) -> Result<String, CliError> {
    let plan = planned(project, &selected.iter().cloned().collect())?;
    let engine = connected(&sink, provision).await?;
    let cache = Cache::open()?;
    let lock = Lock::of(recipes, &cache)?;
    let binaries = own_programs()?;
    let here = Here { lock: &lock, binaries: &binaries, cache: &cache, store: &engine };
    let loaded = parallax_images::load(&here, file, &run::wants(&plan), all, &sink, cancel).await?;
    for reference in &loaded.unused {
        sink.note(format!("{reference} was not loaded: no scenario chosen needs it"));
    }
    if !loaded.lacking.is_empty() {
        let lacking = loaded.lacking.join(", ");
        sink.note(format!(
            "the bundle is not for all scenarios: a scenario that needs one of {lacking} needs a network"
        ));
    }
    Ok(format!("{} images loaded from {}\n", loaded.images.len(), file.display()))
}
