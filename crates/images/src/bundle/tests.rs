//! Tests of bundles: what is written, what is refused, and what is loaded into a fake engine.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::format::{self, Image};
use super::read::{self, Unread};
use super::{saved, write};
use crate::archive::{self, Layer, Part, architecture};
use crate::digest;
use crate::tree;

/// Two images that share a layer. The second one is pinned by a digest.
struct Images {
    folder: TempDir,
    images: Vec<Image>,
}

const PINNED: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";

fn config(architecture: &str, layers: &[&Layer]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|it| format!("sha256:{}", it.digest)).collect();
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": diff_ids });
    let config = serde_json::json!({ "architecture": architecture, "os": "linux", "rootfs": rootfs });
    serde_json::to_vec(&config).expect("JSON")
}

impl Images {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let layer = |name: &str, content: &str| {
            let file = folder.path().join(name);
            fs::write(&file, content).expect("written");
            Layer { digest: digest::of_bytes(content.as_bytes()), part: Part::whole(&file).expect("there") }
        };
        let (shared, own) = (layer("shared", &"shared".repeat(100)), layer("own", "own"));
        let one = Image {
            reference: "parallax.local/one:1".to_owned(),
            pinned: None,
            config: config(architecture(), &[&shared, &own]),
            layers: vec![shared.clone(), own],
        };
        let two = Image {
            reference: "x/two:2".to_owned(),
            pinned: Some(PINNED.to_owned()),
            config: config(architecture(), &[&shared]),
            layers: vec![shared],
        };
        Self { folder, images: vec![one, two] }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write::write(&self.images, &mut bytes, &CancellationToken::new()).expect("written");
        bytes
    }

    /// Reads `bytes` as a bundle. Returns the message of the refusal, or `None` if the bundle is accepted.
    fn refusal(&self, bytes: &[u8]) -> Option<String> {
        let file = self.path("bundle.tar");
        fs::write(&file, bytes).expect("written");
        match read::read(&file, &CancellationToken::new()) {
            Ok(_) => None,
            Err(Unread::Fault(fault)) => Some(fault.to_string()),
            Err(Unread::Io(error)) => panic!("{error}"),
        }
    }

    /// Writes a bundle from the field `images`, which the test has changed, and expects that it is refused. All
    /// digests and sizes are computed again, so only the changed part can be the reason of the refusal.
    #[track_caller]
    fn refused(&self, says: &str) {
        let said = self.refusal(&self.bytes()).expect("refused");
        assert!(said.contains(says), "{said}");
    }
}

/// The entries of an archive: for each, its name, the position of its header, the position of its content, and the size
/// of its content.
fn entries(bytes: &[u8]) -> Vec<(String, usize, usize, usize)> {
    let mut tar = tar::Archive::new(bytes);
    let entries = tar.entries().expect("a tar").map(|entry| {
        let entry = entry.expect("an entry");
        let at = |offset: u64| usize::try_from(offset).expect("small");
        let name = entry.path().expect("a path").display().to_string();
        (name, at(entry.raw_header_position()), at(entry.raw_file_position()), at(entry.size()))
    });
    entries.collect()
}

