//! Decides, without I/O, from which source an image comes.
//!
//! The order is: the published image in the engine, the built image in the engine or the cache, a registry, a build.
//! Sources that need no network come first. So a run needs no network if all its images are on this machine.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Which k3s images a run may use (option `--k3s`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum K3s {
    /// The published images. If they cannot be obtained, the result is an error.
    Published,
    /// The images that are built from package registries. No image registry is contacted.
    Built,
    /// The published images if they can be obtained, otherwise the built images. The report says which images were
    /// used.
    #[default]
    Auto,
}

impl FromStr for K3s {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "published" => Ok(Self::Published),
            "built" => Ok(Self::Built),
            "auto" => Ok(Self::Auto),
            _ => Err(format!("{text:?} is none of published, built, auto")),
        }
    }
}

impl fmt::Display for K3s {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Published => "published",
            Self::Built => "built",
            Self::Auto => "auto",
        })
    }
}

/// Where an image of a run came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The image was already in the engine.
    Engine,
    /// The archive of the image was already in the cache.
    Cache,
    /// The image was pulled from its registry.
    Pulled {
        /// The duration of the pull.
        took: Duration,
    },
    /// The image was built from package registries.
    Built {
        /// The duration of the build.
        took: Duration,
    },
    /// There is nothing to load, because the published form of another image contains this image. The value is the name
    /// of that other image.
    Within(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |took: &Duration| took.as_millis().div_ceil(1000);
        match self {
            Self::Engine => f.write_str("from engine"),
            Self::Cache => f.write_str("from cache"),
            Self::Pulled { took } => write!(f, "pulled in {} s", seconds(took)),
            Self::Built { took } => write!(f, "built in {} s", seconds(took)),
            Self::Within(name) => write!(f, "comes with {name}"),
        }
    }
}

/// Which forms of an image a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Only the published image may be used.
    Published,
    /// Only the image that is built from its recipe may be used.
    Built,
    /// The published image is used if it can be obtained, and otherwise the built one.
    Either,
}

/// A form in which the node's image exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The image that its publisher offers.
    Published,
    /// The image that is built from its recipe on this machine.
    Built,
}

/// Which forms of an image a run may use. `has_reference` says that the image is published; `has_recipe` says that it
/// can be built. If only one form exists, the choice of the user does not matter.
pub(super) fn rule(policy: K3s, has_reference: bool, has_recipe: bool) -> Rule {
    match (has_reference, has_recipe, policy) {
        (false, _, _) | (true, true, K3s::Built) => Rule::Built,
        (true, false, _) | (true, true, K3s::Published) => Rule::Published,
        (true, true, K3s::Auto) => Rule::Either,
    }
}

/// What is known about one image so far. It decides the next [`Move`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether the engine has the published image.
    pub(super) published: bool,
    /// Whether the image that the present recipe builds exists where the run needs it (in the engine, or as an
    /// archive).
    pub(super) built: bool,
    /// Whether this run has tried to pull the image, and failed.
    pub(super) pull_failed: bool,
}

/// What the harness does next for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    UsePublished,
    UseBuilt,
    Pull,
    Build,
    /// The image cannot be obtained in any allowed form.
    GiveUp,
}

/// Decides what the harness does next for one image.
pub(super) fn next(rule: Rule, known: Known) -> Move {
    let Known { published, built, pull_failed } = known;
    match rule {
        Rule::Published | Rule::Either if published => Move::UsePublished,
        Rule::Built | Rule::Either if built => Move::UseBuilt,
        Rule::Published | Rule::Either if !pull_failed => Move::Pull,
        Rule::Built | Rule::Either => Move::Build,
        Rule::Published => Move::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_hand_is_never_asked_of_the_network() {
        use Move::{Build, GiveUp, Pull, UseBuilt, UsePublished};
        let known = |published, built, pull_failed| Known { published, built, pull_failed };
        let table = [
            // Each row of the table has the known facts, then the expected actions for the rules `Published`, `Built`
            // and `Either`.
            (known(false, false, false), [Pull, Build, Pull]),
            (known(false, false, true), [GiveUp, Build, Build]),
            (known(false, true, false), [Pull, UseBuilt, UseBuilt]),
            (known(false, true, true), [GiveUp, UseBuilt, UseBuilt]),
            (known(true, false, false), [UsePublished, Build, UsePublished]),
            (known(true, false, true), [UsePublished, Build, UsePublished]),
            (known(true, true, false), [UsePublished, UseBuilt, UsePublished]),
            (known(true, true, true), [UsePublished, UseBuilt, UsePublished]),
        ];
        for (known, moves) in table {
            let seen = [Rule::Published, Rule::Built, Rule::Either].map(|rule| next(rule, known));
            assert_eq!(seen, moves, "{known:?}");
        }
    }

    #[test]
    fn an_image_with_one_form_has_no_choice() {
        for policy in [K3s::Published, K3s::Built, K3s::Auto] {
            assert_eq!(rule(policy, false, true), Rule::Built, "{policy}");
            assert_eq!(rule(policy, true, false), Rule::Published, "{policy}");
        }
        assert_eq!(rule(K3s::Published, true, true), Rule::Published);
        assert_eq!(rule(K3s::Built, true, true), Rule::Built);
        assert_eq!(rule(K3s::Auto, true, true), Rule::Either);
    }

    #[test]
    fn policies_read_as_they_are_written() {
        for policy in [K3s::Published, K3s::Built, K3s::Auto] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("latest".parse::<K3s>().is_err());
    }
}
