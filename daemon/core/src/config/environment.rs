//! `[environment]`: the environment of the programs that the daemon runs, which give credentials and MFA codes.
//!
//! The daemon serves all terminals, so a program does not get the variables of the shell that started the daemon. It gets a
//! fixed list of them, the proxy of `[network]`, and what this table adds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rolecall_protocol::location::CREDENTIAL_VARIABLES;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The variables that every program gets if the daemon has them: those by which it finds its files, the user's agents and the
/// desktop.
const PASSED: [&str; 18] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "SSH_AUTH_SOCK",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];
const PASSED_PREFIXES: [&str; 2] = ["LC_", "XDG_"];
/// Variables that put other code into the daemon itself.
const LOADER_PREFIXES: [&str; 2] = ["LD_", "DYLD_"];
const MAX_VARIABLES: usize = 256;
const MAX_VALUE_BYTES: usize = 4096;

/// What programs get beside the fixed list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramEnvironment {
    pass: BTreeSet<String>,
    set: BTreeMap<String, String>,
}

/// `[environment]` as the file has it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnvironment {
    #[serde(default)]
    pass: BTreeSet<PassedName>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// A name in `pass`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PassedName(String);

impl RawEnvironment {
    /// Checks the rules that involve several keys. Errors with a key and a message.
    pub(super) fn validate(&self) -> Result<ProgramEnvironment, (String, String)> {
        // Checked here, so that the place of the error does not quote a name that is none.
        let in_set = |message: String| ("environment.set".to_owned(), message);
        for (name, value) in &self.set {
            check_name(name).map_err(|message| in_set(message.to_owned()))?;
            if value.len() > MAX_VALUE_BYTES || value.contains('\0') {
                return Err(in_set(format!("{name} must have at most {MAX_VALUE_BYTES} bytes and no NUL")));
            }
        }
        let environment =
            ProgramEnvironment { pass: self.pass.iter().map(|name| name.0.clone()).collect(), set: self.set.clone() };
        if let Some(name) = environment.set.keys().find(|name| environment.pass.contains(*name)) {
            return Err(("environment.pass".to_owned(), format!("has {name}, which set has too")));
        }
        let count = environment.pass.len() + environment.set.len();
        if count > MAX_VARIABLES {
            return Err(("environment".to_owned(), format!("has {count} variables, the limit is {MAX_VARIABLES}")));
        }
        Ok(environment)
    }
}

impl ProgramEnvironment {
    /// Returns the complete environment of a program. `own` are the variables that the daemon was started with; `proxy` is the
    /// proxy, without user name and password, and the hosts that do not use it.
    #[must_use]
    pub fn of_program(
        &self,
        own: impl IntoIterator<Item = (OsString, OsString)>,
        proxy: Option<(String, String)>,
    ) -> Vec<(OsString, OsString)> {
        let is_passed = |name: &OsStr| {
            name.to_str().is_some_and(|name| {
                PASSED.contains(&name)
                    || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                    || self.pass.contains(name)
            })
        };
        let mut variables: BTreeMap<OsString, OsString> = own.into_iter().filter(|(name, _)| is_passed(name)).collect();
        if let Some((url, no_proxy)) = proxy {
            let urls = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].map(|name| (name, &url));
            let hosts = ["NO_PROXY", "no_proxy"].map(|name| (name, &no_proxy));
            variables.extend(urls.into_iter().chain(hosts).map(|(name, value)| (name.into(), value.into())));
        }
        variables.extend(self.set.iter().map(|(name, value)| (name.into(), value.into())));
        variables.into_iter().collect()
    }
}

impl<'de> Deserialize<'de> for PassedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        check_name(&name).map_err(D::Error::custom)?;
        if LOADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(D::Error::custom(
                "must not have LD_ and DYLD_ variables, which act on the daemon too; use set",
            ));
        }
        Ok(Self(name))
    }
}

/// Errors if a text is not the name of a variable, or names one that holds credentials. The message does not quote it.
fn check_name(name: &str) -> Result<(), &'static str> {
    let is_name = !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err("must be names of variables: letters, digits and _");
    }
    // Any process of the user can read the environment of another.
    if CREDENTIAL_VARIABLES.contains(&name) {
        return Err("must not have credentials; use a source of its own for them");
    }
    Ok(())
}
