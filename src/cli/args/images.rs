//! The arguments of `images`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{K3s, LockOf, Selection, Versions};

const BUNDLE_EXAMPLES: &str = "\
Examples:
  parallax images bundle --output images.tar
  parallax images bundle presign stores/s3 -o images.tar

On the machine without a network, with the same version of Parallax:
  parallax images load images.tar
  parallax e2e";
const BUILD_EXAMPLES: &str = "\
Examples:
  parallax images build
  parallax images build agent --output archives
  docker load --input archives/agent.tar
  parallax images build k3s --k8s 1.33
  parallax images build garage --garage 2.4";
const LOAD_EXAMPLES: &str = "\
Examples:
  parallax images load images.tar
  parallax images load images.tar presign stores/s3";

/// Arguments of `images`.
#[derive(Clone, Debug, Args)]
pub struct Images {
    /// The subcommand of `images`.
    #[command(subcommand)]
    pub command: ImagesCommand,
}

/// The subcommands of `images`.
#[derive(Clone, Debug, Subcommand)]
pub enum ImagesCommand {
    /// List each image: its reference, its digest, its recipe, and whether the engine has the image.
    List,
    /// Obtain the images of all scenarios. Each image comes from the first of these sources that has it: the engine,
    /// the cache, a registry, a build by its recipe.
    Fetch {
        /// The node image to obtain.
        #[arg(long, value_enum, default_value_t = K3s::Auto)]
        k3s: K3s,
        /// The options for the versions of the images.
        #[command(flatten)]
        versions: Versions,
        /// The source of the list of images (images.lock) and of the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start missing programs, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
    /// Remove from the engine and from the cache the built images that no current recipe makes.
    ///
    /// When a recipe or this program changes, the new images get new tags, and the old images stay. Images that a
    /// container uses, and cached files that were used in the last hour, are not removed. Do not prune while a run of
    /// another project starts, because the command may remove an image that this run is about to use.
    Prune {
        /// Remove nothing. Name each image that would be removed, and the size of the cached files.
        #[arg(long)]
        dry_run: bool,
        /// The source of the list of images (images.lock) and of the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
    },
    /// Build images by their recipes, without asking a registry for finished images, and print their references.
    ///
    /// The images are archives in the cache, and a run loads them from there. With `--output`, you also get them as
    /// files for `docker load`, `kind load image-archive`, or the folder `agent/images` of a k3s node.
    #[command(after_long_help = BUILD_EXAMPLES)]
    Build {
        /// The names of the images, as in images/images.lock. Without a name, all images are built.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Copy the archive of each image to the file NAME.tar in this folder, which is made if it is missing.
        #[arg(long, short, value_name = "FOLDER")]
        output: Option<PathBuf>,
        /// The options for the versions of the images.
        #[command(flatten)]
        versions: Versions,
        /// The source of the list of images (images.lock) and of the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start missing programs, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
    /// Write the images of scenarios to one file, for a machine without a network.
    ///
    /// The file is an OCI archive (an OCI image layout in a tar file), not compressed. It contains the images that
    /// `parallax plan` names for the selected scenarios. Images that this machine does not have are obtained first,
    /// as by `images fetch`. The same images always give the same bytes. Prints the SHA-256 of the file, as
    /// `sha256sum` does.
    ///
    /// `parallax images load` loads the file on the other machine.
    #[command(after_long_help = BUNDLE_EXAMPLES)]
    Bundle {
        /// The options that select the variants whose images are bundled.
        #[command(flatten)]
        selection: Selection,
        /// The file to write. An existing file is replaced when the new one is complete.
        #[arg(short, long, value_name = "FILE", help_heading = "Options")]
        output: PathBuf,
        /// The node image to bundle.
        #[arg(long, value_enum, default_value_t = K3s::Auto, help_heading = "Options")]
        k3s: K3s,
        /// The options for the versions of the images.
        #[command(flatten)]
        versions: Versions,
        /// The source of the list of images (images.lock) and of the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto, help_heading = "Options")]
        lock: LockOf,
        /// Install and start missing programs, as for `e2e`.
        #[arg(long, help_heading = "Options")]
        provision: bool,
    },
    /// Load the images of a file that `images bundle` wrote. A run then needs no network to get these images.
    ///
    /// The whole file is verified before anything is loaded. A file that was cut off, or in which a byte differs, is
    /// refused; the message names the blob, its expected digest and its actual digest. Built images go to the cache.
    /// Images that the engine runs as containers are also loaded into the engine.
    ///
    /// The file must fit this version of Parallax and the project's images/: an image that another version or another
    /// recipe made is refused.
    #[command(after_long_help = LOAD_EXAMPLES)]
    Load {
        /// The file that `images bundle` wrote.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The scenarios that will run, as for `e2e`. If the file lacks an image that they need, nothing is loaded.
        /// Without a filter, the command loads each image of the file that a scenario of the project needs. It lists
        /// the images that the scenarios need but the file lacks.
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
        /// The options for the versions of the images.
        #[command(flatten)]
        versions: Versions,
        /// The source of the list of images (images.lock) and of the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start missing programs, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
}
