//! Builds the crate again when a file of `fixtures/` is added or removed. The macro that embeds the files does not
//! notice this.

fn main() {
    println!("cargo::rerun-if-changed=../../fixtures");
}
