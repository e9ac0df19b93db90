//! AWS profiles with the files that they point at.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use super::aws_profile::AwsProfile;
use super::environment::Sandbox;
use crate::aws::{AccessKey, InstanceMetadata, LOGIN_CLIENT, Login};
use crate::encoding::sha256_hex;
use crate::time::rfc3339;

/// AWS profiles that need more files.
impl Sandbox {
    /// Writes an AWS profile with a `credential_process`: a script that prints this access key and, for a session, its
    /// expiry. Returns the path of the script; the next run prints what is written there.
    pub fn write_credential_process(
        &self,
        name: &str,
        key: &AccessKey,
        expires: Option<SystemTime>,
        endpoint: &str,
    ) -> PathBuf {
        let mut output = json!({ "Version": 1, "AccessKeyId": key.id, "SecretAccessKey": key.secret });
        if let Some(token) = &key.session_token {
            output["SessionToken"] = json!(token);
        }
        if let Some(expires) = expires {
            output["Expiration"] = json!(rfc3339(expires));
        }
        // The JSON contains no single quote.
        let script =
            self.write(format!("home/bin/{name}-credentials"), &format!("#!/bin/sh\nprintf '%s\\n' '{output}'\n"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("this process owns the file");
        self.write_aws_config(name, &AwsProfile::process(&script.display().to_string()), endpoint);
        script
    }

    /// Writes an AWS profile with a `web_identity_token_file`. Returns the path of that file.
    pub fn write_web_identity(&self, name: &str, role_arn: &str, token: &str, endpoint: &str) -> PathBuf {
        let file = self.write(format!("home/{name}-token"), token);
        self.write_aws_config(name, &AwsProfile::web_identity(role_arn, &file), endpoint);
        file
    }

    /// Writes an AWS profile whose role is assumed with the credentials of this instance.
    pub fn write_instance_profile(&self, name: &str, role_arn: &str, instance: &InstanceMetadata, endpoint: &str) {
        let profile = AwsProfile::role_of(role_arn, "Ec2InstanceMetadata");
        self.write_aws_config(name, &profile.with("ec2_metadata_service_endpoint", &instance.url()), endpoint);
    }

    /// Writes an AWS profile with a `login_session`, and the cache file of `aws login`. Returns the path of that file.
    pub fn write_login_session(&self, name: &str, login: &Login, endpoint: &str) -> PathBuf {
        self.write_aws_config(name, &AwsProfile::login_session(&login.session_arn), endpoint);
        let cached = json!({
            "accessToken": {
                "accessKeyId": login.key.id,
                "secretAccessKey": login.key.secret,
                "sessionToken": login.key.session_token,
                "accountId": login.account,
                "expiresAt": rfc3339(login.expires),
            },
            "tokenType": "aws_sigv4",
            "refreshToken": login.refresh_token,
            "clientId": LOGIN_CLIENT,
            "dpopKey": login.dpop_key,
        });
        let file = format!("home/.aws/login/cache/{}.json", sha256_hex(login.session_arn.as_bytes()));
        self.write(file, &cached.to_string())
    }
}
