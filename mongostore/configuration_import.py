"""Reads a configuration document, JSON with the reference's names, into the stores: all of it is checked, then saved.

It knows the models and the stores' protocols, so it works with every backend.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from mongostore.errors import AlreadyExists, InvalidModel
from mongostore.models import ApiResource, ApiScope, Client, IdentityProvider, IdentityResource, OidcProvider
from mongostore.models.base import ConfigurationModel, reference_name
from mongostore.stores.clients import ClientStore, check_client
from mongostore.stores.identity_providers import IdentityProviderStore, check_identity_provider
from mongostore.stores.resources import ResourceStore, check_resource

# In the order in which they are saved: a client comes after the scopes that it may ask for.
SECTIONS = ("identity_resources", "api_scopes", "api_resources", "identity_providers", "clients")
_SHOWN_LENGTH = 100


class ConfigurationStores(Protocol):
    """What is imported into: a `MongoStore`, a `MemoryStore`, or three stores of one's own."""

    @property
    def clients(self) -> ClientStore:
        """OAuth clients."""

    @property
    def resources(self) -> ResourceStore:
        """Identity resources, API scopes and API resources."""

    @property
    def identity_providers(self) -> IdentityProviderStore:
        """External providers."""


@dataclass(frozen=True)
class Imported:
    """The names of one kind, in the document's order.

    Attributes:
        created: what was not there before.
        replaced: what was there, and is now as the document says.
    """

    created: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportSummary:
    """What an import saved."""

    identity_resources: Imported
    api_scopes: Imported
    api_resources: Imported
    identity_providers: Imported
    clients: Imported


@dataclass(frozen=True)
class _Item:
    """One thing of the document, read and in order: its section, its place there, its name."""

    section: str
    place: str
    name: str
    model: ConfigurationModel


async def import_configuration(store: ConfigurationStores, document: Mapping[str, Any] | str) -> ImportSummary:
    """Save every client, resource and identity provider of a document, each in place of an earlier one of its name.

    What the document does not name stays as it is. Saves are one by one: when one fails, those before it are done, and
    importing again does all of them.

    Args:
        store: what is imported into.
        document: an object with any of the lists `Clients`, `IdentityResources`, `ApiScopes`, `ApiResources` and
            `IdentityProviders`, or the JSON text of it; names are the reference's, or those of the models.

    Returns:
        What was created and what was replaced.

    Raises:
        InvalidModel: something breaks the rules, and nothing was saved; `problems` lists everything, each with the item
            that it is about. Secrets are not repeated.
        TypeError: the document is neither an object nor a text.
        AlreadyExists: while this ran, somebody gave a scope's name to one of the other kind.
        StorageUnavailable: MongoDB did not answer in time.
    """
    items, problems = _read(_parsed(document))
    problems += _names_given_twice(items) + await _names_in_use(store, items)
    if problems:
        raise InvalidModel("the configuration document", problems)
    names: dict[str, dict[bool, list[str]]] = {section: {True: [], False: []} for section in SECTIONS}
    for item in items:
        names[item.section][await _save(store, item)].append(item.name)
    return ImportSummary(**{section: Imported(tuple(of[True]), tuple(of[False])) for section, of in names.items()})


