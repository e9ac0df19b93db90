//! The secrets that this process has created, and a search for them in any text.
//!
//! Every embedded AWS registers the secrets that it creates, so tests need not list them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// A leak is this many consecutive characters of a secret; a shorter secret is matched whole.
const PIECE: usize = 16;
/// Length of the prefix by which a piece is looked up.
const HEAD: usize = 8;
/// How many bytes of a secret are searched in base64.
const ENCODED: usize = 48;
/// The prefix that all session tokens share.
const TOKEN_PREFIX: &str = "IQoJb3JpZ2luX2Vj";
/// Size of the prefix filter, as a power of two.
const BITS: u32 = 20;

static ISSUED: LazyLock<Mutex<SecretSet>> = LazyLock::new(Mutex::default);

/// Returns the secrets that this process has created.
pub(crate) fn issued() -> MutexGuard<'static, SecretSet> {
    ISSUED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a secret. Ignores one that is too short to be recognised.
pub(crate) fn register(kind: &'static str, secret: &str) {
    if distinctive_part(secret).len() >= HEAD {
        issued().add(kind, secret);
    }
}

/// A secret that was found: its number and kind, without the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FoundSecret {
    number: usize,
    pub(crate) kind: &'static str,
}

/// A part of a secret and the secret that it belongs to.
type Piece = (Box<[u8]>, FoundSecret);

/// A set of secrets to search for: as they are, percent-encoded, in JSON, in base64.
#[derive(Default)]
pub(crate) struct SecretSet {
    count: usize,
    /// Pieces by their first [`HEAD`] bytes.
    pieces: HashMap<u64, Vec<Piece>>,
    /// Prefix filter: one bit for each prefix in `pieces`.
    heads: Vec<u64>,
}

/// Shows the number of secrets only.
impl std::fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.count)
    }
}

impl SecretSet {
    /// Adds a secret. Panics if it is so short that it can occur by chance.
    pub(crate) fn add(&mut self, kind: &'static str, secret: &str) {
        let secret = distinctive_part(secret);
        assert!(secret.len() >= HEAD, "a secret ({kind}) of {} characters cannot be looked for", secret.len());
        let found = FoundSecret { number: self.count, kind };
        self.count += 1;
        for text in spellings(&secret) {
            for piece in pieces(text.as_bytes()) {
                self.add_piece(piece, found);
            }
        }
    }

    fn add_piece(&mut self, piece: &[u8], found: FoundSecret) {
        let Some(head) = piece.first_chunk::<HEAD>() else { return };
        let head = u64::from_be_bytes(*head);
        self.heads.resize(1 << (BITS - 6), 0);
        let (word, bit) = place(head);
        self.heads[word] |= bit;
        let alike = self.pieces.entry(head).or_default();
        if !alike.iter().any(|(known, _)| **known == *piece) {
            alike.push((piece.into(), found));
        }
    }

    /// Returns the secrets that `text` contains.
    pub(crate) fn search(&self, text: &[u8]) -> BTreeSet<FoundSecret> {
        let mut found = BTreeSet::new();
        if self.count == 0 || text.len() < HEAD {
            return found;
        }
        let mut head = 0u64;
        for (index, byte) in text.iter().enumerate() {
            head = head << 8 | u64::from(*byte);
            let (word, bit) = place(head);
            if self.heads[word] & bit == 0 || index + 1 < HEAD {
                continue;
            }
            let rest = &text[index + 1 - HEAD..];
            let alike = self.pieces.get(&head).map(Vec::as_slice).unwrap_or_default();
            found.extend(alike.iter().filter(|(piece, _)| rest.starts_with(piece)).map(|(_, found)| *found));
        }
        found
    }
}

fn place(head: u64) -> (usize, u64) {
    let hash = head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS);
    (usize::try_from(hash >> 6).expect("the index has few bits"), 1 << (hash & 63))
}

