//! Finds the static programs of this workspace. They are built together with `parallax`, before `parallax` runs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::ImageError;

/// The folder with the programs of this workspace, which is the folder of the running program.
pub fn beside_this_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().ok_or_else(|| io::Error::other("the running program is in no folder"))?;
    // Cargo puts test programs into the subfolder `deps`.
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

/// The path of a program of this workspace. The error says that the program is missing, or that it is linked
/// dynamically and so cannot run in an empty image.
pub(super) fn find(folder: &Path, binary: &str, image: &str) -> Result<PathBuf, ImageError> {
    let path = folder.join(binary);
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

/// The path of the dynamic loader that an ELF program names (`PT_INTERP`); `None` for a static program.
fn interpreter(path: &Path) -> io::Result<Option<String>> {
    const PT_INTERP: u64 = 3;
    /// The largest number of program headers that is accepted. Real programs have about a dozen headers, so a file with
    /// more than this number is no program.
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
    use super::*;

    #[test]
    fn programs_that_cannot_run_in_an_empty_image_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |name: &str| find(folder.path(), name, "agent").expect_err(name).to_string();
        assert!(refused("missing").ends_with("is not beside the running program"));
        std::fs::write(folder.path().join("script"), format!("#!/bin/sh\n{}", "x".repeat(80))).expect("written");
        assert!(refused("script").contains("not a 64-bit"));
        std::fs::write(folder.path().join("dynamic"), elf(Some("/lib64/ld.so"))).expect("written");
        assert!(refused("dynamic").ends_with("is linked dynamically (it asks for /lib64/ld.so)"));
        std::fs::write(folder.path().join("static"), elf(None)).expect("written");
        assert!(find(folder.path(), "static", "agent").is_ok());
    }

    #[test]
    fn this_test_is_static_as_all_our_programs_are() {
        let program = std::env::current_exe().expect("a path");
        assert_eq!(interpreter(&program).expect("an ELF program"), None);
    }

    /// The bytes of a minimal ELF program: a header and one segment. With `loader`, the program names this dynamic
    /// loader.
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