def _parsed(document: Mapping[str, Any] | str) -> Mapping[str, Any]:
    parsed: object = document
    if isinstance(document, str):
        problem = "it must be a JSON object"
        try:
            parsed = json.loads(document, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            problem = f"it is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        except (ValueError, RecursionError):
            problem = "it is no JSON that can be read"
        if not isinstance(parsed, dict):
            # Outside of the handler: that error keeps the whole text, which may hold secrets.
            raise InvalidModel("the configuration document", [problem])
    if not isinstance(parsed, Mapping):
        raise TypeError(f"the document must be a mapping or JSON text, not {type(document).__name__}")
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; Python would keep the last of two equal names without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidModel("the configuration document", [f"an object has {_shown(name)} twice" for name in twice])
    return found


def _read(document: Mapping[str, Any]) -> tuple[list[_Item], list[str]]:
    known = {reference_name(section): section for section in SECTIONS} | {section: section for section in SECTIONS}
    problems = [
        f"{_shown(str(name))} is none of its lists: {', '.join(map(reference_name, SECTIONS))}"
        for name in document
        if name not in known
    ]
    items: list[_Item] = []
    for section in SECTIONS:
        for title in (section, reference_name(section)):
            if title not in document:
                continue
            entries = document[title]
            if not isinstance(entries, list | tuple):
                problems.append(f"{title} must be a list")
                continue
            for number, entry in enumerate(entries):
                found = _item(section, f"{title}[{number}]", entry)
                if isinstance(found, _Item):
                    items.append(found)
                else:
                    problems += found
    return items, problems


def _item(section: str, place: str, entry: object) -> _Item | list[str]:
    """The item, or what is wrong with it."""
    if not isinstance(entry, Mapping):
        return [f"{place} must be an object"]
    kind = _kind(section, entry)
    field = {"clients": "client_id", "identity_providers": "scheme"}.get(section, "name")
    name = entry.get(field, entry.get(reference_name(field)))
    place = f"{place} {_shown(name)}" if isinstance(name, str) else place
    try:
        model = kind.model_validate(dict(entry))
        _check(model)
    except ValidationError as error:
        return [f"{place}: {problem}" for problem in _explained(error)]
    except InvalidModel as error:
        return [f"{place}: {problem}" for problem in error.problems]
    return _Item(section, place, getattr(model, field), model)


def _kind(section: str, entry: Mapping[str, Any]) -> type[ConfigurationModel]:
    if section == "identity_providers":
        return OidcProvider if entry.get("type", entry.get("Type", "oidc")) == "oidc" else IdentityProvider
    kinds: dict[str, type[ConfigurationModel]] = {
        "clients": Client,
        "api_resources": ApiResource,
        "api_scopes": ApiScope,
        "identity_resources": IdentityResource,
    }
    return kinds[section]


def _check(model: ConfigurationModel) -> None:
    """What the store will check at its door, now."""
    match model:
        case Client():
            check_client(model, None)
        case IdentityResource() | ApiScope() | ApiResource():
            check_resource(model, type(model), "the resource", None)
        case IdentityProvider():
            check_identity_provider(model, None)


def _explained(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        *outer, last = detail["loc"] or ("it",)
        if detail["type"] == "extra_forbidden":
            within = f" in {'.'.join(map(str, outer))}" if outer else ""
            yield f"there is no property {_shown(str(last))}{within}"
        else:
            # What is in `properties` has names of the user's own, so only the field is named.
            where = detail["loc"][:1] if "properties" in detail["loc"] else (*outer, last)
            yield f"{'.'.join(map(str, where))}: {detail['msg'].removeprefix('Value error, ')}"


def _names_given_twice(items: list[_Item]) -> list[str]:
    first: dict[tuple[str, str], _Item] = {}
    problems = []
    for item in items:
        # Identity resources and API scopes share one name space: a request names both alike.
        space = "scopes" if isinstance(item.model, IdentityResource | ApiScope) else item.section
        other = first.setdefault((space, item.name), item)
        if other is not item:
            problems.append(f"{item.place}: {other.place} has this name already")
    return problems


async def _names_in_use(store: ConfigurationStores, items: list[_Item]) -> list[str]:
    """Which scopes have the name of a stored one of the other kind, told before anything is saved."""
    identity_resources = {item.name: item for item in items if isinstance(item.model, IdentityResource)}
    api_scopes = {item.name: item for item in items if isinstance(item.model, ApiScope)}
    read_api_scope, read_identity_resource = store.resources.read_api_scope, store.resources.read_identity_resource
    problems = []
    # Not from a cache, which may not know yet what another node has saved.
    for name, item in identity_resources.items():
        if await _is_stored(read_api_scope, name):
            problems.append(f"{item.place}: a stored API scope has this name")
    for name, item in api_scopes.items():
        if await _is_stored(read_identity_resource, name):
            problems.append(f"{item.place}: a stored identity resource has this name")
    return problems


async def _is_stored(read: Callable[[str], Awaitable[object]], name: str) -> bool:
    try:
        return await read(name) is not None
    except InvalidModel:
        # There, though it is not served.
        return True


async def _save(store: ConfigurationStores, item: _Item) -> bool:
    """Save it; True when it was not there before."""
    saves: dict[str, Callable[..., Awaitable[int]]] = {
        "identity_resources": store.resources.save_identity_resource,
        "api_scopes": store.resources.save_api_scope,
        "api_resources": store.resources.save_api_resource,
        "identity_providers": store.identity_providers.save_identity_provider,
        "clients": store.clients.save_client,
    }
    save = saves[item.section]
    try:
        await save(item.model, expected_revision=0)
    except AlreadyExists:
        await save(item.model)
        return False
    return True


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_LENGTH else f"{name[:_SHOWN_LENGTH]}…")
