"""Prints what the AWS CLI makes of AWS's own files, as JSON: one object per folder.

Arguments: the package of botocore (`botocore`, or `awscli.botocore` for the AWS CLI 2), and a folder with a folder of the
files `config` and `credentials` for each case. Calls no program and no network.
"""

import importlib
import json
import os
import sys

package, cases = sys.argv[1:]
credentials = importlib.import_module(package + ".credentials")
exceptions = importlib.import_module(package + ".exceptions")
configprovider = importlib.import_module(package + ".configprovider")
Session = importlib.import_module(package + ".session").Session

# The providers that read an AWS profile, in the order of the AWS CLI. Those after them read the environment and the machine.
PROFILE_PROVIDERS = {
    "assume-role", "assume-role-with-web-identity", "sso", "shared-credentials-file", "login", "custom-process", "config-file",
}


class Identity(Exception):
    """The credentials that a provider would request."""

    def __init__(self, **fields):
        self.fields = fields
        self.token = None


def role(client_creator, source_credentials, role_arn, extra_args=None, **_):
    extra = extra_args or {}
    return Fetcher(
        kind="role", role=role_arn, base=described(source_credentials), external_id=extra.get("ExternalId"),
        mfa=extra.get("SerialNumber"), name=extra.get("RoleSessionName"), duration=extra.get("DurationSeconds"),
    )


def web_identity(client_creator, web_identity_token_loader, role_arn, extra_args=None, **_):
    path = web_identity_token_loader._web_identity_token_path
    return Fetcher(kind="web identity", role=role_arn, file=path, name=(extra_args or {}).get("RoleSessionName"))


def sso(start_url, sso_region, role_name, account_id, sso_session_name=None, **_):
    return Fetcher(
        kind="sso", session=sso_session_name, start_url=start_url, region=sso_region, account=account_id, role=role_name
    )


class Fetcher:
    def __init__(self, **fields):
        self.fields = fields
        self.feature_ids = set()

    def fetch_credentials(self):
        raise AssertionError("no call is made")


def deferred(refresh_using, **_):
    return Identity(**refresh_using.__self__.fields)


def process(self):
    command = self._credential_process
    if command is not None:
        words = credentials.compat_shell_split(command)
        if not words or not words[0]:
            raise ValueError("no command")
        return Identity(kind="process", words=words)


def login(self):
    session = self._load_config().get("profiles", {}).get(self._profile_name, {}).get("login_session")
    return None if session is None else Identity(kind="login", session=session)


def described(found):
    if isinstance(found, Identity):
        return found.fields
    return {"kind": "keys", "id": found.access_key, "secret": found.secret_key, "token": found.token or None}


credentials.AssumeRoleCredentialFetcher = role
credentials.AssumeRoleWithWebIdentityCredentialFetcher = web_identity
credentials.SSOCredentialFetcher = sso
credentials.DeferredRefreshableCredentials = deferred
credentials.create_mfa_serial_refresher = lambda refresh: refresh
credentials.ProcessProvider.load = process
if hasattr(credentials, "LoginProvider"):
    credentials.LoginProvider.load = login
credentials.CanonicalNameCredentialSourcer.source_credentials = lambda self, name: Identity(kind="machine", name=name)


def identity(session, profile):
    session.set_config_variable("profile", profile)
    try:
        for provider in credentials.create_credential_resolver(session).providers:
            found = provider.load() if provider.METHOD in PROFILE_PROVIDERS else None
            if found is not None:
                return described(found)
    except Exception as error:
        return {"kind": "error", "error": f"{type(error).__name__}: {error}"}
    return {"kind": "none"}


def endpoint(session, profile, service):
    """The configured URL of a service; only newer versions of botocore read it."""
    config = session.full_config
    scoped = config["profiles"][profile]
    if str(scoped.get("ignore_configured_endpoint_urls", "")).lower() == "true":
        return None
    try:
        return configprovider.ConfiguredEndpointProvider(config, scoped, service, {}).provide()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def case(session, folder):
    session._config = session._profile_map = None
    session.set_config_variable("profile", None)
    session.set_config_variable("config_file", os.path.join(folder, "config"))
    session.set_config_variable("credentials_file", os.path.join(folder, "credentials"))
    try:
        profiles = session.full_config["profiles"]
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    has_endpoints = hasattr(configprovider, "ConfiguredEndpointProvider")
    return {
        "profiles": {
            name: {
                "settings": settings,
                "identity": identity(session, name),
                "endpoints": {
                    service: endpoint(session, name, service) for service in ("sts", "eks", "sso-oidc")
                } if has_endpoints else None,
            }
            for name, settings in profiles.items()
        }
    }


session = Session()
json.dump([case(session, os.path.join(cases, name)) for name in sorted(os.listdir(cases))], sys.stdout)
