"""Lets a server that still holds a Motor client hand it in: Motor behind the calls of PyMongo's own async driver.

Only what the two do differently is here; everything else is passed on. Deprecated from birth, as Motor itself is.
"""

import inspect
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

from pymongo import AsyncMongoClient
from pymongo.errors import InvalidOperation

# From `bridged` to the line that made the store: Connection, MongoStore, the server.
_STACK_LEVEL = 4


def is_motor_client(source: object) -> bool:
    """True for an `AsyncIOMotorClient`, or a subclass.

    Told by name, so Motor need not be installed, and never by attributes: Motor answers to any of them with a database.
    """
    return any(
        (each.__module__, each.__name__) == ("motor.motor_asyncio", "AsyncIOMotorClient")
        for each in type(source).__mro__
    )


def bridged(client: Any) -> AsyncMongoClient[dict[str, Any]]:
    """Make a Motor client look like PyMongo's own; both share the one pool, and the caller goes on owning it."""
    warnings.warn(
        "Motor is deprecated and past its end of life: pass a pymongo.AsyncMongoClient instead of an "
        "AsyncIOMotorClient; it comes with mongostore, so the extra 'motor' is no longer needed",
        DeprecationWarning,
        stacklevel=_STACK_LEVEL,
    )
    return cast("AsyncMongoClient[dict[str, Any]]", _Client(client))


class _Bridge:
    """A Motor object: its methods take bridges and give bridges."""

    def __init__(self, motor: Any) -> None:
        self._motor = motor

    def __getattr__(self, name: str) -> Any:
        # Asked of the class: the object would invent a database or a collection of that name.
        if name.startswith("_") or not hasattr(type(self._motor), name):
            raise AttributeError(f"{type(self._motor).__name__} has no attribute {name!r}")
        found = getattr(self._motor, name)
        return _passing_on(found) if inspect.ismethod(found) else _bridge_of(found)

    def __repr__(self) -> str:
        return f"bridged({self._motor!r})"


class _Namespace(_Bridge):
    """A client, database or collection: other names in it are reached by attribute or by `[...]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_"):
                raise
            return self[name]

    def __getitem__(self, name: str) -> Any:
        return _bridge_of(self._motor[name])

    async def watch(self, *args: Any, **options: Any) -> Any:
        return await _passing_on(self._motor.watch)(*args, **options).__aenter__()

    async def aggregate(self, *args: Any, **options: Any) -> Any:
        return await self._started("aggregate", *args, **options)

    async def _started(self, method: str, *args: Any, **options: Any) -> "_Cursor":
        cursor = _Cursor(_passing_on(getattr(self._motor, method))(*args, **options))
        await cursor.start()
        return cursor


class _Cursor(_Bridge):
    """The cursor of a command that was sent: Motor alone would send it with the first read only."""

    async def start(self) -> None:
        try:
            self._first = [await self._motor.next()]
        except StopAsyncIteration:
            self._first = []

    @property
    def alive(self) -> bool:
        return bool(self._first) or self._motor.alive

    async def __anext__(self) -> Any:
        return self._first.pop() if self._first else await self._motor.next()

    next = __anext__

    async def try_next(self) -> Any:
        return self._first.pop() if self._first else await self._motor.try_next()

    async def to_list(self, length: int | None = None) -> list[Any]:
        first, self._first = self._first, []
        if length is not None and length <= len(first):
            return first
        return [*first, *await self._motor.to_list(length and length - len(first))]

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._motor.close()


class _Collection(_Namespace):
    @property
    def database(self) -> "_Database":
        return _Database(self._motor.database)

    async def aggregate_raw_batches(self, *args: Any, **options: Any) -> Any:
        return await self._started("aggregate_raw_batches", *args, **options)

    async def list_indexes(self, *args: Any, **options: Any) -> Any:
        return await self._started("list_indexes", *args, **options)

    async def list_search_indexes(self, *args: Any, **options: Any) -> Any:
        return await self._started("list_search_indexes", *args, **options)


class _Database(_Namespace):
    @property
    def client(self) -> "_Client":
        return _Client(self._motor.client)


class _Client(_Namespace):
    def start_session(self, *args: Any, **options: Any) -> "_Session":
        return _Session(lambda: self._motor.start_session(*args, **options), self)

    async def close(self) -> None:
        """Nothing: the pool is the caller's."""


class _Session(_Bridge):
    """A session; to be used in `async with`, where Motor makes it."""

    def __init__(self, start: Callable[[], Awaitable[Any]], client: _Client) -> None:
        super().__init__(None)
        self._start = start
        self.client = client

    async def __aenter__(self) -> Self:
        if self._motor is None:
            self._motor = await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._motor.end_session()

    async def start_transaction(self, *args: Any, **options: Any) -> Any:
        return self._motor.start_transaction(*args, **options)

    async def with_transaction(self, callback: Callable[[Any], Awaitable[Any]], *args: Any, **options: Any) -> Any:
        return await self._motor.with_transaction(lambda _: callback(self), *args, **options)


_BRIDGES: dict[str, type[_Bridge]] = {"AsyncIOMotorDatabase": _Database, "AsyncIOMotorCollection": _Collection}


def _bridge_of(found: Any) -> Any:
    bridge = _BRIDGES.get(type(found).__name__)
    return found if bridge is None else bridge(found)


def _motor_of(argument: Any) -> Any:
    if isinstance(argument, _Session) and argument._motor is None:  # noqa: SLF001 - of this module
        raise InvalidOperation("use the session in 'async with': only there does Motor make it")
    return argument._motor if isinstance(argument, _Bridge) else argument  # noqa: SLF001 - of this module


def _passing_on(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of Motor's that takes bridges and gives bridges."""

    async def awaited(future: Awaitable[Any]) -> Any:
        return _bridge_of(await future)

    def call(*args: Any, **options: Any) -> Any:
        given = method(*map(_motor_of, args), **{name: _motor_of(value) for name, value in options.items()})
        return awaited(given) if inspect.isawaitable(given) else _bridge_of(given)

    return call
