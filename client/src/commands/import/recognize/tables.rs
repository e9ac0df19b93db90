//! The options and variables of the programs, and their effect on the token.

/// An option.
#[derive(Debug, Clone, Copy)]
pub(super) struct OptionSpec {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) has_value: bool,
    pub(super) effect: Effect,
}

/// The effect of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Cluster,
    ClusterId,
    Role,
    Region,
    Profile,
    /// The account of saml2aws, which names the AWS profile if nothing else does.
    IdpAccount,
    ExternalId,
    SessionName,
    ForwardSessionName,
    /// The command that a wrapper runs, as one text.
    Command,
    /// Not on the token.
    Ignored,
    /// Rolecall cannot do the same, for this reason.
    Refused(&'static str),
}

/// A variable.
#[derive(Debug)]
pub(super) struct VariableSpec {
    /// A name, or the start of names and `*`.
    pub(super) name: &'static str,
    pub(super) effect: EnvEffect,
}

/// The effect of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnvEffect {
    Profile,
    Region,
    Role,
    Cluster,
    Fips,
    DualStack,
    Ignored,
    Secret,
    /// Rolecall cannot do the same, for this reason.
    Refused(&'static str),
}

impl VariableSpec {
    pub(super) fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.name,
        }
    }
}

const fn value(long: &'static str, effect: Effect) -> OptionSpec {
    OptionSpec { long, short: None, has_value: true, effect }
}

const fn flag(long: &'static str, effect: Effect) -> OptionSpec {
    OptionSpec { long, short: None, has_value: false, effect }
}

const fn short(short: char, spec: OptionSpec) -> OptionSpec {
    OptionSpec { short: Some(short), ..spec }
}

const ENDPOINT: Effect = Effect::Refused("it calls another endpoint of AWS; see [endpoints] in: man rolecall-config");
const CA_BUNDLE: Effect = Effect::Refused("it has its own CA bundle; see [network] in: man rolecall-config");

/// The options of the AWS CLI, of all commands and of `aws eks get-token`.
pub(super) const AWS_CLI: &[OptionSpec] = &[
    value("--cluster-name", Effect::Cluster),
    value("--cluster-id", Effect::ClusterId),
    value("--role-arn", Effect::Role),
    value("--region", Effect::Region),
    value("--profile", Effect::Profile),
    value("--output", Effect::Ignored),
    value("--color", Effect::Ignored),
    value("--cli-read-timeout", Effect::Ignored),
    value("--cli-connect-timeout", Effect::Ignored),
    value("--cli-binary-format", Effect::Ignored),
    value("--cli-error-format", Effect::Ignored),
    flag("--no-cli-pager", Effect::Ignored),
    flag("--no-cli-auto-prompt", Effect::Ignored),
    flag("--no-paginate", Effect::Ignored),
    flag("--debug", Effect::Ignored),
    value("--endpoint-url", ENDPOINT),
    value("--ca-bundle", CA_BUNDLE),
    flag("--no-verify-ssl", Effect::Refused("it does not verify AWS's certificates")),
    flag("--no-sign-request", Effect::Refused("it does not sign its requests")),
    flag("--cli-auto-prompt", Effect::Refused("it asks on the terminal")),
    value("--query", Effect::Refused("its option --query changes the output")),
];

/// The options of aws-iam-authenticator, of all commands and of `token`.
pub(super) const AUTHENTICATOR: &[OptionSpec] = &[
    short('i', value("--cluster-id", Effect::Cluster)),
    short('r', value("--role", Effect::Role)),
    short('s', value("--session-name", Effect::SessionName)),
    short('e', value("--external-id", Effect::ExternalId)),
    value("--region", Effect::Region),
    flag("--forward-session-name", Effect::ForwardSessionName),
    flag("--cache", Effect::Ignored),
    short('l', value("--log-format", Effect::Ignored)),
    value("--feature-gates", Effect::Ignored),
    short('c', value("--config", Effect::Refused("it has a configuration file of its own"))),
    flag("--token-only", Effect::Refused("it prints only the token, which kubectl does not accept")),
];

/// The options of `aws-vault exec`.
pub(super) const AWS_VAULT: &[OptionSpec] = &[
    short('d', value("--duration", Effect::Ignored)),
    short('n', flag("--no-session", Effect::Ignored)),
    value("--region", Effect::Region),
    short('j', flag("--json", Effect::Refused("aws-vault prints its credentials"))),
    short('t', value("--mfa-token", Effect::Refused("it has an MFA code, which is valid once"))),
    short('s', flag("--server", Effect::Ignored)),
    flag("--ecs-server", Effect::Ignored),
    flag("--ec2-server", Effect::Ignored),
    flag("--lazy", Effect::Ignored),
    flag("--stdout", Effect::Ignored),
    flag("--debug", Effect::Ignored),
    value("--prompt", Effect::Ignored),
    value("--backend", Effect::Ignored),
    value("--keychain", Effect::Ignored),
    value("--secret-service-collection", Effect::Ignored),
    value("--pass-dir", Effect::Ignored),
    value("--pass-cmd", Effect::Ignored),
    value("--pass-prefix", Effect::Ignored),
    value("--file-dir", Effect::Ignored),
];

