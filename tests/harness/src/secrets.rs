//! Secrets that must not turn up where they have no business, and a search for them.
//!
//! Every secret that an embedded AWS of this process makes is put into one list, so that no test has to say what to look
//! for.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// So much of a secret in a row is a leak; shorter ones are looked for whole.
const PIECE: usize = 16;
/// By so much a piece is recognised at first.
const HEAD: usize = 8;
/// So much of a secret is looked for as base64.
const ENCODED: usize = 48;
/// What is the same in all session tokens.
const TOKEN_START: &str = "IQoJb3JpZ2luX2Vj";
/// Bits of the first look at every byte of a text, as a power of two.
const BITS: u32 = 20;

static ISSUED: LazyLock<Mutex<SecretSet>> = LazyLock::new(Mutex::default);

/// Every secret that this process has made.
pub(crate) fn issued() -> MutexGuard<'static, SecretSet> {
    ISSUED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a secret to the list, unless a test wanted one so short that it has nothing of its own.
pub(crate) fn issue(kind: &'static str, secret: &str) {
    if own_part(secret).len() >= HEAD {
        issued().add(kind, secret);
    }
}

/// A secret that was found: which one, and of what kind. Never the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FoundSecret {
    number: usize,
    pub(crate) kind: &'static str,
}

/// A part of a secret, and which one's.
type Piece = (Box<[u8]>, FoundSecret);

/// Secrets to look for: as they are, percent-encoded, in JSON, in base64.
#[derive(Default)]
pub(crate) struct SecretSet {
    count: usize,
    /// By the first bytes.
    pieces: HashMap<u64, Vec<Piece>>,
    /// A bit for every such beginning: most of a text is passed over by it.
    heads: Vec<u64>,
}

/// It says nothing of what is in it.
impl std::fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.count)
    }
}

impl SecretSet {
    /// Adds a secret. Panics if it is so short that it could turn up by chance.
    pub(crate) fn add(&mut self, kind: &'static str, secret: &str) {
        let secret = own_part(secret);
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

    /// Which of them the text holds.
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
    (usize::try_from(hash >> 6).expect("a few bits"), 1 << (hash & 63))
}

/// A secret without what others of its kind have too.
fn own_part(secret: &str) -> String {
    if let Some(rest) = secret.strip_prefix(TOKEN_START) {
        return rest.to_owned();
    }
    if secret.starts_with("-----BEGIN ") {
        // Of a key on P-256, the 32 bytes that are private.
        let body: String = secret.lines().filter(|line| !line.starts_with('-')).collect();
        return body.get(10..52).unwrap_or(&body).to_owned();
    }
    if secret.starts_with("eyJ") && secret.split('.').count() == 3 {
        // Of a JWT, the signature.
        return secret.rsplit('.').next().unwrap_or(secret).to_owned();
    }
    secret.to_owned()
}

/// How a secret may be written.
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
        // The same bytes have three spellings, by how many come before; the characters at the edges are shared.
        let bytes = [&[0; 2][..before], begin].concat();
        let whole = &bytes[..bytes.len() / 3 * 3];
        for engine in [STANDARD, URL_SAFE] {
            all.insert(engine.encode(whole).split_off([0, 2, 3][before]));
        }
    }
    all
}

/// Pieces of which at least one is in every part that is twice as long.
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
    fn a_secret_is_found_however_it_is_written() {
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
    fn short_ones_are_found_whole_and_shared_parts_are_nobodys() {
        let secrets = secrets("correct horse");
        assert_eq!(secrets.search(b"the correct horse is here").len(), 1);
        assert!(secrets.search(b"the correct house is here").is_empty());
        let token = format!("{TOKEN_START}{}", "abcdefghij0123456789".repeat(3));
        let mut secrets = SecretSet::default();
        secrets.add("token", &token);
        assert!(secrets.search(format!("{TOKEN_START}{}", "z".repeat(60)).as_bytes()).is_empty());
        assert_eq!(secrets.search(token.as_bytes()).len(), 1);
        assert!(!format!("{secrets:?}").contains("abc"));
    }
}
