"""What the test of hostile arguments gives to methods: one valid value for each argument, and many that are not."""

import functools
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel

from mongostore import models
from mongostore.models import (
    ApiScope,
    Client,
    Message,
    PersistedGrantFilter,
    RemoveSessionsContext,
    SessionFilter,
    SessionQuery,
)
from mongostore.testing.contracts.filled_models import an_api_resource, an_identity_resource, an_oidc_provider
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_private_jwk,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_serialized_key,
    a_session,
    a_ticket,
    an_authorization_code,
)

MANY = 1_000_000


def deep(levels: int = 100_000) -> list[Any]:
    """A list in a list in a list …"""
    return functools.reduce(lambda value, _: [value], range(levels), [])


class Text(str):
    """A text of another class."""

    __slots__ = ()


class Number(int):
    """A number of another class."""


class Moment(datetime):
    """An instant of another class."""


NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001 - that is the point

VALUES: dict[str, Any] = {
    "None": None,
    "an int": 7,
    "a negative int": -1,
    "a huge int": 2**63,
    "a longer int": 10**5_000,
    "a bool": True,
    "a float": 1.5,
    "no number": float("nan"),
    "bytes": b"bytes",
    "an empty text": "",
    "a NUL": "a\0b",
    "a surrogate": "a\ud800",
    "a long text": "x" * 1_001,
    "a longer text": "x" * (2**20 + 1),
    "another text": Text("web"),
    "another int": Number(3),
    "an empty list": [],
    "a list of texts": ["web"],
    "a list of anything": [None, 7, "", "\ud800", {}],
    "many": ["x"] * MANY,
    "without end": itertools.repeat("x"),
    "an operator": {"$ne": ""},
    "an object": object(),
    "a class": Client,
    "a function": len,
    "depth": deep(),
    "a dict of depth": {"a": deep()},
    "a long duration": timedelta.max,
    "a negative duration": timedelta.min,
    "no duration": timedelta(0),
    "the last instant": datetime.max.replace(tzinfo=UTC),
    "the first instant": datetime.min.replace(tzinfo=UTC),
    "a naive instant": NAIVE,
    "another instant": Moment(2030, 1, 1, tzinfo=UTC),
}
IN_MODELS = (
    *("None", "an int", "a huge int", "a longer int", "a bool", "bytes", "an empty text", "a NUL", "a surrogate"),
    *("a long text", "a longer text", "another text", "a list of texts", "a list of anything", "many", "an operator"),
    *("an object", "depth", "a dict of depth", "a long duration", "the last instant", "the first instant"),
    *("a naive instant", "another instant"),
)


@dataclass
class Known:
    """What is in a store, by the names of arguments."""

    values: dict[str, Any] = field(default_factory=dict)


async def seeded(store: Any) -> Known:
    """Put one of each into an empty store, and give a valid value for the arguments of all methods."""
    code = await store.authorization_codes.store_authorization_code(an_authorization_code())
    refresh = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    reference = await store.reference_tokens.store_reference_token(a_reference_token())
    await store.user_consents.store_user_consent(a_consent())
    await store.persisted_grants.store(a_grant("key"))
    await store.device_flow.store_device_authorization("device", "user", a_device_code())
    await store.pushed_authorization_requests.store(a_pushed_request("stored"))
    ciba = await store.backchannel_authentication_requests.create_request(a_backchannel_request())
    internal = await store.backchannel_authentication_requests.get_by_authentication_request_id(ciba)
    message = await store.messages.write(Message("x"))
    ticket = await store.tickets.store(a_ticket())
    await store.server_side_sessions.create_session(a_session("stored"))
    await store.clients.save_client(a_client())
    await store.resources.save_identity_resource(an_identity_resource())
    await store.resources.save_api_scope(ApiScope(name="read"))
    await store.resources.save_api_resource(an_api_resource())
    await store.identity_providers.save_identity_provider(an_oidc_provider())
    handles = {"authorization_codes": code, "refresh_tokens": refresh, "reference_tokens": reference}
    return Known(
        {
            **{f"{name}.handle": handle for name, handle in handles.items()},
            "replay_cache.handle": "handle",
            "backchannel_authentication_requests.request_id": ciba,
            "internal_id": internal.internal_id,
            "id": message,
            "signing_keys.id": "k1",
            "tickets.key": ticket,
            "persisted_grants.key": "key",
            "server_side_sessions.key": "stored",
        }
    )


