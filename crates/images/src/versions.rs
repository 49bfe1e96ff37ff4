//! Chooses the version of an image: `images.lock` lists versions of some images, and a user asks for one of them by a
//! prefix of its name.

use super::error::ImageError;
use super::lock::{Entry, Lock};
use parallax_vocab::{System, Versions};

impl Lock {
    /// This list with the given versions in place of the defaults.
    pub(crate) fn at(mut self, versions: &Versions) -> Result<Self, ImageError> {
        for (system, wanted) in versions.named() {
            self.pick(system.image(), wanted)?;
        }
        Ok(self)
    }

    /// The whole names of the versions that `wanted` means. Its texts may be prefixes.
    pub fn versions(&self, wanted: &Versions) -> Result<Versions, ImageError> {
        let whole = |(system, wanted): (System, &str)| Ok((system, self.meant(system.image(), wanted)?.to_owned()));
        wanted.named().map(whole).collect()
    }

    /// The names of those chosen images that have no recipe, so that only a registry has them.
    pub fn only_published<'a>(&'a self, versions: &'a Versions) -> impl Iterator<Item = &'static str> + 'a {
        let chosen = versions.named().map(|(system, _)| system.image());
        chosen.filter(|name| self.entry(name).is_ok_and(|entry| entry.recipe.is_none()))
    }

    /// Puts the version `wanted` of an image into the place of its present version.
    fn pick(&mut self, name: &str, wanted: &str) -> Result<(), ImageError> {
        let meant = self.meant(name, wanted)?.to_owned();
        let is_meant = |entry: &&mut Entry| entry.name.value == name && entry.named_version() == Some(&meant);
        let present = self.images.iter_mut().find(|entry| entry.name.value == name);
        if let (Some(present), Some(other)) = (present, self.others.iter_mut().find(is_meant)) {
            std::mem::swap(present, other);
        }
        // A user who names a version asks for the image, so no further filter is needed.
        if let Some(chosen) = self.images.iter_mut().find(|entry| entry.name.value == name) {
            chosen.on_request = false;
        }
        Ok(())
    }

    /// The versions of an image that a user can choose. The first is the present one, if that has a name.
    pub fn offered(&self, name: &str) -> Vec<&str> {
        let of_image = |entry: &&Entry| entry.name.value == name;
        self.images.iter().chain(&self.others).filter(of_image).filter_map(Entry::named_version).collect()
    }

    /// The version of an image that `wanted` means.
    fn meant(&self, name: &str, wanted: &str) -> Result<&str, ImageError> {
        let known = self.offered(name);
        match meant(wanted, &known).as_slice() {
            [one] => Ok(one),
            several => Err(ImageError::NoVersion {
                image: name.to_owned(),
                wanted: wanted.to_owned(),
                several: several.iter().map(|&it| it.to_owned()).collect(),
                known: known.into_iter().map(str::to_owned).collect(),
            }),
        }
    }
}

