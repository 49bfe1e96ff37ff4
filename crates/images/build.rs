//! Builds the crate again when a file of `images/` is added or removed. The macro that embeds the files does not notice
//! such a change.

fn main() {
    println!("cargo::rerun-if-changed=../../images");
}