/// Returns the part of a secret that differs from others of its kind.
fn distinctive_part(secret: &str) -> String {
    if let Some(rest) = secret.strip_prefix(TOKEN_PREFIX) {
        return rest.to_owned();
    }
    if secret.starts_with("-----BEGIN ") {
        // The 32 private bytes of a P-256 key.
        let body: String = secret.lines().filter(|line| !line.starts_with('-')).collect();
        return body.get(10..52).unwrap_or(&body).to_owned();
    }
    if secret.starts_with("eyJ") && secret.split('.').count() == 3 {
        // The signature of a JWT.
        return secret.rsplit('.').next().unwrap_or(secret).to_owned();
    }
    secret.to_owned()
}

/// Returns the encodings in which a secret may occur.
fn spellings(secret: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([secret.to_owned()]);
    let percent = |text: &str, upper: bool| -> String {
        text.bytes().fold(String::new(), |text, byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text + &char::from(byte).to_string(),
            _ if upper => text + &format!("%{byte:02X}"),
            _ => text + &format!("%{byte:02x}"),
        })
    };
    all.extend([true, false].map(|upper| percent(secret, upper)));
    let quoted = serde_json::Value::from(secret).to_string();
    all.extend([
        quoted.trim_matches('"').to_owned(),
        secret.replace('/', "\\/"),
        format!("{secret:?}").trim_matches('"').to_owned(),
    ]);
    let begin = &secret.as_bytes()[..secret.len().min(ENCODED)];
    for before in 0..3 {
        // Base64 has three spellings of the same bytes, one for each offset; the characters at the edges also encode
        // their neighbours.
        let bytes = [&[0; 2][..before], begin].concat();
        let whole = &bytes[..bytes.len() / 3 * 3];
        for engine in [STANDARD, URL_SAFE] {
            all.insert(engine.encode(whole).split_off([0, 2, 3][before]));
        }
    }
    all
}

/// Returns pieces of `text` such that every part twice as long contains at least one.
fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last = if text.len() < PIECE { text } else { &text[text.len() - PIECE..] };
    text.chunks_exact(PIECE).chain([last])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(secret: &str) -> SecretSet {
        let mut secrets = SecretSet::default();
        secrets.add("other", "something else altogether");
        secrets.add("key", secret);
        secrets
    }

    #[test]
    fn secret_in_any_encoding_found() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let secrets = secrets(secret);
        let quoted = |before: &str| STANDARD.encode(format!("{before}{secret} and more"));
        for text in [
            format!("key={secret}"),
            secret.to_owned(),
            format!("a{}", &secret[3..36]),
            secret.replace('/', "%2F").replace('+', "%2B"),
            secret.replace('/', "%2f").replace('+', "%2b"),
            format!("{{\"key\":\"{}\"}}", secret.replace('/', "\\/")),
            quoted(""),
            quoted("x"),
            quoted("xy"),
            quoted("xyz"),
            URL_SAFE.encode(format!("?>{secret}")),
        ] {
            let found: Vec<_> = secrets.search(text.as_bytes()).into_iter().map(|found| found.kind).collect();
            assert_eq!(found, ["key"], "{text}");
        }
        for text in ["", "wJalrXU", &secret[..15], "nothing of that kind, nor anything else", &secret.to_lowercase()] {
            assert!(secrets.search(text.as_bytes()).is_empty(), "{text}");
        }
    }

    #[test]
    fn short_secret_whole_found_shared_prefix_ignored() {
        let secrets = secrets("correct horse");
        assert_eq!(secrets.search(b"the correct horse is here").len(), 1);
        assert!(secrets.search(b"the correct house is here").is_empty());
        let token = format!("{TOKEN_PREFIX}{}", "abcdefghij0123456789".repeat(3));
        let mut secrets = SecretSet::default();
        secrets.add("token", &token);
        assert!(secrets.search(format!("{TOKEN_PREFIX}{}", "z".repeat(60)).as_bytes()).is_empty());
        assert_eq!(secrets.search(token.as_bytes()).len(), 1);
        assert!(!format!("{secrets:?}").contains("abc"));
    }
}
