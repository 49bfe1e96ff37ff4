//! Makes Cargo build this crate again when a file of `images/` is added or removed. The macro that embeds these files
//! does not notice added or removed files.
//!
//! If the variable `PARALLAX_EMBED` contains the path of a folder, the files `NAME.gz` in this folder become part of
//! the crate. Each file is a compressed program of this workspace that image recipes need. `cargo xtask dist` sets the
//! variable. A developer's build embeds no program, because `parallax` then finds the programs in its own folder.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

const FOLDER: &str = "PARALLAX_EMBED";

fn main() {
    println!("cargo::rerun-if-changed=../../images");
    println!("cargo::rerun-if-env-changed={FOLDER}");
    let mut files = Vec::new();
    if let Some(folder) = env::var_os(FOLDER).filter(|it| !it.is_empty()).map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", folder.display());
        let all = fs::read_dir(&folder).expect("PARALLAX_EMBED names a folder that can be read");
        files.extend(all.map(|file| file.expect("the folder can be read").path()));
        files.retain(|file| file.extension().is_some_and(|it| it == "gz"));
        files.sort();
        assert!(!files.is_empty(), "PARALLAX_EMBED names a folder without a file NAME.gz");
    }
    let mut packed = String::new();
    for file in &files {
        let (path, name) = (file.to_str().expect("text"), file.file_stem().and_then(OsStr::to_str).expect("text"));
        write!(packed, "Packed {{ name: {name:?}, gzip: include_bytes!({path:?}) }}, ").expect("a text grows");
    }
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it")).join("inside.rs");
    fs::write(target, format!("const INSIDE: &[Packed] = &[{packed}];\n")).expect("Cargo's folder can be written");
}
