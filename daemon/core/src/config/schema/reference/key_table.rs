//! The keys of the configuration, and what each of them means.

/// A table of the configuration.
pub(super) struct TableRow {
    /// The path; `*` stands for a name.
    pub(super) name: &'static str,
    /// One sentence in Markdown.
    pub(super) summary: &'static str,
}

/// A key of a table.
pub(super) struct Key {
    /// The path of its table.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: Value,
    /// One sentence in Markdown.
    pub(super) summary: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// 64 hexadecimal digits.
    Sha256,
    Boolean,
    Texts,
    TextOrTexts,
    /// A table of texts, whose keys the user chooses.
    TextTable,
    /// A table with keys of its own.
    Keys,
}

/// The value of a key that the file does not have, and a value to show, both in TOML.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// The default, which is also shown.
    Default(&'static str),
    /// There is no default. The value is an example.
    Example(&'static str),
    /// The key must be there. The value is an example.
    Required(&'static str),
}

use Kind::{Boolean, Keys, OneOf, Sha256, Text, TextOrTexts, TextTable, Texts};
use Value::{Default, Example, Required};

impl Value {
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Default(value) | Example(value) | Required(value) => value,
        }
    }
}

const fn table(name: &'static str, summary: &'static str) -> TableRow {
    TableRow { name, summary }
}

const fn key(table: &'static str, name: &'static str, kind: Kind, value: Value, summary: &'static str) -> Key {
    Key { table, name, kind, value, summary }
}

/// The tables, in the order of the reference. The first one is the top of the file.
pub(super) const TABLES: [TableRow; 14] = [
    table("", "The configuration of Rolecall."),
    table("defaults", "Defaults for all profiles."),
    table(
        "sources.*",
        "Where the credentials come from that assume the first role: one of `aws_profile` and `keyring`.",
    ),
    table("sources.*.mfa", "The MFA device of the source's access key."),
    table("profiles.*", "A cluster and the role that gives access to it: one kubeconfig context."),
    table("included.*", "What belongs to you of a profile of an included file."),
    table("endpoints", "Addresses of AWS services, for every call, region and source."),
    table("network", "The path from this computer to AWS."),
    table("environment", "The environment of the programs that the daemon runs."),
    table("lock", "When the daemon locks automatically, with the effect of `rolecall lock`."),
    table("notifications", "Desktop notifications."),
    table("audit", "The audit log."),
    table("confirm", "How the daemon asks you to confirm a use."),
    table("client", "What `rolecall` reads itself, from the user's own configuration alone."),
];

/// The keys of `[profiles.NAME]` that `[included.NAME]` has too.
pub(super) const PINNED: [&str; 6] =
    ["entry_key", "server", "ca_sha256", "certificate_authority_data", "tls_server_name", "proxy_url"];

