"""The rules that a client must keep to be saved or served: all that are broken are told at once."""

from collections.abc import Callable, Iterable

from mongostore.models.clients import Client, GrantType
from mongostore.models.identifiers import identifier_problem
from mongostore.models.origins import normalize_origin
from mongostore.models.revalidation import validated
from mongostore.models.secrets import secret_problems

FORBIDDEN_URI_PREFIXES = (
    "javascript:",
    "file:",
    "data:",
    "mailto:",
    "ftp:",
    "blob:",
    "about:",
    "ssh:",
    "tel:",
    "view-source:",
    "ws:",
    "wss:",
)
_FORBIDDEN_PAIRS = (
    (GrantType.Implicit, GrantType.AuthorizationCode),
    (GrantType.Implicit, GrantType.Hybrid),
    (GrantType.AuthorizationCode, GrantType.Hybrid),
)
_WITH_REDIRECT = (GrantType.AuthorizationCode, GrantType.Hybrid, GrantType.Implicit)


def client_problems(client: Client) -> list[str]:
    """Say everything that keeps a client from being valid, one sentence each; secrets are never repeated.

    A protocol other than OpenID Connect has rules of its own, so only what concerns storing is checked then.
    """
    checked = validated(Client, client)
    if isinstance(checked, list):
        return checked
    client = checked
    checks: list[Callable[[Client], list[str]]] = [
        _identifier_problems,
        _grant_type_problems,
        _origin_problems,
        _claim_problems,
    ]
    if client.protocol_type == "oidc":
        checks += [_lifetime_problems, _redirect_problems, _secret_rule_problems]
    return [
        *(problem for check in checks for problem in check(client)),
        *secret_problems("client_secrets", client.client_secrets),
        *property_problems(client.properties),
    ]


def identifier_set_problems(name: str, values: Iterable[str]) -> list[str]:
    """Say which members of a set of identifiers are none.

    Args:
        name: the property that holds them ("allowed_scopes").
    """
    found = []
    for value in sorted(values):
        problem = identifier_problem(value)
        if problem is None and not value.strip():
            problem = "must not be blank"
        if problem is not None:
            found.append(f"{name} has {_shown(value)}, which {problem}")
    return found


def property_problems(properties: dict[str, str]) -> list[str]:
    """Say which names of free properties can't be stored. The empty one can: the reference's dictionaries allow it."""
    named = ((name, identifier_problem(name)) for name in properties if name)
    return [f"properties has the name {_shown(name)}: it {problem}" for name, problem in named if problem]


def _identifier_problems(client: Client) -> list[str]:
    problem = identifier_problem(client.client_id)
    found = [] if problem is None else [f"client_id {problem}"]
    if not client.protocol_type.strip():
        found.append("protocol_type must not be blank")
    for name in ("allowed_scopes", "identity_provider_restrictions"):
        found += identifier_set_problems(name, getattr(client, name))
    return found


def _grant_type_problems(client: Client) -> list[str]:
    types = client.allowed_grant_types
    found = []
    for grant_type in sorted(types):
        problem = identifier_problem(grant_type)
        if problem is not None:
            found.append(f"allowed_grant_types has {_shown(grant_type)}, which {problem}")
        elif " " in grant_type or not grant_type.strip():
            found.append(f"allowed_grant_types has {_shown(grant_type)}: a grant type has no spaces")
    found += [
        f"allowed_grant_types must not have both {one} and {other}"
        for one, other in _FORBIDDEN_PAIRS
        if one in types and other in types
    ]
    if not types and client.protocol_type == "oidc":
        found.append("allowed_grant_types must name at least one grant type")
    return found


def _origin_problems(client: Client) -> list[str]:
    return [
        f"allowed_cors_origins has {_shown(origin)}, which is no origin: "
        "write scheme://host[:port], without path, query or trailing slash"
        for origin in sorted(client.allowed_cors_origins)
        if normalize_origin(origin) is None
    ]


def _claim_problems(client: Client) -> list[str]:
    return ["claims has a claim without type" for claim in client.claims if not claim.type.strip()][:1]


def _lifetime_problems(client: Client) -> list[str]:
    positive = ["access_token_lifetime", "identity_token_lifetime"]
    if GrantType.DeviceFlow in client.allowed_grant_types:
        positive.append("device_code_lifetime")
    found = [
        f"{name} must be more than 0 seconds, not {value}" for name in positive if (value := getattr(client, name)) <= 0
    ]
    for name in ("absolute_refresh_token_lifetime", "sliding_refresh_token_lifetime"):
        value = getattr(client, name)
        if value < 0:
            found.append(f"{name} must be 0 seconds or more, not {value}")
    return found


def _redirect_problems(client: Client) -> list[str]:
    found = []
    needing = [grant_type.value for grant_type in _WITH_REDIRECT if grant_type in client.allowed_grant_types]
    if needing and not client.redirect_uris:
        found.append(f"redirect_uris must have at least one URI for {', '.join(needing)}")
    for name in ("redirect_uris", "post_logout_redirect_uris"):
        for uri in sorted(getattr(client, name)):
            read = uri.translate(_REMOVED_BY_BROWSERS).lstrip(_SKIPPED_BY_BROWSERS).lower()
            if not uri.strip():
                found.append(f"{name} has a blank URI")
            elif read.startswith(FORBIDDEN_URI_PREFIXES):
                found.append(f"{name} has {_shown(uri)}: URIs must not start with {read.split(':')[0]}:")
    return found


def _secret_rule_problems(client: Client) -> list[str]:
    found = []
    others = sorted(client.allowed_grant_types - {GrantType.Implicit})
    if client.require_client_secret and not client.client_secrets and others:
        found.append(
            f"client_secrets must have at least one secret for {', '.join(map(_shown, others))}, "
            "since require_client_secret is on"
        )
    if GrantType.ClientCredentials in client.allowed_grant_types and not client.require_client_secret:
        found.append("require_client_secret must be on for client_credentials")
    return found


# " javascript:" and "java\tscript:" are as bad: WHATWG URL §4.4, steps 1 to 3 of the basic URL parser.
_SKIPPED_BY_BROWSERS = "".join(map(chr, range(0x21)))
_REMOVED_BY_BROWSERS = str.maketrans("", "", "\t\n\r")
_SHOWN_LENGTH = 100


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN_LENGTH else f"{value[:_SHOWN_LENGTH]}…")