#[test]
fn a_bundle_is_an_oci_layout_and_equal_images_give_equal_bytes() {
    let images = Images::new();
    let bytes = images.bytes();
    assert_eq!(bytes, images.bytes());
    let names: Vec<String> = entries(&bytes).into_iter().map(|(name, ..)| name).collect();
    let [one, two] = images.images.as_slice() else { panic!("two images") };
    let blob = |content: &[u8]| format::blob(&digest::of_bytes(content));
    let layers: Vec<String> = one.layers.iter().map(|it| format::blob(&it.digest)).collect();
    let expected = [
        "oci-layout".to_owned(),
        "index.json".to_owned(),
        blob(&one.manifest()),
        blob(&one.config),
        layers[0].clone(),
        layers[1].clone(),
        blob(&two.manifest()),
        blob(&two.config),
    ];
    assert_eq!(names, expected, "a layer that two images share is stored once");
    let manifest = one.manifest();
    let golden = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:{}","size":600}},{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:{}","size":3}}],"annotations":{{"org.opencontainers.image.ref.name":"parallax.local/one:1"}}}}"#,
        digest::of_bytes(&one.config),
        one.config.len(),
        one.layers[0].digest,
        one.layers[1].digest,
    );
    assert_eq!(String::from_utf8_lossy(&manifest), golden);
    let index = String::from_utf8(format::index(&images.images)).expect("text");
    let first = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"parallax.local/one:1"}}}},"#,
        digest::of_bytes(&manifest),
        manifest.len()
    );
    assert!(index.starts_with(&first), "{index}");
    assert!(index.contains(&format!(r#""org.opencontainers.image.ref.name":"x/two:2@{PINNED}""#)), "{index}");

    fs::write(images.path("bundle.tar"), &bytes).expect("written");
    let read = read::read(&images.path("bundle.tar"), &CancellationToken::new()).expect("whole");
    assert_eq!(read.bytes, bytes.len() as u64);
    for (read, written) in read.images.iter().zip(&images.images) {
        assert_eq!((read.name(), read.manifest()), (written.name(), written.manifest()));
    }
    let shared = &read.images[1].layers[0].part;
    assert_eq!(shared.read(1000).expect("read"), "shared".repeat(100).as_bytes());
}

#[test]
fn a_bundle_in_which_any_byte_differs_is_refused() {
    let images = Images::new();
    let bytes = images.bytes();
    assert_eq!(images.refusal(&bytes), None);
    for at in 0..bytes.len() {
        // Not every byte is flipped, because that would take half a minute. The test flips each 99th of the zeros, and
        // each third of all other bytes.
        if at % if bytes[at] == 0 { 99 } else { 3 } != 0 {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(images.refusal(&flipped).is_some(), "byte {at} of {}", bytes.len());
    }
}

#[test]
fn what_is_refused_is_named_with_what_is_expected_there() {
    let images = Images::new();
    let bytes = images.bytes();
    let all = entries(&bytes);
    let layer = format::blob(&images.images[0].layers[0].digest);
    let of = |name: &str| all.iter().find(|it| it.0 == name).expect("there").clone();
    let changed = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        images.refusal(&bytes).expect("refused")
    };
    // The test changes a byte in the content of a blob.
    let (_, header, content, size) = of(&layer);
    let sha256 = &images.images[0].layers[0].digest;
    let found = digest::of_bytes(format!("sharEd{}", "shared".repeat(99)).as_bytes());
    assert_eq!(
        changed(content, b"sharEd"),
        format!("the blob {layer} is damaged: expected the digest sha256:{sha256}, found sha256:{found}")
    );
    // The test writes a header with another name, another size or another type, and a block that is not a header.
    let in_header = |change: &dyn Fn(&mut tar::Header)| {
        let mut block: [u8; 512] = bytes[header..header + 512].try_into().expect("a block");
        let mut other = tar::Header::from_byte_slice(&block).clone();
        change(&mut other);
        other.set_cksum();
        block.copy_from_slice(other.as_bytes());
        changed(header, &block)
    };
    let expected = format!("and the header of {layer:?} with {size} bytes is expected there");
    for (change, found) in [
        (
            &(|it: &mut tar::Header| it.as_mut_bytes()[..14].copy_from_slice(b"../../etc/x\0\0\0")) as &dyn Fn(&mut _),
            "\"../../etc/x\" with 600 bytes",
        ),
        (&|it: &mut tar::Header| it.as_mut_bytes()[..9].copy_from_slice(b"/etc/pw\0\0"), "\"/etc/pw\" with 600 bytes"),
        (&|it: &mut tar::Header| it.set_size(u64::MAX), "with 18446744073709551615 bytes"),
        (&|it: &mut tar::Header| it.set_entry_type(tar::EntryType::Symlink), "with 600 bytes"),
    ] {
        let said = in_header(change);
        assert!(said.starts_with(&format!("at byte {header} it has ")) && said.ends_with(&expected), "{said}");
        assert!(said.contains(found), "{said}");
    }
    let said = changed(header + 148, b"zzzzzzzz");
    assert!(said.contains("it has no header of a tar file"), "{said}");
    // The test changes a byte in a file that no digest covers, in the zeros after a file, and in the zeros at the end.
    assert!(changed(of("oci-layout").2 + 24, b"2").contains("the content of oci-layout is expected there"));
    assert!(changed(content + size, b"x").contains(&format!("only zeros after {layer} is expected")));
    assert!(changed(bytes.len() - 1, b"x").contains("only zeros after the end is expected"));
    let more = images.refusal(&[bytes.as_slice(), b"more"].concat()).expect("refused");
    assert!(more.ends_with("it has 4 more bytes, and the end of the file is expected there"), "{more}");
    // The test changes bytes in the index.
    let (_, header, content, size) = of("index.json");
    assert!(changed(content, b"[").starts_with("index.json is not one of an image bundle: "));
    let text = String::from_utf8(bytes[content..content + size].to_vec()).expect("text");
    let at = |part: &str| content + text.find(part).expect("there");
    assert!(changed(at("schemaVersion") + 15, b"3").contains("it has fields that no bundle has"));
    assert!(changed(at("index.v1") + 6, b"v2").contains("it has fields that no bundle has"));
    assert!(changed(at("sha256"), b"sha999").contains("is no SHA-256"));
    assert!(changed(at("\"size\":") + 7, b"9").contains("is expected there"));
    assert!(changed(at("\"size\":") + 7, b"99999999999").starts_with("index.json is not one"));
    assert!(changed(at("local/one"), b"total").contains("it has another name than in the index"));
    // The reader takes only the size of the index from a header, so this size needs a limit.
    let mut large = bytes.clone();
    let mut other = tar::Header::from_byte_slice(bytes[header..header + 512].try_into().expect("a block")).clone();
    other.set_size(format::SMALL_LIMIT_BYTES + 1);
    other.set_cksum();
    large[header..header + 512].copy_from_slice(other.as_bytes());
    let said = images.refusal(&large).expect("refused");
    assert_eq!(said, "index.json has 4194305 bytes, and at most 4194304 are read");
}

#[test]
fn a_bundle_that_was_cut_off_is_refused_wherever_it_ends() {
    let images = Images::new();
    let bytes = images.bytes();
    for ends in (0..bytes.len()).step_by(31) {
        let said = images.refusal(&bytes[..ends]).expect("refused");
        assert!(said.starts_with(&format!("it ends at byte {ends}, within ")), "{said}");
    }
}

#[test]
fn a_bundle_whose_parts_do_not_belong_together_is_refused() {
    let mut images = Images::new();
    images.images[0].config = config("riscv64", &[&images.images[0].layers[0], &images.images[0].layers[1]]);
    images.refused(&format!("parallax.local/one:1 is for riscv64, and this machine is {}", architecture()));
    images.images[0].config = config(architecture(), &[&images.images[0].layers[1]]);
    images.refused("it names other layers than the manifest");
    images.images[0].config = b"[]".to_vec();
    images.refused("is not one of an image bundle: ");
    images.images[0].config = vec![b' '; usize::try_from(format::SMALL_LIMIT_BYTES).expect("small") + 1];
    images.refused("has 4194305 bytes, and at most 4194304 are read");
}

#[test]
fn a_small_bundle_that_repeats_a_large_part_is_refused() {
    let mut images = Images::new();
    images.images[0].config.resize(usize::try_from(format::SMALL_LIMIT_BYTES).expect("small"), b' ');
    let same = images.images[0].clone();
    images.images = vec![same.clone(); 16];
    assert_eq!(images.refusal(&images.bytes()), None);
    images.images = vec![same; 18];
    images.refused("the sum of all repeated parts has 67");
    images.refused("and at most 67108864 are read");
}

/// Writes an archive like those of an engine, with these entries and symbolic links.
fn saved_archive(file: &Path, entries: &[(&str, &[u8])], links: &[(&str, &str)]) {
    let mut tar = tar::Builder::new(fs::File::create(file).expect("made"));
    for (name, content) in entries {
        archive::append(&mut tar, name, content).expect("appended");
    }
    for (name, target) in links {
        tar.append_link(&mut tree::header(tar::EntryType::Symlink, 0o777, 0), name, target).expect("appended");
    }
    tar.finish().expect("finished");
}

#[test]
fn the_archive_of_an_engine_gives_the_config_and_uncompressed_layers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("saved.tar");
    let (plain, sha256) = (b"the content of a layer", digest::of_bytes(b"the content of a layer"));
    let layer = Layer { digest: sha256.clone(), part: Part { file: PathBuf::new(), offset: 0, bytes: 0 } };
    let config = config(architecture(), &[&layer, &layer]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain).expect("packed");
    let packed = packed.finish().expect("packed");
    let manifest =
        |layers: &str| format!(r#"[{{"Config":"c.json","RepoTags":["x:1"],"Layers":{layers},"LayerSources":{{}}}}]"#);
    let read = |entries: &[(&str, &[u8])], links: &[(&str, &str)]| {
        saved_archive(&file, entries, links);
        saved::read(&file, folder.path(), &CancellationToken::new()).map_err(|error| error.to_string())
    };
    let twice = manifest(r#"["a/layer.tar","b/layer.tar"]"#);
    let links = [("b/layer.tar", "../a/layer.tar")];
    for content in [plain.as_slice(), &packed] {
        let entries = [("a/layer.tar", content), ("c.json", &config), ("manifest.json", twice.as_bytes())];
        let (read, layers) = read(&entries, &links).expect("read");
        assert_eq!(read, config);
        for layer in &layers {
            assert_eq!((layer.digest.as_str(), layer.part.read(100).expect("read")), (sha256.as_str(), plain.to_vec()));
        }
        assert_eq!(layers.len(), 2);
    }
    let one = manifest(r#"["a/layer.tar"]"#);
    for (manifest, says) in [
        ("[]", "it has 0 images instead of one"),
        (one.as_str(), "its config names other layers than its manifest"),
        (&manifest(r#"["a/layer.tar","../x"]"#), "it has no ../x"),
    ] {
        let said = read(&[("a/layer.tar", plain), ("c.json", &config), ("manifest.json", manifest.as_bytes())], &[]);
        let said = said.expect_err("refused");
        assert!(said.contains(says), "{said}");
    }
    let said = read(&[("manifest.json", twice.as_bytes())], &[]).expect_err("refused");
    assert!(said.contains("it has no c.json"), "{said}");

    // The config contains the digest of another layer. The difference is found when the bundle is written.
    let (config, layers) =
        read(&[("a/layer.tar", b"other"), ("c.json", &config), ("manifest.json", twice.as_bytes())], &links)
            .expect("read");
    let image = Image { reference: "x:1".to_owned(), pinned: None, config, layers };
    let said = write::write(&[image], Vec::new(), &CancellationToken::new()).expect_err("refused").to_string();
    assert!(said.contains(&format!("layer sha256:{sha256} in ")) && said.contains(" has the digest sha256:"), "{said}");
}
