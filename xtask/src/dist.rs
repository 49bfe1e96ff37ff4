//! `cargo xtask dist` writes `parallax` as one static file, which contains the programs that image recipes need. The
//! file works without a checkout of this repository and without Rust.
//!
//! Cargo is called twice, with the same packages and thus with the same features, so that each dependency is compiled
//! once. The first call builds the programs. The second call builds `parallax`, into which the crate `images` puts
//! the programs (`PARALLAX_EMBED`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::cargo::{self, HARNESS};
use crate::folders::caches;
use crate::parts::say;

/// The folder into which the finished file `parallax` is written.
const OUT: &str = "target/dist";
/// The environment variable with the path of the folder of the compressed programs. The build script of the crate
/// `images` reads this variable.
const EMBED: &str = "PARALLAX_EMBED";
/// The commands that `cargo xtask dist` runs with the finished file in an empty folder, in this order. None of these
/// commands needs an engine.
const QUICK: [&[&str]; 6] = [&["--version"], &["--help"], &["init"], &["lint"], &["plan"], LIST];
/// The command that lists the images. Its output shows whether the finished file contains the programs that the images
/// need.
const LIST: &[&str] = &["images", "list"];
/// The command that `--verify` runs after [`QUICK`]: it runs the scenario of `parallax init`, on a source-built node.
const RUN: &[&str] = &["e2e", "--k3s", "built"];
/// The same command as [`RUN`], but it installs missing software on the machine first.
const PROVISION: &[&str] = &["e2e", "--k3s", "built", "--provision"];
/// The shell script that hides a folder. It mounts an empty file system over the folder in its first argument, changes
/// to the folder in its second argument, and runs its other arguments as a command.
const HIDDEN: &str = "mount -t tmpfs none \"$1\" && cd \"$2\" && shift 2 && exec \"$@\"";

/// The command-line arguments of `cargo xtask dist`.
#[derive(Debug, Args)]
pub(crate) struct Dist {
    /// Run the first scenario of a new project with the finished file, while this repository is hidden. Needs root, an
    /// engine, and what the images of that scenario need. The run uses the user's own cache of images.
    #[arg(long)]
    verify: bool,
    /// Before the run of --verify, install missing software on Debian or Ubuntu: the container engine and the
    /// toolchains.
    #[arg(long, requires = "verify")]
    provision: bool,
    /// Build in the developer's profile, without the long release build. The file is then large and slow, and serves
    /// only to try out this task.
    #[arg(long)]
    quick: bool,
}

/// Builds the static file `parallax` and its checksum, and tries the file.
pub(crate) fn run(dist: &Dist) -> Result<bool> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let out = Path::new(OUT);
    let packed = out.join("packed");
    if packed.exists() {
        fs::remove_dir_all(&packed).with_context(|| format!("failed to empty {}", packed.display()))?;
    }
    fs::create_dir_all(&packed).with_context(|| format!("failed to make {}", packed.display()))?;
    let profile = if dist.quick { "dev" } else { "release" };
    let recipes = recipes(Path::new("images"))?;
    for program in build(profile, &target, &programs(&recipes), None)? {
        pack(&program, &packed)?;
    }
    let packed = packed.canonicalize().context("failed to find the compressed programs")?;
    let built = build(profile, &target, &[HARNESS.to_owned()], Some(&packed))?;
    let [built] = built.as_slice() else { bail!("cargo built {} files, and not only {HARNESS}", built.len()) };

    let name = format!("{HARNESS}-{}-{target}", env!("CARGO_PKG_VERSION"));
    let file = out.join(&name);
    fs::copy(built, &file).with_context(|| format!("failed to write {}", file.display()))?;
    trial(&file, &recipes, dist.verify.then_some(if dist.provision { PROVISION } else { RUN }))?;
    let sums = printed(Command::new("sha256sum").arg(&name).current_dir(out))?;
    let list = out.join("SHA256SUMS");
    fs::write(&list, &sums).with_context(|| format!("failed to write {}", list.display()))?;
    let bytes = file.metadata().context("failed to look at the file")?.len();
    say(&format!("{}, {} MB", file.display(), bytes / 1_000_000));
    say(sums.trim_end());
    Ok(true)
}

