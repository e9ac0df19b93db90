//! MFA devices of users: time-based codes (RFC 6238), as authenticator apps show them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use crate::arn::Arn;
use crate::random::bytes;
use crate::time::unix_seconds;

/// Lifetime of a code, in seconds.
const STEP: u64 = 30;

/// An MFA device of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MfaDevice {
    /// `arn:aws:iam::111122223333:mfa/dev`, the value of `SerialNumber` and `mfa_serial`.
    pub serial: String,
}

#[derive(Debug)]
struct Device {
    owner: String,
    seed: Vec<u8>,
    /// Time steps of used codes.
    used: BTreeSet<u64>,
}

/// All devices, by serial.
#[derive(Debug, Default)]
pub(crate) struct Devices(BTreeMap<String, Device>);

/// Why a code is rejected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CodeError {
    /// The user has no such device.
    Device,
    /// The code is not current, or it was used.
    Code,
}

impl Devices {
    pub(crate) fn add(&mut self, owner: &str) -> String {
        let user = Arn::parse(owner).expect("the table holds ARNs");
        let first = format!("arn:{}:iam::{}:mfa/{}", user.partition, user.account, user.name());
        let others = (2..).map(|number| format!("{first}-{number}"));
        let mut serials = std::iter::once(first.clone()).chain(others);
        let serial = serials.find(|serial| !self.0.contains_key(serial)).expect("numbers do not end");
        self.0.insert(serial.clone(), Device { owner: owner.to_owned(), seed: bytes(20), used: BTreeSet::new() });
        serial
    }

    pub(crate) fn code(&self, serial: &str, at: SystemTime) -> Option<String> {
        self.0.get(serial).map(|device| totp(&device.seed, step(at)))
    }

    pub(crate) fn remove(&mut self, serial: &str) {
        self.0.remove(serial);
    }

    /// Redeems a code of the current, the previous or the next time step. Each code is valid once.
    pub(crate) fn redeem(&mut self, user: &str, serial: &str, code: &str, now: SystemTime) -> Result<(), CodeError> {
        let device = self.0.get_mut(serial).filter(|device| device.owner == user).ok_or(CodeError::Device)?;
        let now = step(now);
        let around = [now, now.saturating_sub(1), now + 1];
        let found = around.into_iter().find(|step| totp(&device.seed, *step) == code && !device.used.contains(step));
        device.used.insert(found.ok_or(CodeError::Code)?);
        Ok(())
    }
}

fn step(at: SystemTime) -> u64 {
    unix_seconds(at) / STEP
}

/// Returns the six digits of RFC 6238 with SHA-1, truncated as in RFC 4226.
fn totp(seed: &[u8], step: u64) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(seed).expect("HMAC takes a key of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0x0f);
    let number = u32::from_be_bytes([hash[offset] & 0x7f, hash[offset + 1], hash[offset + 2], hash[offset + 3]]);
    format!("{:06}", number % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// Appendix B of RFC 6238, the last six of its eight digits.
    #[test]
    fn totp_rfc_6238_vectors_match() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp(b"12345678901234567890", step(UNIX_EPOCH + Duration::from_secs(seconds))), code);
        }
    }

    #[test]
    fn code_redeemed_once_by_owner_within_one_step() {
        let mut devices = Devices::default();
        let (dev, at) = ("arn:aws:iam::111122223333:user/team/dev", UNIX_EPOCH + Duration::from_hours(1));
        let serial = devices.add(dev);
        assert_eq!(serial, "arn:aws:iam::111122223333:mfa/dev");
        assert_eq!(devices.add(dev), "arn:aws:iam::111122223333:mfa/dev-2");
        let code = |devices: &Devices, seconds: u64| devices.code(&serial, at + Duration::from_secs(seconds)).unwrap();
        let codes: Vec<String> = [0, 30, 60, 90].map(|seconds| code(&devices, seconds)).into();
        let now = at + Duration::from_secs(59);
        assert_eq!(devices.redeem("other", &serial, &codes[1], now), Err(CodeError::Device));
        assert_eq!(devices.redeem(dev, "nothing", &codes[1], now), Err(CodeError::Device));
        for valid in [2, 0, 1] {
            assert_eq!(devices.redeem(dev, &serial, &codes[valid], now), Ok(()));
            assert_eq!(devices.redeem(dev, &serial, &codes[valid], now), Err(CodeError::Code));
        }
        assert_eq!(devices.redeem(dev, &serial, &codes[3], now), Err(CodeError::Code));
    }
}