/// The versions in `known` that `wanted` means: the version of this name, or else those of which it is a prefix.
fn meant<'a>(wanted: &str, known: &[&'a str]) -> Vec<&'a str> {
    let wanted = bare(wanted);
    let exact = known.iter().filter(|it| bare(it) == wanted);
    let exact: Vec<&str> = exact.copied().collect();
    if !exact.is_empty() || wanted.is_empty() {
        return exact;
    }
    // A number ends where the prefix ends. Otherwise `1.33.1` would mean 1.33.13, which is another version.
    let is_whole = |rest: &str| !(wanted.ends_with(digit) && rest.starts_with(digit));
    known.iter().copied().filter(|it| bare(it).strip_prefix(wanted).is_some_and(is_whole)).collect()
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// A version without what its project writes before each version: `v1.33.13`, `RELEASE.2025-09-07T16-13-09Z`.
fn bare(version: &str) -> &str {
    let without = version.strip_prefix("RELEASE.").unwrap_or(version);
    without.strip_prefix('v').filter(|it| it.starts_with(digit)).unwrap_or(without)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::embedded::Recipes;
    use super::super::lock::NODE;
    use super::*;

    #[test]
    fn a_prefix_means_one_version_and_ends_where_a_number_ends() {
        let k8s = ["1.34.4", "1.33.13", "1.35.4", "1.35.14"];
        let minio = ["RELEASE.2025-09-07T16-13-09Z", "RELEASE.2025-04-22T22-12-26Z", "RELEASE.2026-02-12T20-18-48Z"];
        for (known, wanted, expected) in [
            (&k8s[..], "1.33.13", &["1.33.13"][..]),
            (&k8s, "v1.33.13", &["1.33.13"]),
            (&k8s, "1.33", &["1.33.13"]),
            (&k8s, "v1.33", &["1.33.13"]),
            (&k8s, "1.34.", &["1.34.4"]),
            (&k8s, "1.35", &["1.35.4", "1.35.14"]),
            (&k8s, "1", &k8s),
            (&k8s, "1.3", &[]),
            (&k8s, "1.33.1", &[]),
            (&k8s, "1.35.4", &["1.35.4"]),
            (&k8s, "1.32", &[]),
            (&k8s, "", &[]),
            (&k8s, "v", &[]),
            (&minio, "RELEASE.2025-09-07T16-13-09Z", &minio[..1]),
            (&minio, "2025-09-07", &minio[..1]),
            (&minio, "RELEASE.2026", &minio[2..]),
            (&minio, "2025", &minio[..2]),
            (&minio, "RELEASE.", &[]),
            (&[], "1.33", &[]),
        ] {
            assert_eq!(meant(wanted, known), expected, "{wanted}");
        }
    }

    const LOCK: &str = "
images:
  - name: k3s
    for: the node
    reference: x/k3s:1.34
    recipe: node
    version: 1.34.4
    versions:
      - { version: 1.33.13, reference: 'x/k3s:1.33', digest: null, recipe: node-1.33 }
      - { version: 1.35.4, reference: 'x/k3s:1.35' }
  - { name: minio, for: the store, recipe: minio }
";

    fn lock() -> Lock {
        Lock::parse(Path::new("images"), LOCK).expect("valid")
    }

    fn k8s(version: &str) -> Versions {
        Versions::default().with(System::K8s, version)
    }

    #[test]
    fn the_chosen_version_takes_the_place_of_the_default_and_the_default_stays_known() {
        let published = |lock: &Lock| lock.entry(NODE).expect("listed").published().map(str::to_owned);
        let others =
            |lock: &Lock| lock.others.iter().map(|it| it.named_version().unwrap_or_default().to_owned()).collect();
        for (wanted, expected, rest) in [
            (Versions::default(), "x/k3s:1.34", ["1.33.13", "1.35.4"]),
            (k8s("1.34"), "x/k3s:1.34", ["1.33.13", "1.35.4"]),
            (k8s("1.33"), "x/k3s:1.33", ["1.34.4", "1.35.4"]),
            (k8s("1.35"), "x/k3s:1.35", ["1.33.13", "1.34.4"]),
        ] {
            let lock = lock().at(&wanted).expect("known");
            assert_eq!(published(&lock).as_deref(), Some(expected), "{wanted}");
            let seen: Vec<String> = others(&lock);
            assert_eq!(seen, rest, "{wanted}");
            let only: Vec<&str> = lock.only_published(&wanted).collect();
            assert_eq!(only.contains(&NODE), wanted == k8s("1.35"), "{wanted}");
        }
        assert_eq!(lock().versions(&k8s("1.33")).expect("known"), k8s("1.33.13"));
    }

    #[test]
    fn an_image_whose_version_is_chosen_is_built_without_a_further_request() {
        let text = "images:\n  - { name: garage, for: x, recipe: a, on-request: true, version: 2.5.0, versions: [{ version: 2.4.0, \
                    recipe: b }] }";
        let lock = || Lock::parse(Path::new("images"), text).expect("valid");
        let garage = |version: &str| Versions::default().with(System::Garage, version);
        for (wanted, recipe, on_request) in
            [(Versions::default(), "a", true), (garage("2.5"), "a", false), (garage("2.4"), "b", false)]
        {
            let lock = lock().at(&wanted).expect("known");
            let entry = lock.entry("garage").expect("listed");
            let seen = entry.recipe.as_ref().map(|it| it.value.as_str());
            assert_eq!((seen, entry.on_request), (Some(recipe), on_request), "{wanted}");
        }
    }

    #[test]
    fn the_shipped_list_has_two_versions_of_each_system() {
        let lock = Lock::listed(&Recipes::shipped()).expect("valid");
        for system in System::ALL {
            assert!(lock.offered(system.image()).len() >= 2, "{system:?}");
        }
    }

    #[test]
    fn an_unknown_version_is_answered_with_those_that_exist() {
        let message = |wanted: &Versions| lock().versions(wanted).expect_err("refused").to_string();
        assert_eq!(
            message(&k8s("1.30")),
            "images.lock has no version \"1.30\" of image k3s; it has 1.34.4, 1.33.13, 1.35.4"
        );
        assert_eq!(message(&k8s("1")), "\"1\" can be several versions of image k3s: 1.34.4, 1.33.13, 1.35.4");
        let minio = Versions::default().with(System::Minio, "2025");
        assert_eq!(message(&minio), "images.lock names no versions of image minio, so \"2025\" cannot be chosen");
        assert!(lock().versions(&k8s("1.30")).expect_err("refused").is_usage());
    }
}
