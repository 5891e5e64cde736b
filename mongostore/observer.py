"""Puts telemetry and events around stores, whichever they are: the stores themselves know nothing of either."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mongostore.clock import Clock
from mongostore.events import Events
from mongostore.grants.outcomes import Redemption, Rotation
from mongostore.options import StoreOptions
from mongostore.protection.context import Context
from mongostore.telemetry import Operation, Telemetry, process_telemetry

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S")
B = TypeVar("B", bound="DataclassInstance")

# In which collection the records of an attribute lie; resources lie in two.
COLLECTIONS: Mapping[str, str] = {
    "clients": "clients",
    "cors_policy": "clients",
    "identity_providers": "identity_providers",
    "persisted_grants": "grants",
    "authorization_codes": "grants",
    "refresh_tokens": "grants",
    "reference_tokens": "grants",
    "user_consents": "grants",
    "backchannel_authentication_requests": "grants",
    "grants": "grants",
    "device_flow": "device_codes",
    "pushed_authorization_requests": "pushed_authorization_requests",
    "messages": "messages",
    "consent_messages": "messages",
    "replay_cache": "replay_cache",
    "server_side_sessions": "sessions",
    "sessions": "sessions",
    "tickets": "sessions",
    "signing_keys": "signing_keys",
    "signing": "signing_keys",
    "key_ring": "data_keys",
    "tenants": "tenants",
}
OBSERVED = (*COLLECTIONS, "resources")

# What False means, where it is not that nothing was there.
_FALSE = {"is_origin_allowed": "denied", "register_poll": "slow_down", "add": "replayed", "validate_session": "denied"}

# These go on until they are cancelled: a span that never ends is none.
_ENDLESS = frozenset({"run"})


class Observer:
    """Whoever wants to know what the stores do. With nobody, a store is given back as it is, and costs what it did."""

    def __init__(self, options: StoreOptions, clock: Clock, *, system: str) -> None:
        """Args: whether there is telemetry and a hook for events; the time; `db.system.name` ("mongodb")."""
        wanted = options.telemetry
        self._telemetry = wanted if isinstance(wanted, Telemetry) else process_telemetry() if wanted else None
        hears = options.on_event is not None or self._telemetry is not None
        self._events = Events(options.on_event, self._telemetry, clock) if hears else None
        self._system = system

    @property
    def events(self) -> Events | None:
        """Tells the hook, and counts; None when nobody hears."""
        return self._events

    def tampered(self, context: Context) -> None:
        """Tell that a sealed value was not believed, by the place where it was found."""
        if self._events is not None:
            self._events.tell("tampered", "protector.open", context.tenant, collection=context.collection)

    def logout_undelivered(self, tenant: str, client_id: str | None) -> None:
        """Tell that a client could not be told of a logout until the grace was over."""
        if self._events is not None:
            self._events.tell("logout_undelivered", "sessions.process_expired", tenant, client_id=client_id)

    def announcing(self, store: S, noun: str, tenant: str) -> S:
        """A store that tells what an auditor wants to hear of.

        Args:
            store: any store; it is given back as it is when nothing of the kind happens in it.
            noun: the attribute or field that it is kept under.
            tenant: whose it is.
        """
        rules = _RULES.get(noun)
        if self._events is None or rules is None:
            return store
        return cast("S", _Announcing(store, noun, tenant, self._events, rules))

    def announcing_backend(self, backend: B, tenant: str) -> B:
        """The backend, its stores announcing: before anything is built on them.

        What happens is told where it is done, so that it is told once, whoever asked for it.

        Args:
            backend: a dataclass whose fields are stores.
            tenant: whose it is.
        """
        stores = {field.name: getattr(backend, field.name) for field in fields(backend)}
        return replace(backend, **{name: self.announcing(store, name, tenant) for name, store in stores.items()})

    def observed(self, store: S, attribute: str, tenant: str) -> S:
        """A store that has a span and a measurement for each operation.

        Args:
            store: any store.
            attribute: what it is reached by.
            tenant: whose it is.
        """
        if self._telemetry is None:
            return store
        attributes = {"db.system.name": self._system, "mongostore.tenant": tenant}
        if attribute in COLLECTIONS:
            attributes["db.collection.name"] = COLLECTIONS[attribute]
        return cast("S", _Observed(store, attribute, self._telemetry, attributes))

    def observe(self, stores: object, tenant: str) -> None:
        """Observe every attribute of an object that is a store: after everything is built."""
        for attribute in OBSERVED:
            if hasattr(stores, attribute):
                store = getattr(stores, attribute)
                if attribute in _ABOVE_THE_BACKEND:
                    store = self.announcing(store, attribute, tenant)
                setattr(stores, attribute, self.observed(store, attribute, tenant))

    def watch_caches(self, caches: Any) -> None:
        """Report what `ConfigurationCaches` do, for as long as they are there."""
        if self._telemetry is not None:
            self._telemetry.watch_caches(caches)


class _Proxy(ABC):
    """A store behind methods of the same names; each is made at its first use, and kept."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name.startswith("_") or not callable(found):
            return found
        method = self._around(name, found)
        setattr(self, name, method)
        return method

    def __repr__(self) -> str:
        return repr(self._store)

    @abstractmethod
    def _around(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """What stands in a method's place."""


class _Observed(_Proxy):
    def __init__(self, store: Any, attribute: str, telemetry: Telemetry, attributes: Mapping[str, str]) -> None:
        super().__init__(store)
        self._attribute = attribute
        self._telemetry = telemetry
        self._attributes = attributes

    def _around(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if name in _ENDLESS:
            return method
        full_name = f"{self._attribute}.{name}"
        attributes = {**self._attributes, "db.operation.name": name}
        when_false = _FALSE.get(name, "absent")
        # A method that never gives anything says nothing by that.
        when_none = "ok" if getattr(method, "__annotations__", {}).get("return", Any) in (None, "None") else "absent"

        async def awaited(result: Awaitable[Any]) -> Any:
            with self._telemetry.operation(full_name, attributes) as operation:
                value = await result
                operation.outcome = _outcome(value, when_none, when_false)
                return value

        if inspect.iscoroutinefunction(method):

            @wraps(method)
            async def observed(*arguments: Any, **named: Any) -> Any:
                return await awaited(method(*arguments, **named))

            return observed

        @wraps(method)
        def observed_later(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            if isinstance(result, AsyncIterator):
                return _steps(result, lambda: self._telemetry.operation(full_name, attributes))
            return awaited(result) if inspect.isawaitable(result) else result

        return observed_later


class _Announcing(_Proxy):
    def __init__(self, store: Any, noun: str, tenant: str, events: Events, rules: "Mapping[str, Rule]") -> None:
        super().__init__(store)
        self._noun = noun
        self._tenant = tenant
        self._events = events
        self._rules = rules

    def _around(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        rule = self._rules.get(name)
        if rule is None:
            return method
        signature = inspect.signature(method)

        @wraps(method)
        async def announced(*arguments: Any, **named: Any) -> Any:
            result = await method(*arguments, **named)
            event = rule(signature.bind(*arguments, **named).arguments, result)
            if event is not None:
                self._events.tell(**{"operation": f"{self._noun}.{name}", "tenant": self._tenant, **event})
            return result

        return announced


async def _steps(items: AsyncIterator[Any], begin: Callable[[], Operation]) -> AsyncIterator[Any]:
    """What an iterator gives, one operation from the first step to the last; between them, the caller's spans go on."""
    operation = begin()
    failure: type[BaseException] | None = None
    try:
        while True:
            with operation.step():
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    break
            yield item
    except GeneratorExit:
        # The caller has seen enough.
        raise
    except BaseException as error:
        failure = type(error)
        raise
    finally:
        operation.end(failure)
        if isinstance(items, AsyncGenerator):
            await items.aclose()


def _outcome(value: Any, when_none: str, when_false: str) -> str:
    if isinstance(value, Redemption | Rotation):
        return value.outcome
    if value is None:
        return when_none
    return when_false if value is False else "ok"


Rule = Callable[[Mapping[str, Any], Any], dict[str, Any] | None]
"""From the arguments and the result of a call to the event that it is, if it is one."""


def _removed_all(arguments: Mapping[str, Any], removed: int) -> dict[str, Any] | None:
    client_ids = arguments["filter"].effective_client_ids or ()
    client_id = next(iter(client_ids)) if len(client_ids) == 1 else None
    return {"kind": "revoked", "client_id": client_id, "count": removed} if removed else None


def _removed_of_before(_: Mapping[str, Any], removed: int) -> dict[str, Any] | None:
    return {"kind": "revoked", "count": removed} if removed else None


def _removed(_: Mapping[str, Any], removed: bool) -> dict[str, Any] | None:
    return {"kind": "revoked", "count": 1} if removed else None


def _removed_family(arguments: Mapping[str, Any], removed: int) -> dict[str, Any] | None:
    return {"kind": "revoked", "family": arguments["family"], "count": removed} if removed else None


def _redeemed(_: Mapping[str, Any], redemption: Redemption[Any]) -> dict[str, Any] | None:
    if redemption.outcome != "replayed":
        return None
    return {"kind": "replayed", "client_id": getattr(redemption.value, "client_id", None), "family": redemption.family}


def _rotated(_: Mapping[str, Any], rotation: Rotation) -> dict[str, Any] | None:
    about = {"client_id": getattr(rotation.token, "client_id", None), "family": rotation.family}
    match rotation.outcome:
        case "replayed":
            return {"kind": "replayed", **about}
        case "retried":
            return {"kind": "retried", **about, "count": rotation.retries}
        case _:
            return None


def _remembered(_: Mapping[str, Any], is_first: bool) -> dict[str, Any] | None:
    return None if is_first else {"kind": "replayed"}


def _data_key_stored(arguments: Mapping[str, Any], stored: bool) -> dict[str, Any] | None:
    record = arguments["record"]
    # The first one has no predecessor, and generation 0 is the key for hashes.
    if not stored or record.generation <= 1:
        return None
    return {"kind": "key_rotated", "tenant": record.tenant, "key_id": record.key_id.hex()}


def _signing_key_stored(arguments: Mapping[str, Any], stored: bool) -> dict[str, Any] | None:
    is_first = arguments["after"] == 0
    return {"kind": "signing_key_rotated", "key_id": arguments["key"].id} if stored and not is_first else None


def _keys_destroyed(arguments: Mapping[str, Any], destroyed: int) -> dict[str, Any]:
    # Also with 0: the answer of an earlier attempt that succeeded may have been lost.
    return {"kind": "tenant_destroyed", "tenant": arguments["tenant"], "count": destroyed}


def _tenant_deleted(arguments: Mapping[str, Any], removed: int) -> dict[str, Any]:
    return {"kind": "tenant_deleted", "tenant": arguments["slug"], "count": removed}


_ABOVE_THE_BACKEND: Mapping[str, Mapping[str, Rule]] = {
    "authorization_codes": {"redeem_authorization_code": _redeemed},
    "refresh_tokens": {"rotate_refresh_token": _rotated},
    "tenants": {"delete": _tenant_deleted},
}
_RULES: Mapping[str, Mapping[str, Rule]] = {
    **_ABOVE_THE_BACKEND,
    "persisted_grants": {
        "remove_all": _removed_all,
        "remove": _removed,
        "remove_created_before": _removed_of_before,
    },
    "device_flow": {"remove_all": _removed_all, "remove_created_before": _removed_of_before},
    "pushed_authorization_requests": {"remove_all": _removed_all},
    "grant_records": {"remove_family": _removed_family},
    "replay_cache": {"add": _remembered},
    "data_keys": {"insert": _data_key_stored},
    "signing_keys": {"add": _signing_key_stored},
    "key_ring": {"destroy": _keys_destroyed},
}