/// The recipes that need programs of this workspace: the name of each recipe, with its programs.
type Recipes = BTreeMap<String, Vec<String>>;

/// Reads which recipes of a folder need programs of this workspace.
fn recipes(images: &Path) -> Result<Recipes> {
    let mut recipes = Recipes::new();
    for folder in fs::read_dir(images).context("failed to list the recipes")? {
        let folder = folder.context("failed to list the recipes")?;
        let recipe = folder.path().join("recipe.yaml");
        if recipe.is_file() {
            let text = fs::read_to_string(&recipe).with_context(|| format!("failed to read {}", recipe.display()))?;
            let programs: Vec<String> = text.lines().filter_map(program).map(str::to_owned).collect();
            recipes.insert(folder.file_name().to_string_lossy().into_owned(), programs);
        }
    }
    recipes.retain(|_, programs| !programs.is_empty());
    Ok(recipes)
}

/// Returns the programs of this workspace that image recipes need. `parallax` itself is left out, because the other
/// programs are embedded in it.
fn programs(recipes: &Recipes) -> Vec<String> {
    let mut programs: Vec<String> = recipes.values().flatten().filter(|it| *it != HARNESS).cloned().collect();
    programs.sort();
    programs.dedup();
    programs
}

/// Returns the program in a line of a recipe, if the line is a layer of the kind `cargo`. All recipes of this
/// repository write such a layer in one line.
fn program(line: &str) -> Option<&str> {
    let layer = line.trim_start().strip_prefix("- cargo:")?;
    let (_, program) = layer.split_once("binary: ")?;
    program.split([',', ' ', '}']).next()
}

/// Builds programs of the workspace, and returns their paths.
fn build(profile: &str, target: &str, programs: &[String], embed: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut command = cargo::cargo();
    command.args(["build", "--profile", profile, "--locked", "--target", target]);
    command.args(["--workspace", "--exclude", env!("CARGO_PKG_NAME")]);
    command.args(programs.iter().flat_map(|program| ["--bin", program]));
    match embed {
        Some(folder) => command.env(EMBED, folder),
        None => command.env_remove(EMBED),
    };
    cargo::built(&mut command)
}

/// Compresses a program into a folder. The compressed content contains neither the name nor the time of the program's
/// file, so that equal programs give equal files.
fn pack(program: &Path, folder: &Path) -> Result<()> {
    let name = program.file_name().context("a program has a name")?.to_string_lossy();
    let target = folder.join(format!("{name}.gz"));
    let file = fs::File::create(&target).with_context(|| format!("failed to write {}", target.display()))?;
    let mut gzip = Command::new("gzip");
    gzip.args(["--best", "--no-name", "--stdout"]).arg(program).stdout(file);
    ensure!(cargo::succeeds(&mut gzip)?, "gzip failed for {}", program.display());
    Ok(())
}

