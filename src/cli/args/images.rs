//! The arguments of `images`.

use clap::{Args, Subcommand};

use super::{K3s, LockOf};

/// Arguments of `images`.
#[derive(Clone, Debug, Args)]
pub struct Images {
    /// What to do with them.
    #[command(subcommand)]
    pub command: ImagesCommand,
}

/// What to do with images.
#[derive(Clone, Debug, Subcommand)]
pub enum ImagesCommand {
    /// Show each image: reference, digest, recipe, and whether the engine has it.
    List,
    /// Obtain the images of all scenarios, each from the first source that has it: the engine, the cache, a registry, its
    /// recipe.
    Fetch {
        /// Which node image to use.
        #[arg(long, value_enum, default_value_t = K3s::Auto)]
        k3s: K3s,
        /// Which images.lock and recipes to use.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start what is missing, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
    /// Remove built images that no present recipe makes, from the engine and from the cache.
    ///
    /// Each change of a recipe, or of this program, makes images with new tags; the old ones stay. Images that a container
    /// uses stay, too, and so do cached files that were used in the last hour. Do not prune while another project's run
    /// begins.
    Prune {
        /// Which images.lock and recipes to use.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
    },
    /// Build images by their recipes; no registry is asked.
    Build {
        /// Names as in images/images.lock; without any, all.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Which images.lock and recipes to use.
        #[arg(long, value_enum, default_value_t = LockOf::Auto)]
        lock: LockOf,
        /// Install and start what is missing, as for `e2e`.
        #[arg(long)]
        provision: bool,
    },
}
