//! Creates random secrets.

use parallax_vocab::Secret;

/// The characters of random values: letters and digits, which need no quotes in a shell, a URL or a YAML file. The
/// letter `e` is missing. MinIO treats a value that begins with `env` as an address from which to fetch the value
/// (docs/facts.md#values-that-begin-with-env). With `e` in the alphabet, about one run in a hundred created such a
/// value.
const ALPHABET: &[u8; 32] = b"abcdfghijkmnpqrstuvwxyz023456789";

/// Returns a random secret of `length` characters.
///
/// # Panics
///
/// Panics if the system has no random source.
pub fn random(length: usize) -> Secret {
    let mut bytes = vec![0_u8; length];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source answers");
    Secret::new(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_secrets_have_their_length_and_differ() {
        let (a, b) = (random(24), random(24));
        assert_eq!(a.expose().len(), 24);
        assert_ne!(a, b);
        assert!(a.expose().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert!(!ALPHABET.contains(&b'e'), "a value could begin with `env`");
    }
}
