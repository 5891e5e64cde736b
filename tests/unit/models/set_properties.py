"""Set properties as a user's typed code gives and reads them; `test_set_properties.py` checks this file and runs it."""

from datetime import UTC, datetime
from typing import assert_type

from mongostore.models import ApiResource, ApiScope, Client, ClientClaim, GrantType, Secret, Token

client = Client(
    client_id="web",
    allowed_grant_types={GrantType.AuthorizationCode, "urn:example:extension"},
    redirect_uris=["https://app.example/signin"],
    allowed_scopes=("openid", "profile"),
    allowed_cors_origins=frozenset({"https://app.example"}),
    client_secrets=[Secret.sha256("one"), Secret.sha256("two")],
    claims={ClientClaim(type="t", value="v")},
)
api = ApiResource(name="api", api_secrets={Secret.sha256("one")}, scopes=client.allowed_scopes | {"orders"})
scope = ApiScope(name="orders", user_claims=[])
token = Token(creation_time=datetime.now(UTC), lifetime=1, client_id="web", allowed_signing_algorithms=["ES256"])

texts = [
    assert_type(client.allowed_grant_types, frozenset[str]),
    assert_type(client.redirect_uris, frozenset[str]),
    assert_type(client.allowed_scopes, frozenset[str]),
    assert_type(client.allowed_cors_origins, frozenset[str]),
    assert_type(client.post_logout_redirect_uris, frozenset[str]),
    assert_type(api.scopes, frozenset[str]),
    assert_type(scope.user_claims, frozenset[str]),
    assert_type(token.allowed_signing_algorithms, frozenset[str]),
]
secrets = [assert_type(client.client_secrets, frozenset[Secret]), assert_type(api.api_secrets, frozenset[Secret])]
claims = assert_type(client.claims, frozenset[ClientClaim])
by_scopes: dict[frozenset[str], Client] = {client.allowed_scopes: client}
missing: frozenset[str] = api.scopes.difference(client.allowed_scopes)


def refused() -> None:
    """A text would be a set of its letters; mypy is told to complain of an `ignore` that hides nothing."""
    Client(client_id="web", allowed_scopes="openid")  # type: ignore[arg-type]
    Client(client_id="web", allowed_scopes={1})  # type: ignore[arg-type]
    Client(client_id="web", client_secrets=["one"])  # type: ignore[list-item]
    client.allowed_scopes.add("more")  # type: ignore[attr-defined]
