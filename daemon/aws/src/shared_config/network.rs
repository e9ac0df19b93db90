//! The settings of an AWS profile for the path to AWS: the URLs of services, FIPS, dual-stack and the CA bundle.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rolecall_protocol::aws_config::ini::Value;

use super::file::FileError;
use super::profile::{Profile, ProfileError};
use super::{Reader, SharedConfig};

/// The key of a service's URL.
const ENDPOINT_KEY: &str = "endpoint_url";
/// The services that Rolecall or the SDK calls, by their names in `services` sections.
const USED_SERVICES: [&str; 6] = ["sts", "eks", "iam", "sso", "sso_oidc", "signin"];
/// The AWS profiles whose last valid settings are kept.
const MAX_PROFILES: usize = 10_000;

/// The settings of an AWS profile for the path to AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkSettings {
    /// The AWS profile.
    profile: String,
    /// The URLs of its `services` section by service, such as `sso_oidc`.
    services: HashMap<String, String>,
    /// The URL of all other services.
    endpoint_url: Option<String>,
    /// `use_fips_endpoint`
    pub(crate) fips: bool,
    /// `use_dualstack_endpoint`
    pub(crate) dual_stack: bool,
    /// The CA certificates that replace those of the operating system.
    pub(crate) ca_bundle: Option<PathBuf>,
    is_in_config_file: bool,
}

impl NetworkSettings {
    /// Reads the settings of a profile. Errors for a `services` section that does not exist.
    pub(crate) fn of(config: &SharedConfig, profile: &Profile) -> Result<Self, ProfileError> {
        let flag = |key: &str| Ok(profile.text(key)?.is_some_and(|value| value.eq_ignore_ascii_case("true")));
        let own = |key: &str| Ok(profile.text(key)?.filter(|value| !value.is_empty()).map(str::to_owned));
        let mut settings = Self {
            profile: profile.name().to_owned(),
            services: HashMap::new(),
            endpoint_url: None,
            fips: flag("use_fips_endpoint")?,
            dual_stack: flag("use_dualstack_endpoint")?,
            ca_bundle: own("ca_bundle")?.map(PathBuf::from),
            is_in_config_file: profile.config.is_some(),
        };
        if !flag("ignore_configured_endpoint_urls")? {
            settings.endpoint_url = own(ENDPOINT_KEY)?;
            if let Some(name) = profile.text("services")? {
                settings.services = service_urls(config, profile, name)?;
            }
        }
        Ok(settings)
    }

    /// The AWS profile.
    pub(crate) fn profile(&self) -> &str {
        &self.profile
    }

    fn sets_urls(&self) -> bool {
        self.endpoint_url.is_some() || !self.services.is_empty()
    }

    /// The URL of a service by its name in `services` sections, such as `sso_oidc`; `None` for the region's own.
    pub(crate) fn url_of(&self, service: &str) -> Option<&str> {
        self.services.get(service).or(self.endpoint_url.as_ref()).map(String::as_str)
    }
}

fn service_urls(config: &SharedConfig, profile: &Profile, name: &str) -> Result<HashMap<String, String>, ProfileError> {
    let place = || profile.place("services").map(|place| place.to_string()).unwrap_or_default();
    let Some(section) = config.services(name).filter(|section| section.settings().next().is_some()) else {
        let message = format!("services in {} names a section [services {name}] that does not exist", place());
        return Err(ProfileError::new(profile.name(), message));
    };
    let mut urls = HashMap::new();
    for (service, value) in section.settings() {
        match value {
            Value::Nested(settings) => {
                let url = settings.get(ENDPOINT_KEY).filter(|url| !url.is_empty());
                urls.extend(url.map(|url| (service.to_owned(), url.clone())));
            }
            Value::Text(_) if USED_SERVICES.contains(&service) => {
                let place = section.place(service).map(|place| place.to_string()).unwrap_or_default();
                let error = ProfileError::new(profile.name(), format!("{service} in {place} has no nested settings"));
                return Err(error.with_hint(format!("Put {ENDPOINT_KEY} in an indented line below \"{service} =\".")));
            }
            Value::Text(_) => {}
        }
    }
    Ok(urls)
}

/// The last valid settings of each AWS profile. They apply while AWS's files cannot be read (B16): without them, a call would
/// go to the region's own endpoint instead of the configured one.
#[derive(Debug, Default)]
pub(crate) struct LastValid(Mutex<HashMap<String, Arc<NetworkSettings>>>);

/// Why the settings of an AWS profile are unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The AWS profile cannot be used.
    #[error("AWS profile \"{}\": {}", .0.profile, .0.message)]
    Profile(#[from] ProfileError),
}

impl LastValid {
    /// Loads the settings of a profile from the files, or returns the last valid ones if a file cannot be used. Errors without
    /// those, and if the files lack the profile. Errors, too, if the section that set an URL is gone and the credentials file
    /// still has the profile: the file may be half-written or the section misspelt. The next daemon accepts such files.
    pub(crate) async fn load(&self, reader: &Reader, name: &str) -> Result<Arc<NetworkSettings>, SettingsError> {
        let profile = name.to_owned();
        let of_profile = move |config: &SharedConfig| Some(NetworkSettings::of(config, config.profile(&profile)?));
        let found = match reader.query(of_profile).await {
            Ok(found) => found,
            Err(error) => {
                let Some(last) = self.all().get(name).cloned() else { return Err(error.into()) };
                tracing::warn!(profile = name, %error, "AWS files unusable, last valid settings in force");
                return Ok(last);
            }
        };
        let files = reader.files();
        let Some(settings) = found else {
            let files = format!("{} and {}", files.config.display(), files.credentials.display());
            return Err(ProfileError::new(name, format!("no longer in {files}")).into());
        };
        let settings = Arc::new(settings?);
        if !settings.is_in_config_file && self.all().get(name).is_some_and(|last| last.sets_urls()) {
            let message =
                format!("[profile {name}], which had the URL of a service, is no longer in {}", files.config.display());
            return Err(ProfileError::new(name, message).into());
        }
        let mut all = self.all();
        if all.len() >= MAX_PROFILES && !all.contains_key(name) {
            all.clear();
        }
        all.insert(name.to_owned(), Arc::clone(&settings));
        Ok(settings)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<NetworkSettings>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