/// A temporary folder for the trial of the finished file. Dropping this value removes the folder.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Tries the finished program `file` in a new project. The program gets an empty home folder, and no environment
/// variables of the caller. If `run` is given, it contains the arguments of a further command, which runs the project's
/// scenario. In this case the program cannot read this repository, so it cannot use a file that only a developer has.
fn trial(file: &Path, recipes: &Recipes, run: Option<&[&str]>) -> Result<()> {
    let scratch = Scratch(std::env::temp_dir().join(format!("parallax-dist-{}", std::process::id())));
    let (project, home) = (scratch.0.join("project"), scratch.0.join("home"));
    for folder in [&scratch.0, &project, &home] {
        fs::create_dir(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    let program = scratch.0.join(file.file_name().context("the file has a name")?);
    fs::copy(file, &program).context("failed to copy the file")?;
    let repository = std::env::current_dir().context("the folder of the repository is not known")?;
    let cache = match std::env::var_os("PARALLAX_CACHE") {
        _ if run.is_none() => scratch.0.join("cache"),
        Some(set) => PathBuf::from(set),
        None => caches()?.join("parallax"),
    };
    for arguments in QUICK.iter().copied().chain(run) {
        let mut command = if run.is_some() { hidden(&repository, &project, &program) } else { Command::new(&program) };
        command.args(arguments).current_dir(&project).env_clear().env("HOME", &home).env("PARALLAX_CACHE", &cache);
        command.envs(["PATH", "DOCKER_HOST"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        say(&format!("== {HARNESS} {}", arguments.join(" ")));
        let text = printed(&mut command)?;
        if run == Some(arguments) {
            say(text.trim_end());
        }
        if arguments == LIST {
            let lacking = not_built(&text, recipes);
            ensure!(lacking.is_empty(), "the file cannot build the images {}:\n{text}", lacking.join(", "));
        }
    }
    Ok(())
}

/// Returns a command that starts a program while the repository looks like an empty folder. Only the started program
/// sees the empty folder. Other processes, such as a container engine, still see the repository. The program must be
/// outside the repository, because otherwise it could not be started.
fn hidden(repository: &Path, project: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", HIDDEN, "sh"]).args([repository, project, program]);
    command
}

/// Returns the recipes whose images have no build tag in `list`, the output of `parallax images list`. The list shows
/// the tag of an image only if the program `parallax` finds everything that the image is built from. If the format of
/// the list changes, every recipe is returned.
fn not_built<'r>(list: &str, recipes: &'r Recipes) -> Vec<&'r str> {
    let is_shown =
        |name: &str| list.split_whitespace().any(|word| word.starts_with(&format!("parallax.local/{name}:")));
    recipes.keys().map(String::as_str).filter(|name| !is_shown(name)).collect()
}

/// Returns what a successful command prints to standard output.
fn printed(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("failed to start {}", command.get_program().display()))?;
    let text = String::from_utf8(output.stdout).context("the output is not text")?;
    ensure!(output.status.success(), "{text}\n{} ended with {}", command.get_program().display(), output.status);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_contains_each_program_that_a_recipe_names() {
        for (line, named) in [
            ("  - cargo: { package: parallax-node, binary: parallax-node, to: usr/bin/k3s }", Some("parallax-node")),
            ("- cargo: { package: a, to: b, binary: c }", Some("c")),
            ("  - go: { install: x, binary: y }", None),
            ("# - cargo: { package: a, binary: c }", None),
        ] {
            assert_eq!(program(line), named, "{line}");
        }
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images");
        let all = programs(&recipes(&images).expect("read"));
        assert_eq!(all, ["parallax-agent", "parallax-client", "parallax-node", "parallax-uploads", "parallax-writer"]);
    }

    #[test]
    fn an_image_that_the_list_does_not_show_as_built_is_found() {
        let recipes = ["agent", "k3s"].map(|name| (name.to_owned(), vec!["parallax-node".to_owned()])).into();
        let agent = "agent  asks\n  published  never\n  built      parallax.local/agent:0123456789abcdef\n";
        let built = "k3s  a node\n  built      parallax.local/k3s:0123456789abcdef\n  now        not here\n";
        let missing = "k3s  a node\n  built      image k3s needs the program parallax-node, which is not there\n";
        assert_eq!(not_built(&format!("{agent}{built}"), &recipes), Vec::<&str>::new());
        assert_eq!(not_built(&format!("{agent}{missing}"), &recipes), ["k3s"]);
        assert_eq!(not_built("a list in other words\n", &recipes), ["agent", "k3s"]);
    }
}
