//! Reads an image archive in the form of `docker save`, as this crate or an engine writes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use super::format::{self, NoConfig, SMALL_LIMIT_BYTES};
use crate::archive::{Layer, Manifest, Part, architecture};
use crate::tree::Interruptible;

/// The first bytes of every gzip file, by which a compressed layer is recognised.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The config of the image in an archive, and its layers. An engine that stores its images in containerd compresses
/// the layers in its archives. Such layers are uncompressed into the folder `scratch`.
pub(super) fn read(archive: &Path, scratch: &Path, cancel: &CancellationToken) -> io::Result<(Vec<u8>, Vec<Layer>)> {
    let (files, links) = entries(archive)?;
    let find = |name: &str| {
        let name = links.get(name).map_or(name, String::as_str);
        files.get(name).cloned().ok_or_else(|| foreign(&format!("it has no {name}")))
    };
    let manifest: Vec<Manifest> = serde_json::from_slice(&find("manifest.json")?.read(SMALL_LIMIT_BYTES)?)?;
    let [image] = manifest.as_slice() else {
        return Err(foreign(&format!("it has {} images instead of one", manifest.len())));
    };
    let config = find(&image.config)?.read(SMALL_LIMIT_BYTES)?;
    let digests = format::diff_ids(&config).map_err(|why| match why {
        NoConfig::Json(why) => foreign(&format!("its config {why}")),
        NoConfig::Architecture(found) => foreign(&format!("it is for {found}, and this machine is {}", architecture())),
    })?;
    if digests.len() != image.layers.len() {
        return Err(foreign("its config names other layers than its manifest"));
    }
    let mut layers = Vec::new();
    for (index, (digest, name)) in digests.iter().zip(&image.layers).enumerate() {
        let digest = digest.strip_prefix("sha256:").ok_or_else(|| foreign(&format!("{digest} is no SHA-256")))?;
        let mut part = find(name)?;
        let mut start = Vec::new();
        part.open()?.take(2).read_to_end(&mut start)?;
        if start == GZIP {
            let file = scratch.join(format!("layer-{index}.tar"));
            let mut unpacked = GzDecoder::new(Interruptible { inner: part.open()?, cancel });
            io::copy(&mut unpacked, &mut File::create(&file)?)?;
            part = Part::whole(&file)?;
        }
        layers.push(Layer { digest: digest.to_owned(), part });
    }
    Ok((config, layers))
}

/// The regular files of an archive by name, and the targets of its symbolic links. Docker before version 25 writes a
/// layer that occurs twice as a link to the first one.
fn entries(archive: &Path) -> io::Result<(BTreeMap<String, Part>, BTreeMap<String, String>)> {
    let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
    for entry in tar::Archive::new(File::open(archive)?).entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.to_string_lossy().into_owned();
        match entry.header().entry_type() {
            EntryType::Regular => {
                let part = Part { file: archive.to_owned(), offset: entry.raw_file_position(), bytes: entry.size() };
                files.insert(name, part);
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.map(|target| joined(&path, &target));
                links.extend(target.map(|target| (name, target)));
            }
            _ => {}
        }
    }
    Ok((files, links))
}

/// The target of a link in an archive, relative to the root of the archive.
fn joined(link: &Path, target: &Path) -> String {
    let mut at: PathBuf = link.parent().unwrap_or(Path::new("")).to_owned();
    for part in target.components() {
        match part {
            Component::ParentDir => drop(at.pop()),
            Component::Normal(name) => at.push(name),
            _ => {}
        }
    }
    at.to_string_lossy().into_owned()
}

fn foreign(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is not the archive of one image: {why}"))
}
