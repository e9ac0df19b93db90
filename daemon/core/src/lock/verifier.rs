//! Tells a passphrase without knowing it: Argon2id, as a PHC string.

use std::fmt;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rolecall_protocol::Secret;

/// What a passphrase may have, in bytes. Shorter ones are guessed, by whoever can read the file, in days.
pub(super) const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// One of the settings that OWASP's Password Storage Cheat Sheet gives as equals: memory in KiB …
const MEMORY_KIB: u32 = 7168;
/// … passes over it …
const ITERATIONS: u32 = 5;
/// … and threads.
const LANES: u32 = 1;
/// What a file may ask for, so that a broken one does not ask for everything: memory in KiB, passes, threads.
const MAX_PARAMS: (u32, u32, u32) = (64 * 1024, 32, 4);
/// Bytes of salt: what RFC 9106 recommends.
const SALT_BYTES: usize = 16;

/// What a passphrase is checked against.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Verifier(String);

impl Verifier {
    /// One for a new passphrase; takes its time. An error is the system's word.
    pub(super) fn new(passphrase: &Secret<String>) -> Result<Self, String> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|error| format!("there is no randomness: {error}"))?;
        let made = SaltString::encode_b64(&salt).and_then(|salt| {
            let params = Params::new(MEMORY_KIB, ITERATIONS, LANES, None)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            Ok(argon2.hash_password(passphrase.expose().as_bytes(), &salt)?.to_string())
        });
        made.map(Self).map_err(|error| format!("Argon2 failed: {error}"))
    }

    /// Takes in what was kept.
    pub(super) fn parse(text: String) -> Option<Self> {
        let hash = PasswordHash::new(&text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let (memory, passes, lanes) = MAX_PARAMS;
        let is_bounded = params.m_cost() <= memory && params.t_cost() <= passes && params.p_cost() <= lanes;
        let is_whole = hash.algorithm == Algorithm::Argon2id.ident() && hash.salt.is_some() && hash.hash.is_some();
        (is_bounded && is_whole).then_some(Self(text))
    }

    /// Whether it is that passphrase; takes its time.
    pub(super) fn matches(&self, passphrase: &Secret<String>) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(passphrase.expose().as_bytes(), &hash).is_ok())
    }

    /// As it is kept.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a passphrase may be one.
pub(super) fn is_acceptable(passphrase: &Secret<String>) -> bool {
    PASSPHRASE_BYTES.contains(&passphrase.expose().len())
}

/// It is no secret, but nobody needs it either.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn it_tells_the_passphrase_and_does_not_hold_it() {
        let verifier = Verifier::new(&secret("correct horse")).unwrap();
        let text = verifier.as_str().to_owned();
        assert!(text.starts_with("$argon2id$v=19$m=7168,t=5,p=1$") && !text.contains("horse"), "{text}");
        let again = Verifier::parse(text.clone()).unwrap();
        assert!(again.matches(&secret("correct horse")));
        assert!(!again.matches(&secret("correct horsE")) && !again.matches(&secret("")));
        assert_ne!(Verifier::new(&secret("correct horse")).unwrap().as_str(), text, "its salt is its own");
    }

    #[test]
    fn what_is_no_verifier_or_asks_for_too_much_is_none() {
        let good = Verifier::new(&secret("correct horse")).unwrap().as_str().to_owned();
        for bad in [
            String::new(),
            "correct horse".to_owned(),
            good.replace("argon2id", "argon2d"),
            good.replace("m=7168", "m=4194304"),
            good.replace("t=5", "t=4000000"),
            good.rsplit_once('$').unwrap().0.to_owned(),
        ] {
            assert!(Verifier::parse(bad.clone()).is_none(), "{bad}");
        }
    }
}
