//! Random identifiers and secrets in the shapes that AWS uses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Returns `length` random bytes.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes).expect("the machine has randomness");
    bytes
}

/// Returns an IAM identifier: `prefix` (`AKIA`, `ASIA`, `AROA`, `AIDA`) and `length` characters of base 32.
pub(crate) fn iam_id(prefix: &str, length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let tail = bytes(length).into_iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    prefix.chars().chain(tail).collect()
}

/// Returns `characters` characters of standard base64.
pub(crate) fn base64_text(characters: usize) -> String {
    let mut text = STANDARD.encode(bytes(characters * 3 / 4 + 3));
    text.truncate(characters);
    text
}

/// Returns a request id: a version 4 UUID.
pub(crate) fn request_id() -> String {
    let mut bytes = bytes(16);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
