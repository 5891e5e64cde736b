"""Clients, scopes, APIs and an identity provider, from a JSON file."""

from dataclasses import fields
from pathlib import Path

from demo_chapters.stage import Chapter, Stage
from mongostore import InvalidModel, MongoStore
from mongostore.configuration_import import import_configuration
from mongostore.models import OidcProvider, Resources, Secret

_DOCUMENT = Path(__file__).parent.parent / "demo_data" / "identity_server.json"
_UPSTREAM_SECRET = "upstream-secret-of-the-demo"  # noqa: S105 - of nobody: it stands in the file
_BROKEN = {"Clients": [{"ClientId": "new", "RedirectUri": ["https://new.example"]}, {"ClientId": "other"}]}


async def show(stage: Stage) -> None:
    """Import it, then ask what an authorize request asks."""
    async with stage.store() as store:
        await _import(stage, store)
        await _look_up(stage, store)
        await _origins(stage, store)
        await _provider(stage, store)


async def _import(stage: Stage, store: MongoStore) -> None:
    try:
        await import_configuration(store, _BROKEN)
        problems: tuple[str, ...] = ()
    except InvalidModel as error:
        problems = error.problems
    stage.teller.claim(
        "a file with mistakes: all are told, and nothing is saved",
        len(problems) > 1 and await stage.raw["clients"].count_documents({}) == 0,
        "; ".join(problems),
    )
    document = _DOCUMENT.read_text(encoding="utf-8")
    first = await import_configuration(store, document)
    again = await import_configuration(store, document)
    created = {kind.name: getattr(first, kind.name).created for kind in fields(first)}
    replaced = {kind.name: getattr(again, kind.name).replaced for kind in fields(again)}
    count = sum(map(len, created.values()))
    stage.teller.claim(f"the file {_DOCUMENT.name} is imported", count > 0, f"{count} created")
    for kind, names in created.items():
        stage.teller.field(kind, ", ".join(names))
    stage.teller.claim("importing it again doubles nothing", replaced == created, f"0 created, {count} replaced")


async def _look_up(stage: Stage, store: MongoStore) -> None:
    client = await store.clients.find_enabled_client_by_id("shop-web")
    stage.teller.claim(
        "a client is found by its id, with all that belongs to it",
        client is not None and client.refresh_token_usage.name == "OneTimeOnly",
        f"shop-web, {len(client.allowed_scopes)} scopes" if client else "",
    )
    stage.teller.claim(
        "its secret can be verified, not read",
        client is not None
        and Secret.sha256("shop-web-demo") in client.client_secrets
        and b"shop-web-demo" not in await stage.stored_bytes(),
        "stored as its SHA-256",
    )
    stage.teller.claim(
        "a disabled client is none",
        await store.clients.find_enabled_client_by_id("old-partner") is None,
        "old-partner",
    )
    asked = ["openid", "profile", "orders.read", "offline_access", "no.such.scope"]
    found = await store.resources.find_enabled_resources_by_scope(asked)
    stage.teller.claim(
        "the scopes of a request lead to all that stands behind them",
        [each.name for each in found.api_resources] == ["orders"] and found.offline_access,
        _resources(found),
    )


async def _origins(stage: Stage, store: MongoStore) -> None:
    for origin, allowed, reason in (
        ("https://SHOP.example:443", True, "shop-web's, in another spelling"),
        ("https://shop.example.evil.test", False, "nobody's"),
        ("https://partner.example", False, "a disabled client's"),
    ):
        answer = await store.cors_policy.is_origin_allowed(origin)
        stage.teller.claim(f"the origin {origin} {'may' if allowed else 'may not'} call", answer is allowed, reason)


async def _provider(stage: Stage, store: MongoStore) -> None:
    provider = await store.identity_providers.get_by_scheme("corporate")
    stage.teller.claim(
        "the server's secret at another provider lies sealed",
        isinstance(provider, OidcProvider)
        and provider.client_secret == _UPSTREAM_SECRET
        and _UPSTREAM_SECRET.encode() not in await stage.stored_bytes(),
        "opened by the store only",
    )


def _resources(found: Resources) -> str:
    kinds = {
        "identity": [each.name for each in found.identity_resources],
        "scopes": [each.name for each in found.api_scopes],
        "APIs": [each.name for each in found.api_resources],
    }
    return "; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items()) + "; offline access"


CONFIGURATION = Chapter(
    "Clients, scopes, origins",
    "A server's configuration is read from one JSON file in the reference's format, checked as a whole, and answers the "
    "questions of an authorize request.",
    show,
)