/// The keys, in the order of the reference. Every key of `[defaults]` is also one of `[profiles.NAME]`.
#[rustfmt::skip]
pub(super) const KEYS: [Key; 58] = [
    key("", "include", Texts, Default("[]"), "Files with further sources and profiles, which a team shares in a git repository or a managed folder."),

    key("defaults", "duration", Text, Default("\"1h\""), "The length of a session, from 15 minutes to 12 hours, such as `\"1h\"`, `\"45m\"` or `\"1h30m\"`."),
    key("defaults", "keep_warm", Text, Default("\"8h\""), "How long after its last use a session is still renewed, such as `\"8h\"`; at most a week, and `\"0s\"` turns renewal off."),
    key("defaults", "session_name", Text, Default("\"{user}@{host}\""), "The session name that CloudTrail shows."),
    key("defaults", "source_identity", Text, Example("\"alice\""), "The source identity of the session: 2 to 64 letters, digits and `_+=,.@-`."),
    key("defaults", "tags", TextTable, Example("{ team = \"shop\" }"), "Session tags, such as `{ team = \"shop\" }`, at most 50."),
    key("defaults", "transitive_tags", Texts, Example("[\"team\"]"), "Keys of tags that AWS passes on to every role assumed from the session."),
    key("defaults", "policy_arns", Texts, Example("[\"arn:aws:iam::aws:policy/ReadOnlyAccess\"]"), "Managed policies that limit the session of the last role: at most 10, of the region's partition."),
    key("defaults", "policy", Text, Example("'{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"eks:*\",\"Resource\":\"*\"}]}'"), "A policy that limits the session of the last role, in JSON."),
    key("defaults", "sts_endpoint", Text, Example("\"https://vpce-1.sts.eu-west-1.vpce.amazonaws.com\""), "The STS endpoint for AssumeRole, such as a VPC endpoint."),
    key("defaults", "pin", OneOf(&["require", "entry", "off"]), Default("\"entry\""), "Which kubeconfigs get a token for the profile."),
    key("defaults", "credentials", Boolean, Default("true"), "Whether `rolecall credentials`, `rolecall env` and `rolecall exec` hand out the session of a profile."),
    key("defaults", "max_lifetime", Text, Example("\"8h\""), "How long after `rolecall refresh` the profile may be used, such as `\"8h\"`, from one minute to a week (`\"168h\"`)."),
    key("defaults", "confirm", OneOf(&["never", "first", "always"]), Default("\"never\""), "Whether you confirm a use in a window on your desktop."),
    key("defaults", "allowed_programs", Texts, Example("[\"/usr/local/bin/kubectl\"]"), "The absolute paths of the programs that may run `rolecall token` and `rolecall access`, such as `[\"/usr/local/bin/kubectl\"]`."),
    key("defaults", "allowed_hours", TextOrTexts, Example("\"Mo-Fr 08:00-19:00\""), "The times at which the profile may be used, such as `\"Mo-Fr 08:00-19:00\"`, in the time zone of this computer."),
    key("defaults", "fips", Boolean, Default("false"), "Whether STS is called, and named in tokens, by its FIPS endpoint."),
    key("defaults", "dual_stack", Boolean, Default("false"), "Whether STS is called, and named in tokens, by its dual-stack (IPv6) endpoint."),

    key("sources.*", "aws_profile", Text, Example("\"work\""), "An AWS profile of `~/.aws/config` and `~/.aws/credentials`, of any kind."),
    key("sources.*", "keyring", Text, Example("\"work\""), "The name of an access key in the OS keyring, stored by `rolecall keys put`."),
    key("sources.*", "mfa", Keys, Example("{ serial = \"arn:aws:iam::111122223333:mfa/dev\" }"), "The MFA device of the source's access key."),
    key("sources.*.mfa", "serial", Text, Required("\"arn:aws:iam::111122223333:mfa/dev\""), "The ARN of the device, or the serial number of a hardware token."),
    key("sources.*.mfa", "session", Text, Default("\"12h\""), "The length of the session that one code starts, from 15 minutes to 36 hours."),
    key("sources.*.mfa", "process", Text, Example("\"ykman oath accounts code -s work\""), "A command that prints a code, such as `\"ykman oath accounts code -s work\"`, used instead of asking you."),

    key("profiles.*", "cluster", Text, Required("\"prod\""), "The name of the EKS cluster."),
    key("profiles.*", "region", Text, Required("\"eu-west-1\""), "The region of the cluster, such as `\"eu-west-1\"`."),
    key("profiles.*", "source", Text, Required("\"work\""), "The name of a source."),
    key("profiles.*", "role_arn", Text, Example("\"arn:aws:iam::111122223333:role/developers\""), "The role to assume, such as `\"arn:aws:iam::111122223333:role/developers\"`."),
    key("profiles.*", "via", Texts, Default("[]"), "Roles to assume before `role_arn`, in order."),
    key("profiles.*", "external_id", Text, Example("\"handshake-7\""), "The external id for `role_arn`: 2 to 1224 letters, digits and `_+=,.@:/-`."),
    key("profiles.*", "protected", Boolean, Default("false"), "Whether `rolecall shell` and `rolecall exec` ask before they use the profile, and lists and prompts show its name in red."),
    key("profiles.*", "entry_key", Sha256, Example("\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""), "The value of `ROLECALL_ENTRY_KEY` in the profile's kubeconfig entry: 64 hexadecimal digits."),
    key("profiles.*", "server", Text, Example("\"https://ABCDEF.gr7.eu-west-1.eks.amazonaws.com\""), "The pin: the URL of the API server, beginning with `https://`, at most 2048 characters."),
    key("profiles.*", "ca_sha256", Sha256, Example("\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\""), "The SHA-256 of the API server's certificate authority, in 64 hexadecimal digits."),
    key("profiles.*", "certificate_authority_data", Text, Example("\"\""), "The certificate authority itself, in base64, if `server` was given to `rolecall add` with `--server`."),
    key("profiles.*", "proxy_url", Text, Example("\"http://proxy.example.com:3128\""), "The `proxy-url` that you added to the cluster of the kubeconfig entry."),
    key("profiles.*", "tls_server_name", Text, Example("\"kubernetes.internal\""), "The `tls-server-name` that you added to the cluster of the kubeconfig entry."),

    key("endpoints", "sts", Text, Example("\"https://vpce-1.sts.eu-west-1.vpce.amazonaws.com\""), "The address of AWS Security Token Service."),
    key("endpoints", "eks", Text, Example("\"https://vpce-1.eks.eu-west-1.vpce.amazonaws.com\""), "The address of Elastic Kubernetes Service."),
    key("endpoints", "iam", Text, Example("\"https://iam.example.com\""), "The address of Identity and Access Management."),
    key("endpoints", "sso", Text, Example("\"https://sso.example.com\""), "The address of the portal of IAM Identity Center."),
    key("endpoints", "sso_oidc", Text, Example("\"https://oidc.example.com\""), "The address of the OIDC service of IAM Identity Center."),

    key("network", "proxy", Text, Example("\"http://proxy.example.com:3128\""), "The proxy for every call, such as `\"http://HOST:PORT\"` or `\"http://NAME:PASSWORD@HOST:PORT\"`, or with `https`."),
    key("network", "no_proxy", Text, Example("\".corp, 10.0.0.0/8\""), "Destinations that do not use the proxy, separated by commas or spaces, in the forms of curl and Go."),
    key("network", "ca_bundle", Text, Example("\"/etc/ssl/corp.pem\""), "The absolute path of a file with PEM certificates, which are trusted in addition to the system's."),
    key("network", "extra_regions", Texts, Default("[]"), "Regions that are allowed beside those that this version knows, such as a new region of AWS."),

    key("environment", "pass", Texts, Default("[]"), "Names of further variables, such as `[\"AWS_VAULT_BACKEND\"]`, with the values of the shell in which the daemon is started."),
    key("environment", "set", TextTable, Default("{}"), "Variables with their values, such as `{ PYENV_ROOT = \"/opt/pyenv\" }`."),

    key("lock", "idle", Text, Example("\"30min\""), "Lock after this time without use, such as `\"30min\"`, from one minute to a week."),
    key("lock", "max", Text, Example("\"12h\""), "Lock this long after the start or the last unlock, even if the daemon is in use, such as `\"12h\"`."),
    key("lock", "on_screen_lock", Boolean, Default("false"), "Lock when your desktop locks its screen. Linux with systemd-logind only."),
    key("lock", "on_sleep", Boolean, Default("false"), "Lock before the computer sleeps. Linux with systemd-logind only."),

    key("notifications", "login", Boolean, Default("true"), "Send one notification when a login has expired, and one before it expires (see `early`)."),
    key("notifications", "unauthorized", Boolean, Default("true"), "Send one notification when a cluster rejects the tokens of a profile with 401 (Unauthorized)."),
    key("notifications", "early", Text, Default("\"15min\""), "How long before the end of a login that cannot be renewed automatically the warning is sent; at most a day, and `\"0s\"` turns it off."),

    key("audit", "syslog", Boolean, Default("false"), "Send each line to the system's log daemon too."),

    key("confirm", "program", Text, Example("\"/usr/bin/pinentry\""), "The absolute path of the program that asks you to confirm a use."),

    key("client", "trusted_configs", Texts, Default("[]"), "The absolute paths of other configurations, whose daemons `rolecall token` may use at `ROLECALL_SOCKET`."),
];
