//! Finds the static programs of this workspace, which become layers of images. They are built before `parallax` runs.
//!
//! After `cargo build`, these programs are in the folder of the program `parallax`. `cargo xtask dist` makes a program
//! `parallax` that contains the other programs in compressed form. A user needs only this one file: each program is
//! unpacked into the cache at its first use.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::cache::Cache;
use super::digest;
use super::entry;
use super::error::ImageError;

// The included file defines the constant `INSIDE`: the programs that are embedded in the running program. `build.rs`
// writes this file.
include!(concat!(env!("OUT_DIR"), "/inside.rs"));

/// The name, in recipes, of the program that contains the other programs.
const CONTAINER: &str = "parallax";

/// A program that is embedded in the running program.
#[derive(Clone, Copy, Debug)]
struct Packed {
    name: &'static str,
    gzip: &'static [u8],
}

/// The static programs of this workspace.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The programs that are embedded in the running program. Empty after `cargo build`.
    inside: &'static [Packed],
    /// The path of the running program.
    running: PathBuf,
    /// The folder with the programs that are not embedded.
    folder: PathBuf,
}

impl Binaries {
    /// The programs that belong to the running program: those embedded in it, or those in its folder.
    pub fn of_this_program() -> io::Result<Self> {
        let running = std::env::current_exe()?;
        let folder = running.parent().ok_or_else(|| io::Error::other("the running program is in no folder"))?;
        // Cargo puts test programs into the subfolder `deps`.
        let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned();
        Ok(Self { inside: INSIDE, running, folder })
    }

    /// The programs in a folder.
    #[cfg(test)]
    pub(super) fn beside(folder: &Path) -> Self {
        Self { inside: &[], running: folder.join(CONTAINER), folder: folder.to_owned() }
    }

