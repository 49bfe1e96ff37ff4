//! Makes Cargo build this crate again when a file of `images/` is added or removed. The macro that embeds these files
//! does not notice added or removed files.

fn main() {
    println!("cargo::rerun-if-changed=../../images");
}
