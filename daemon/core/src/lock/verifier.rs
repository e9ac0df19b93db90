//! The verifier of a passphrase: its Argon2id hash, as a PHC string.

use std::fmt;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rolecall_protocol::Secret;

/// The length of a passphrase, in bytes. A process that can read the lock file finds a shorter one by guessing within
/// days.
pub(super) const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// The memory of Argon2id, in KiB. With [`ITERATIONS`] and [`LANES`] it is a setting that OWASP's Password Storage Cheat
/// Sheet recommends.
const MEMORY_KIB: u32 = 7168;
/// The number of passes over the memory.
const ITERATIONS: u32 = 5;
/// The number of threads.
const LANES: u32 = 1;
/// The limits for a verifier of a file, so that a damaged file cannot exhaust the machine: memory in KiB, passes, threads.
const MAX_PARAMS: (u32, u32, u32) = (64 * 1024, 32, 4);
/// The size of the salt, as RFC 9106 recommends.
const SALT_BYTES: usize = 16;

/// The hash that a passphrase is compared with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Verifier(String);

impl Verifier {
    /// Hashes a new passphrase, which takes tens of milliseconds. Errors if the system has no random bytes or Argon2 fails.
    pub(super) fn new(passphrase: &Secret<String>) -> Result<Self, String> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|error| format!("no random bytes: {error}"))?;
        let hash = SaltString::encode_b64(&salt).and_then(|salt| {
            let params = Params::new(MEMORY_KIB, ITERATIONS, LANES, None)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            Ok(argon2.hash_password(passphrase.expose().as_bytes(), &salt)?.to_string())
        });
        hash.map(Self).map_err(|error| format!("Argon2 failed: {error}"))
    }

    /// Parses the text of a file. Returns `None` if it is not an Argon2id hash or exceeds the limits.
    pub(super) fn parse(text: String) -> Option<Self> {
        let hash = PasswordHash::new(&text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let (memory, passes, lanes) = MAX_PARAMS;
        let is_bounded = params.m_cost() <= memory && params.t_cost() <= passes && params.p_cost() <= lanes;
        let is_whole = hash.algorithm == Algorithm::Argon2id.ident() && hash.salt.is_some() && hash.hash.is_some();
        (is_bounded && is_whole).then_some(Self(text))
    }

    /// Returns whether the passphrase is the right one, which takes tens of milliseconds.
    pub(super) fn matches(&self, passphrase: &Secret<String>) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(passphrase.expose().as_bytes(), &hash).is_ok())
    }

    /// Returns the text for the file.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a new passphrase has an allowed length.
pub(super) fn is_acceptable(passphrase: &Secret<String>) -> bool {
    PASSPHRASE_BYTES.contains(&passphrase.expose().len())
}

/// Without the hash: it is not secret, but guessing needs it.
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
    fn verifier_matches_passphrase_without_holding_it() {
        let verifier = Verifier::new(&secret("correct horse")).unwrap();
        let text = verifier.as_str().to_owned();
        assert!(text.starts_with("$argon2id$v=19$m=7168,t=5,p=1$") && !text.contains("horse"), "{text}");
        let parsed = Verifier::parse(text.clone()).unwrap();
        assert!(parsed.matches(&secret("correct horse")));
        assert!(!parsed.matches(&secret("correct horsE")) && !parsed.matches(&secret("")));
        assert_ne!(Verifier::new(&secret("correct horse")).unwrap().as_str(), text, "each verifier has its own salt");
    }

    #[test]
    fn verifier_text_malformed_or_too_expensive_is_none() {
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