    /// The path of a program of this workspace. `image` names the image that needs the program, for error messages. It
    /// is an error if the program is missing. A dynamically linked program is also an error, because it cannot run in
    /// an empty image.
    pub fn find(&self, binary: &str, image: &str, cache: &Cache) -> Result<PathBuf, ImageError> {
        let path = match self.inside.iter().find(|packed| packed.name == binary) {
            Some(packed) => packed.unpacked(cache)?,
            None if !self.inside.is_empty() && binary == CONTAINER => self.running.clone(),
            None => self.folder.join(binary),
        };
        let fault = |why: String| ImageError::Binary { image: image.to_owned(), binary: binary.to_owned(), why };
        match interpreter(&path) {
            Ok(None) => Ok(path),
            Ok(Some(loader)) => Err(fault(format!("is linked dynamically (it asks for {loader})"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(fault("is not beside the running program".to_owned()))
            }
            Err(error) => Err(fault(format!("cannot be used: {error}"))),
        }
    }

    /// The paths in the cache to which the embedded programs are unpacked. The files need not exist.
    pub(super) fn unpacked(&self, cache: &Cache) -> impl Iterator<Item = PathBuf> {
        self.inside.iter().map(|packed| packed.path(cache))
    }
}

impl Packed {
    fn path(self, cache: &Cache) -> PathBuf {
        cache.program(self.name, &digest::of_bytes(self.gzip)[..16])
    }

    /// Returns the path of the program in the cache. If the cache lacks the program, or somebody has changed the file
    /// in the cache, the program is unpacked first.
    fn unpacked(self, cache: &Cache) -> Result<PathBuf, ImageError> {
        let path = self.path(cache);
        if !cache.has_whole(&path) {
            let temporary = cache.temporary()?;
            let finished = temporary.path().join(self.name);
            File::create(&finished)
                .and_then(|mut file| io::copy(&mut GzDecoder::new(self.gzip), &mut file))
                .and_then(|_| entry::keep(&finished, &path))
                .map_err(ImageError::cache("write", &path))?;
        }
        Ok(path)
    }
}

/// The path of the dynamic loader in the `PT_INTERP` segment of an ELF program; `None` for a static program.
fn interpreter(path: &Path) -> io::Result<Option<String>> {
    const PT_INTERP: u64 = 3;
    /// The largest number of program headers that is accepted. Real programs have about a dozen headers, so a file
    /// with more headers than this is damaged, or is not a program.
    const PROGRAM_HEADERS_LIMIT: u64 = 512;
    let mut file = File::open(path)?;
    let mut head = [0_u8; 64];
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it is not a 64-bit little-endian ELF program");
    file.read_exact(&mut head).map_err(|_| strange())?;
    if head[..6] != *b"\x7fELF\x02\x01" {
        return Err(strange());
    }
    let (start, size, count) = (number(&head[32..40]), number(&head[54..56]), number(&head[56..58]));
    if size < 56 || count > PROGRAM_HEADERS_LIMIT {
        return Err(strange());
    }
    for index in 0..count {
        let mut segment = [0_u8; 56];
        file.seek(SeekFrom::Start(start.saturating_add(index * size)))?;
        file.read_exact(&mut segment)?;
        if number(&segment[..4]) == PT_INTERP {
            let mut name = Vec::new();
            file.seek(SeekFrom::Start(number(&segment[8..16])))?;
            file.take(number(&segment[32..40]).min(4096)).read_to_end(&mut name)?;
            return Ok(Some(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()));
        }
    }
    Ok(None)
}

/// Reads a little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::list::Present;
    use crate::lock::Lock;

    #[test]
    fn programs_that_cannot_run_in_an_empty_image_are_refused() {
        let (folder, cache) = folder();
        let binaries = Binaries::beside(folder.path());
        let refused = |name: &str| binaries.find(name, "agent", &cache).expect_err(name).to_string();
        assert!(refused("missing").ends_with("is not beside the running program"));
        std::fs::write(folder.path().join("script"), format!("#!/bin/sh\n{}", "x".repeat(80))).expect("written");
        assert!(refused("script").contains("not a 64-bit"));
        std::fs::write(folder.path().join("dynamic"), elf(Some("/lib64/ld.so"))).expect("written");
        assert!(refused("dynamic").ends_with("is linked dynamically (it asks for /lib64/ld.so)"));
        std::fs::write(folder.path().join("static"), elf(None)).expect("written");
        assert!(binaries.find("static", "agent", &cache).is_ok());
    }

    #[test]
    fn a_program_inside_the_running_one_is_unpacked_once_and_again_after_a_change() {
        let (folder, cache) = folder();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&elf(None)).and_then(|()| gzip.try_finish()).expect("compressed");
        let inside = vec![Packed { name: "parallax-agent", gzip: gzip.finish().expect("whole").leak() }].leak();
        let running = folder.path().join("parallax-1.0-of-somebody");
        std::fs::write(&running, elf(None)).expect("written");
        let binaries = Binaries { inside, running: running.clone(), folder: folder.path().to_owned() };
        let find = |name: &str| binaries.find(name, "runner", &cache);

        let path = find("parallax-agent").expect("unpacked");
        assert_eq!(binaries.unpacked(&cache).collect::<Vec<_>>(), [path.as_path()]);
        assert_eq!(std::fs::read(&path).expect("there"), elf(None));
        let about = |path: &Path| path.metadata().expect("there").ino();
        let first = about(&path);
        assert_eq!((find("parallax-agent").expect("there"), about(&path)), (path.clone(), first), "not written again");
        assert_eq!(cache.refused(), [""; 0]);

        std::fs::write(&path, elf(Some("/lib64/ld.so"))).expect("changed");
        assert_eq!(find("parallax-agent").expect("unpacked again"), path);
        assert_eq!(std::fs::read(&path).expect("there"), elf(None));
        let refused = cache.refused().concat();
        assert!(refused.starts_with("programs/parallax-agent-") && refused.contains("was changed"), "{refused}");

        assert_eq!(find("parallax").expect("it is the running one"), running);
        std::fs::write(folder.path().join("own"), elf(None)).expect("written");
        assert_eq!(find("own").expect("a project's own program"), folder.path().join("own"));
        assert!(find("parallax-node").expect_err("neither").to_string().ends_with("is not beside the running program"));
        assert_eq!(Present::of(&Lock::default(), &binaries, &cache).prune(&cache, 0).expect("prunes").files, 0);
    }

    fn folder() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path().join("cache")).expect("opens");
        (folder, cache)
    }

    #[test]
    fn this_test_is_static_as_all_our_programs_are() {
        let program = std::env::current_exe().expect("a path");
        assert_eq!(interpreter(&program).expect("an ELF program"), None);
    }

    /// The bytes of a minimal ELF program: a header and one segment. With `loader`, this segment contains the path of a
    /// dynamic loader (`PT_INTERP`).
    fn elf(loader: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[32], bytes[54], bytes[56]) = (64, 56, 1);
        if let Some(loader) = loader {
            bytes[64] = 3;
            bytes[64 + 8] = 64 + 56;
            bytes[64 + 32] = u8::try_from(loader.len() + 1).expect("short");
            bytes.extend_from_slice(loader.as_bytes());
            bytes.push(0);
        }
        bytes
    }
}
