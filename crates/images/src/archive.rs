//! Image archives in the form of `docker save`, which engines and containerd can load: `manifest.json`, the config,
//! and uncompressed layers. Parallax writes image archives itself for two reasons. The engine's own build
//! (`docker build`) needs a registry for its frontend. And one archive serves both the engine and a node's image
//! folder.
//!
//! **Architecture Invariant:** equal recipes and equal layers give equal bytes.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Take, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType};
use tokio_util::sync::CancellationToken;

use super::digest::{self, Hashing};
use super::recipe::Config;
use super::tree::{Interruptible, header};

/// The largest `manifest.json` that is read. Parallax writes a few hundred bytes.
const MANIFEST_LIMIT_BYTES: u64 = 64 * 1024;

/// One image in `manifest.json` of an archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Manifest {
    /// The name of the config in the archive.
    pub(super) config: String,
    repo_tags: Vec<String>,
    /// The names of the layers in the archive, the lowest first.
    pub(super) layers: Vec<String>,
}

/// The content of an image archive.
pub(super) struct Content<'a> {
    /// The references that the image gets when the archive is loaded.
    pub(super) tags: &'a [String],
    /// How a container of the image starts, as the recipe says.
    pub(super) config: &'a Config,
    /// The name of the recipe and its hash. They become labels, which `docker image inspect` prints.
    pub(super) title: (&'a str, &'a str),
    /// The uncompressed tar files of the layers, the lowest first.
    pub(super) layers: &'a [PathBuf],
}

/// A layer of an image: its digest, and where its bytes are.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The SHA-256 of the uncompressed layer, in lower-case hexadecimal.
    pub(super) digest: String,
    /// The tar file of the layer.
    pub(super) part: Part,
}

/// A part of a file, such as a layer within an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: PathBuf,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Part {
    /// Returns the part that consists of the whole file.
    pub(super) fn whole(file: &Path) -> io::Result<Self> {
        Ok(Self { file: file.to_owned(), offset: 0, bytes: file.metadata()?.len() })
    }

    /// Opens the file for reading. The reader ends where the part ends.
    pub(super) fn open(&self) -> io::Result<Take<File>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.bytes))
    }

    /// Reads the part, unless it is larger than `limit_bytes`.
    pub(super) fn read(&self, limit_bytes: u64) -> io::Result<Vec<u8>> {
        if self.bytes > limit_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} bytes are too many", self.bytes)));
        }
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Writes an archive and returns the image's id (`sha256:…` of its config).
pub(super) fn write(content: &Content<'_>, out: impl Write, cancel: &CancellationToken) -> io::Result<String> {
    let layer = |file: &PathBuf| Ok(Layer { digest: digest::of_file(file)?, part: Part::whole(file)? });
    let layers = content.layers.iter().map(layer).collect::<io::Result<Vec<_>>>()?;
    let config = config_json(content, &layers)?;
    assemble(content.tags, &config, &layers, out, cancel)
}

/// Writes an archive of an image whose config exists already. Returns the image's id.
pub(super) fn assemble(
    tags: &[String],
    config: &[u8],
    layers: &[Layer],
    out: impl Write,
    cancel: &CancellationToken,
) -> io::Result<String> {
    let id = digest::of_bytes(config);
    let manifest = [Manifest {
        config: format!("{id}.json"),
        repo_tags: tags.to_vec(),
        layers: layers.iter().map(|layer| format!("{}.tar", layer.digest)).collect(),
    }];
    let mut tar = Builder::new(out);
    // The manifest is the first file of the archive, so that [`identity`] finds it without reading hundreds of
    // megabytes.
    append(&mut tar, "manifest.json", &serde_json::to_vec(&manifest)?)?;
    append(&mut tar, &manifest[0].config, config)?;
    for (index, (layer, name)) in layers.iter().zip(&manifest[0].layers).enumerate() {
        if !manifest[0].layers[..index].contains(name) {
            append_layer(&mut tar, name, layer, cancel)?;
        }
    }
    tar.finish()?;
    Ok(format!("sha256:{id}"))
}

/// Appends a layer to an archive. Computes the digest of the layer while it reads the layer. Returns an error if the
/// digest differs from the expected one.
pub(super) fn append_layer(
    tar: &mut Builder<impl Write>,
    name: &str,
    layer: &Layer,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let mut content = Hashing::new(Interruptible { inner: layer.part.open()?, cancel });
    tar.append_data(&mut header(EntryType::Regular, 0o644, layer.part.bytes), name, &mut content)?;
    let found = content.finish();
    if found == layer.digest {
        return Ok(());
    }
    let what = format!("layer sha256:{} in {} has the digest sha256:{found}", layer.digest, layer.part.file.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// What identifies an image in an archive: its config and its layers. Two different images never have the same
/// identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The digest of the image's config (`sha256:…`). Most engines use it as the image's id.
    pub(super) id: String,
    /// The digests of the image's layers (`sha256:…`), the lowest first.
    pub(super) layers: Vec<String>,
}

/// Reads the identity of the image in an archive that [`write()`] made.
pub(super) fn identity(archive: &Path) -> io::Result<Identity> {
    let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it is not an image archive of ours");
    let mut tar = tar::Archive::new(File::open(archive)?);
    let entry = tar.entries()?.next().ok_or_else(foreign)??;
    if entry.path()?.as_os_str() != "manifest.json" {
        return Err(foreign());
    }
    let mut json = Vec::new();
    entry.take(MANIFEST_LIMIT_BYTES).read_to_end(&mut json)?;
    let manifest: Vec<Manifest> = serde_json::from_slice(&json)?;
    let image = manifest.first().ok_or_else(foreign)?;
    let of = |file: &str, end: &str| file.strip_suffix(end).map(|it| format!("sha256:{it}")).ok_or_else(foreign);
    let layers = image.layers.iter().map(|layer| of(layer, ".tar")).collect::<io::Result<_>>()?;
    Ok(Identity { id: of(&image.config, ".json")?, layers })
}

/// Appends a small file to an archive.
pub(super) fn append(tar: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Regular, 0o644, bytes.len() as u64), name, bytes)
}

