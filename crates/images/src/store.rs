//! The calls to the engine that this crate needs. The calls are methods of a trait, so that tests can use a fake engine
//! in memory.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;

use parallax_engine::{Engine, EngineError, ImageParts, PullLimits};

/// Access to the images of the engine. The errors are the engine's messages.
pub trait ImageStore: Send + Sync {
    /// The engine's id of an image; `None` if the engine does not have the image.
    fn image_id<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<String>, String>>;

    /// The digests (`sha256:…`) under which registries store an image. The list is empty for an image that was loaded
    /// from an archive.
    fn digests<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>>;

    /// Whether the engine's image has exactly this config digest and these layer digests (`sha256:…`). If so, the
    /// engine's image is the one that was built here or that an image bundle contained, and not another image with the
    /// same name.
    fn is_built<'a>(
        &'a self,
        reference: &'a str,
        config: &'a str,
        layers: &'a [String],
    ) -> BoxFuture<'a, Result<bool, String>>;

    /// Loads an archive into the engine. The image gets the names that the archive contains.
    fn load<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Result<(), String>>;

    /// Writes an image of the engine to the file `to` as an archive.
    fn save<'a>(&'a self, reference: &'a str, to: &'a Path) -> BoxFuture<'a, Result<(), String>>;

    /// Pulls an image. If a digest is given, pulls the image with this digest, and gives it the reference as its name.
    /// The time until the registry's first answer is limited, and so is the time between two messages about progress.
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        digest: Option<&'a str>,
        progress: &'a (dyn Fn(&str) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), String>>;
}

impl ImageStore for Engine {
    fn image_id<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move { Engine::image_id(self, reference).await.map_err(reason) })
    }

    fn digests<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async move { self.image_digests(reference).await.map_err(reason) })
    }

    fn is_built<'a>(
        &'a self,
        reference: &'a str,
        config: &'a str,
        layers: &'a [String],
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let seen = self.image_parts(reference).await.map_err(reason)?;
            Ok(seen.is_some_and(|seen| is_it(&seen, &self.facts().storage_driver, (config, layers))))
        })
    }

    fn load<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.load_image(archive).await.map(drop).map_err(reason) })
    }

    fn save<'a>(&'a self, reference: &'a str, to: &'a Path) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.save_image(reference, to).await.map_err(reason) })
    }

    fn pull<'a>(
        &'a self,
        reference: &'a str,
        digest: Option<&'a str>,
        progress: &'a (dyn Fn(&str) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let limits = PullLimits::default();
            let Some(digest) = digest else {
                return self.pull_image(reference, limits, progress).await.map_err(reason);
            };
            let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, ""));
            let pinned = format!("{repository}@{digest}");
            self.pull_image(&pinned, limits, progress).await.map_err(reason)?;
            // An image that is pulled by digest has no tag. Containers and archives refer to the image by a tag, so the
            // image gets its tag here.
            self.tag_image(&pinned, repository, tag).await.map_err(reason)
        })
    }
}

/// Whether an image of the engine has this config digest and these layer digests. If the engine stores its images in
/// containerd (its storage driver is then `overlayfs`), the id of an image is not the digest of its config. So only the
/// layers are compared then.
fn is_it(seen: &ImageParts, storage_driver: &str, (config, layers): (&str, &[String])) -> bool {
    let is_containerd = storage_driver == "overlayfs";
    seen.layers == layers && (is_containerd || seen.id == config)
}

fn reason(error: EngineError) -> String {
    match error {
        EngineError::Pull { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// What the run has learned about registries. If a pull fails because no registry can be reached, the value is the
/// reason of this failure, and no other image is pulled.
#[derive(Debug, Default)]
pub struct Registries(Mutex<Option<String>>);

impl Registries {
    /// The reason why no registry is contacted any more; `None` if registries can be reached as far as is known.
    pub(super) fn out_of_reach(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a failed pull. Returns `true` at the first pull for which no registry could be reached, so that the user
    /// is warned once.
    pub(super) fn learn(&self, why: &str) -> bool {
        if registry_refused(why) {
            return false;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = known.is_none();
        known.get_or_insert_with(|| why.to_owned());
        news
    }
}

/// Whether the error of a pull means that a registry answered that it does not have the image. Any other error (no
/// network, a required password, too many requests, a full disk) does not show whether the image exists.
pub(super) fn registry_has_none(why: &str) -> bool {
    const SIGNS: [&str; 4] = ["manifest unknown", "name unknown", "repository name not known", "no matching manifest"];
    let why = why.trim().to_lowercase();
    let denied = why.contains("denied") || why.contains("unauthorized");
    !denied && (SIGNS.iter().any(|sign| why.contains(sign)) || why.ends_with(": not found"))
}

/// Whether the error of a pull came from a registry that could be reached. Then the pull of another image may still
/// succeed.
pub(super) fn registry_refused(why: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "manifest unknown",
        "not found",
        "no matching manifest",
        "denied",
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "toomanyrequests",
        "no space left",
    ];
    let why = why.to_lowercase();
    SIGNS.iter().any(|sign| why.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_that_has_no_such_image_says_so() {
        for (why, expected) in [
            ("manifest for x/a:1 not found: manifest unknown: manifest unknown", true),
            ("registry/x/a:1: not found", true),
            ("no matching manifest for linux/amd64 in the manifest list entries", true),
            ("repository name not known to registry", true),
            ("pull access denied for x/a, repository does not exist or may require 'docker login'", false),
            ("toomanyrequests: You have reached your unauthenticated pull rate limit", false),
            ("received unexpected HTTP status: 429 Too Many Requests", false),
            ("dial tcp: lookup registry: no such host", false),
            ("dial tcp 127.0.0.1:5000: connect: connection refused", false),
            ("no answer within 10 s", false),
            ("write /var/lib/docker/tmp/x: no space left on device", false),
            ("unauthorized: authentication required", false),
            ("unexpected EOF", false),
        ] {
            assert_eq!(registry_has_none(why), expected, "{why}");
        }
    }

    #[test]
    fn an_image_is_told_by_its_config_and_its_layers() {
        let layers = ["sha256:a".to_owned(), "sha256:b".to_owned()];
        let of = |id: &str, layers: &[String], driver: &str| {
            let seen = ImageParts { id: id.to_owned(), layers: layers.to_vec() };
            is_it(&seen, driver, ("sha256:config", &["sha256:a".to_owned(), "sha256:b".to_owned()]))
        };
        assert!(of("sha256:config", &layers, "overlay2"));
        assert!(!of("sha256:other", &layers, "overlay2"), "the same layers with another entry point");
        assert!(!of("sha256:config", &layers[..1], "overlay2"));
        assert!(of("sha256:manifest", &layers, "overlayfs"));
        assert!(!of("sha256:manifest", &layers[1..], "overlayfs"));
    }

    #[test]
    fn a_refusal_is_not_taken_for_a_missing_network() {
        let registries = Registries::default();
        assert!(!registries.learn("manifest for x/a:1 not found: manifest unknown"));
        assert!(!registries.learn("pull access denied for x/a, repository does not exist"));
        assert!(!registries.learn("Head \"http://x/v2/a/manifests/1\": no basic auth credentials"));
        assert_eq!(registries.out_of_reach(), None);
        assert!(registries.learn("no answer within 10 s"));
        assert!(!registries.learn("dial tcp: lookup registry: no such host"), "known by now");
        assert_eq!(registries.out_of_reach().as_deref(), Some("no answer within 10 s"));
    }
}