/// The options of `assume` of granted.
pub(super) const GRANTED: &[OptionSpec] = &[
    short('e', flag("--exec", Effect::Command)),
    short('r', value("--region", Effect::Region)),
    short('d', value("--duration", Effect::Ignored)),
    flag("--no-cache", Effect::Ignored),
    flag("--verbose", Effect::Ignored),
    flag("--auto-login", Effect::Ignored),
    flag("--chain", Effect::Refused("granted chains another role")),
];

/// The options of `saml2aws exec`.
pub(super) const SAML2AWS: &[OptionSpec] = &[
    short('a', value("--idp-account", Effect::IdpAccount)),
    short('p', value("--profile", Effect::Profile)),
    value("--exec-profile", Effect::Profile),
    short('r', value("--region", Effect::Region)),
    flag("--skip-prompt", Effect::Ignored),
    flag("--skip-verify", Effect::Ignored),
    flag("--quiet", Effect::Ignored),
    flag("--verbose", Effect::Ignored),
    flag("--force", Effect::Ignored),
    flag("--disable-keychain", Effect::Ignored),
    value("--session-duration", Effect::Ignored),
    value("--role", Effect::Refused("saml2aws chooses another role")),
];

const fn variable(name: &'static str, effect: EnvEffect) -> VariableSpec {
    VariableSpec { name, effect }
}

const OTHER_FILES: EnvEffect = EnvEffect::Refused("and so has other AWS profiles than the agent");
const OTHER_IDENTITY: EnvEffect = EnvEffect::Refused("which gives it an identity that is in no AWS profile");
const PROXY: EnvEffect = EnvEffect::Refused("a proxy; see [network] in: man rolecall-config");

/// The variables. The first that matches decides.
pub(super) const VARIABLES: &[VariableSpec] = &[
    variable("AWS_PROFILE", EnvEffect::Profile),
    variable("AWS_DEFAULT_PROFILE", EnvEffect::Profile),
    variable("AWS_REGION", EnvEffect::Region),
    variable("AWS_DEFAULT_REGION", EnvEffect::Region),
    variable("DEFAULT_ROLE", EnvEffect::Role),
    variable("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", EnvEffect::Cluster),
    variable("AWS_USE_FIPS_ENDPOINT", EnvEffect::Fips),
    variable("AWS_USE_DUALSTACK_ENDPOINT", EnvEffect::DualStack),
    // Rolecall always calls the STS of the region.
    variable("AWS_STS_REGIONAL_ENDPOINTS", EnvEffect::Ignored),
    variable("AWS_SDK_LOAD_CONFIG", EnvEffect::Ignored),
    variable("AWS_PAGER", EnvEffect::Ignored),
    variable("AWS_DEFAULT_OUTPUT", EnvEffect::Ignored),
    variable("AWS_CLI_AUTO_PROMPT", EnvEffect::Ignored),
    variable("AWS_RETRY_MODE", EnvEffect::Ignored),
    variable("AWS_MAX_ATTEMPTS", EnvEffect::Ignored),
    variable("AWS_EC2_METADATA_DISABLED", EnvEffect::Ignored),
    variable("AWS_VAULT_*", EnvEffect::Ignored),
    variable("GRANTED_*", EnvEffect::Ignored),
    variable("KCC_*", EnvEffect::Ignored),
    variable("PATH", EnvEffect::Ignored),
    variable("LANG", EnvEffect::Ignored),
    variable("LC_*", EnvEffect::Ignored),
    variable("AWS_ACCESS_KEY_ID", EnvEffect::Secret),
    variable("AWS_SECRET_ACCESS_KEY", EnvEffect::Secret),
    variable("AWS_SESSION_TOKEN", EnvEffect::Secret),
    variable("AWS_SECURITY_TOKEN", EnvEffect::Secret),
    variable("AWS_ACCESS_KEY", EnvEffect::Secret),
    variable("AWS_SECRET_KEY", EnvEffect::Secret),
    variable("AMAZON_*", EnvEffect::Secret),
    variable("AWS_BEARER_TOKEN_BEDROCK", EnvEffect::Secret),
    variable("AWS_CREDENTIAL_FILE", OTHER_FILES),
    variable("AWS_CREDENTIAL_PROFILES_FILE", OTHER_FILES),
    variable("BOTO_CONFIG", OTHER_FILES),
    variable("AWS_CONFIG_FILE", OTHER_FILES),
    variable("AWS_SHARED_CREDENTIALS_FILE", OTHER_FILES),
    variable("HOME", OTHER_FILES),
    variable("AWS_ROLE_ARN", OTHER_IDENTITY),
    variable("AWS_WEB_IDENTITY_TOKEN_FILE", OTHER_IDENTITY),
    variable("AWS_CONTAINER_*", OTHER_IDENTITY),
    variable(
        "AWS_ENDPOINT_URL*",
        EnvEffect::Refused("another endpoint of AWS; see [endpoints] in: man rolecall-config"),
    ),
    variable("AWS_CA_BUNDLE", EnvEffect::Refused("a CA bundle; see [network] in: man rolecall-config")),
    variable("HTTPS_PROXY", PROXY),
    variable("https_proxy", PROXY),
    variable("HTTP_PROXY", PROXY),
    variable("http_proxy", PROXY),
    variable("NO_PROXY", EnvEffect::Ignored),
    variable("no_proxy", EnvEffect::Ignored),
];