def unchanged(session: Any) -> Any:
    """What is to become of a session."""
    return session


async def noted(*_: object) -> None:
    """Hear of something."""


BY_NAME: dict[str, Any] = {
    "client_id": "web",
    "subject_id": "alice",
    "session_id": "s1",
    "expected_revision": None,
    "names": ["read"],
    "name": "read",
    "scheme": "acme",
    "origin": "https://app.example.com",
    "purpose": "jti",
    "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
    "device_code": "device",
    "user_code": "user",
    "interval": timedelta(seconds=5),
    "hash": "stored",
    "family": "family",
    "grace": timedelta(seconds=5),
    "count": 1,
    "lease": timedelta(minutes=1),
    "keys": ["stored"],
    "slide": False,
    "revoke_grants": True,
    "callback": noted,
    "on_logout": noted,
    "on_expired_session": noted,
    "on_removed": noted,
    "on_progress": None,
    "algorithm": None,
    "after": 0,
    "supersedes": False,
    "batch_size": 100,
    "pause": timedelta(0),
    "tenant": "acme",
    "slug": "acme",
    "now": None,
    "change": unchanged,
    "instant": datetime(2000, 1, 1, tzinfo=UTC),
}
BY_MODEL: dict[type, Any] = {
    models.AuthorizationCode: an_authorization_code,
    models.RefreshToken: a_refresh_token,
    models.Token: a_reference_token,
    models.Consent: a_consent,
    models.DeviceCode: a_device_code,
    models.PushedAuthorizationRequest: lambda: a_pushed_request("new"),
    models.BackChannelAuthenticationRequest: a_backchannel_request,
    models.Message: lambda: Message("x"),
    models.PersistedGrant: lambda: a_grant("new"),
    models.PersistedGrantFilter: lambda: PersistedGrantFilter(subject_id="nobody"),
    models.SerializedKey: lambda: a_serialized_key("k9", data=a_private_jwk("k9")),
    models.ServerSideSession: lambda: a_session("stored"),
    models.SessionFilter: lambda: SessionFilter(subject_id="nobody"),
    models.SessionQuery: SessionQuery,
    models.RemoveSessionsContext: lambda: RemoveSessionsContext(subject_id="nobody"),
    models.AuthenticationTicket: a_ticket,
    models.Client: a_client,
    models.IdentityResource: an_identity_resource,
    models.ApiScope: lambda: ApiScope(name="read"),
    models.ApiResource: an_api_resource,
    models.IdentityProvider: an_oidc_provider,
}


def arguments(method: Any) -> dict[str, type | None]:
    """The arguments of a bound method, each with the model that it must be, if it must."""
    hints = get_type_hints(inspect.unwrap(getattr(method, "__func__", method)))
    return {name: _model(hints.get(name)) for name in inspect.signature(method).parameters}


def _model(hint: Any) -> type | None:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next((kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, BaseModel)), None)


def valid(attribute: str, name: str, model: type | None, known: Known) -> Any:
    """A value that is taken."""
    if model is not None:
        return BY_MODEL[model]()
    for key in (f"{attribute}.{name}", name):
        if key in known.values:
            return known.values[key]
    return BY_NAME[name]


def hostile(model: type[BaseModel] | None) -> Iterator[tuple[str, Any]]:
    """Values that are not taken, or with care; each call is to have a new one."""
    yield from VALUES.items()
    if model is None:
        return
    good = BY_MODEL[model]()
    yield "nothing set", model.model_construct()
    yield "no constructor", model.__new__(model)
    yield "a misspelt property", good.model_copy(update={"misspelt": "x"})
    yield (
        "a subclass",
        type("Sub", (model,), {"__annotations__": {"added": str}, "added": "x", "__module__": __name__})(**dict(good)),
    )
    # Of a large model, each property is given some of them: all are given to a few properties of each kind.
    stride = 1 + len(model.model_fields) // 12
    for number, property_name in enumerate(model.model_fields):
        for name in IN_MODELS[number % stride :: stride]:
            value = ["x"] * 20_000 if name == "many" else VALUES[name]
            yield f"{property_name} = {name}", good.model_copy(update={property_name: value})
