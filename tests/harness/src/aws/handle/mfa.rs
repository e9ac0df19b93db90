//! MFA devices, through the handle.

use std::time::SystemTime;

use super::AwsHandle;
use crate::aws::mfa::MfaDevice;

impl AwsHandle {
    /// Adds an MFA device to a user, by the user's ARN. A user may have several.
    #[track_caller]
    pub fn mfa_device(&self, user_arn: &str) -> MfaDevice {
        let mut state = self.shared.state();
        assert!(state.identities.user(user_arn).is_some(), "there is no user {user_arn}");
        MfaDevice { serial: state.identities.devices.add(user_arn) }
    }

    /// Removes a device from its user; its codes become invalid.
    pub fn remove_mfa_device(&self, serial: &str) {
        self.shared.state().identities.devices.remove(serial);
    }

    /// Returns the current code of a device, by AWS's clock. A code is shown for 30 seconds.
    pub fn mfa_code(&self, serial: &str) -> String {
        self.mfa_code_at(serial, self.shared.clock.now())
    }

    /// Returns the code of a device at a given time.
    #[track_caller]
    pub fn mfa_code_at(&self, serial: &str, at: SystemTime) -> String {
        let state = self.shared.state();
        let code = state.identities.devices.code(serial, at);
        code.unwrap_or_else(|| panic!("there is no MFA device {serial}"))
    }
}
