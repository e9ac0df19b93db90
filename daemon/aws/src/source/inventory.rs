//! The AWS profiles of AWS's own files that give credentials.

use rolecall_core::config::SourceKind;
use rolecall_protocol::Region;

use super::aws_profile::{self, Plan, SsoPlan, plan};
use super::{SourceError, Sources};
use crate::shared_config::SharedConfig;

/// An AWS profile that gives credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsProfileEntry {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: Option<Region>,
    /// Its role of IAM Identity Center, if its credentials are those of one.
    pub sso: Option<SsoPlan>,
}

impl Sources {
    /// Returns the AWS profiles that give credentials, sorted by name. Leaves out those with a mistake, which an error names when
    /// they are used, and those with settings alone. Makes no call to AWS.
    pub async fn inventory(&self) -> Result<Vec<AwsProfileEntry>, SourceError> {
        Ok(self.aws.shared_config().query(entries).await?)
    }
}

fn entries(config: &SharedConfig) -> Vec<AwsProfileEntry> {
    let entry = |name: &str| {
        let sso = match plan(config, &SourceKind::AwsProfile(name.to_owned())).ok()? {
            Plan::Sso(sso) => Some(*sso),
            _ => None,
        };
        let region = aws_profile::region(config.profile(name)?).ok()?;
        Some(AwsProfileEntry { name: name.to_owned(), region, sso })
    };
    config.profile_names().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_config::tests::Files;

    #[test]
    fn entries_are_the_profiles_with_credentials() {
        let files = Files::new(
            "[default]\nregion = eu-west-1\n\
             [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\
             [profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Developer\n\
             [profile broken]\nrole_arn = arn:aws:iam::111122223333:role/x\n",
            "[keys]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n",
        );
        let found = entries(&files.read());
        let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["dev", "keys"]);
        let sso = found[0].sso.as_ref().unwrap();
        assert_eq!((sso.account.as_str(), sso.role.as_str()), ("111122223333", "Developer"));
        assert_eq!(found[1].sso, None);
    }
}