/// The image's config in the form of the OCI image specification.
fn config_json(content: &Content<'_>, layers: &[Layer]) -> io::Result<Vec<u8>> {
    let config = content.config;
    let mut labels = config.labels.clone();
    let (title, hash) = content.title;
    labels.entry("org.opencontainers.image.title".to_owned()).or_insert_with(|| title.to_owned());
    labels.insert("org.opencontainers.image.revision".to_owned(), hash.to_owned());
    let mut container = serde_json::json!({ "Labels": labels });
    let fields = [
        ("Entrypoint", some_list(&config.entrypoint)),
        ("Cmd", some_list(&config.cmd)),
        ("Env", some_list(&config.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())),
        ("WorkingDir", config.workdir.clone().map(Into::into)),
        ("User", config.user.clone().map(Into::into)),
        ("StopSignal", config.stop_signal.clone().map(Into::into)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            container[name] = value;
        }
    }
    Ok(serde_json::to_vec(&serde_json::json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": container,
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect::<Vec<_>>(),
        },
    }))?)
}

fn some_list(list: &[String]) -> Option<serde_json::Value> {
    (!list.is_empty()).then(|| list.into())
}

/// The machine's architecture, by the name that Go and image registries use: `amd64` or `arm64`.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn content<'a>(config: &'a Config, layers: &'a [PathBuf], tags: &'a [String]) -> Content<'a> {
        Content { tags, config, title: ("pause", "0123456789abcdef"), layers }
    }

    #[test]
    fn an_archive_has_the_form_that_engines_load() {
        let folder = tempfile::tempdir().expect("a folder");
        let layers: Vec<PathBuf> = ["one", "two", "one again"].iter().map(|name| folder.path().join(name)).collect();
        for (layer, text) in layers.iter().zip(["1", "22", "1"]) {
            std::fs::write(layer, text).expect("written");
        }
        let config = Config {
            entrypoint: vec!["/pause".into()],
            env: BTreeMap::from([("PATH".into(), "/bin".into())]),
            ..Config::default()
        };
        let tags = ["parallax.local/pause:0123456789abcdef".to_owned(), "rancher/mirrored-pause:3.6".to_owned()];
        let path = folder.path().join("image.tar");
        let cancel = CancellationToken::new();
        let content = content(&config, &layers, &tags);
        let written = write(&content, File::create(&path).expect("made"), &cancel).expect("written");
        assert_eq!(identity(&path).expect("ours").id, written);

        let mut archive = tar::Archive::new(File::open(&path).expect("opens"));
        let mut names = Vec::new();
        let mut texts = BTreeMap::new();
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            let name = entry.path().expect("a path").display().to_string();
            names.push(name.clone());
            texts.insert(name, text);
        }
        let (one, two) = (digest::of_bytes(b"1"), digest::of_bytes(b"22"));
        let config_name = format!("{}.json", written.trim_start_matches("sha256:"));
        let layer_names = [format!("{one}.tar"), format!("{two}.tar")];
        let expected = ["manifest.json", &config_name, &layer_names[0], &layer_names[1]];
        assert_eq!(names, expected, "a layer that occurs twice is stored once");
        let arch = architecture();
        let golden = format!(
            r#"{{"architecture":"{arch}","os":"linux","created":"1970-01-01T00:00:00Z","config":{{"Labels":{{"org.opencontainers.image.revision":"0123456789abcdef","org.opencontainers.image.title":"pause"}},"Entrypoint":["/pause"],"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{one}","sha256:{two}","sha256:{one}"]}}}}"#
        );
        assert_eq!(texts[&config_name], golden);
        assert_eq!(digest::of_bytes(golden.as_bytes()), written.trim_start_matches("sha256:"));
        let manifest = format!(
            r#"[{{"Config":"{config_name}","RepoTags":["{}","{}"],"Layers":["{one}.tar","{two}.tar","{one}.tar"]}}]"#,
            tags[0], tags[1]
        );
        assert_eq!(texts["manifest.json"], manifest);
    }

    #[test]
    fn another_file_is_not_taken_for_an_archive() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.tar");
        std::fs::write(&path, "half a download").expect("written");
        assert!(identity(&path).is_err());
    }
}
