//! The arguments of `images`.

use clap::{Args, Subcommand};

use super::{K3s, LockOf};

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
        /// The source of images.lock and the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start missing programs, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
    /// Remove built images that no current recipe makes, from the engine and from the cache.
    ///
    /// When a recipe or this program changes, the new images get new tags, and the old images stay. Images that a
    /// container uses, and cached files that were used in the last hour, are not removed. Do not prune while a run of
    /// another project starts.
    Prune {
        /// The source of images.lock and the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
    },
    /// Build images by their recipes, without asking a registry for finished images.
    Build {
        /// The names of the images, as in images/images.lock. Without a name, all images are built.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// The source of images.lock and the recipes.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start missing programs, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
}
