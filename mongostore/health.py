"""`store.health()`: what works, what does not, and what to do about it, in one answer that never raises.

Details are for operators: hosts, versions and counts are in them; credentials, keys and records never are.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from mongostore.clock import Clock
from mongostore.errors import MongostoreError
from mongostore.mongo.binding import Binding
from mongostore.mongo.changes import ChangeFeed
from mongostore.mongo.connection import Connection
from mongostore.mongo.server_state import ServerState, read_server_state, ttl_monitor_runs
from mongostore.protection.tenant_key_ring import TenantKeyRing
from mongostore.schema import check_schema

_log = logging.getLogger("mongostore")

Status = Literal["ok", "degraded", "down"]
Finding = tuple[Status, str]

DEFAULT_LIMIT = timedelta(seconds=1)
# The driver's own limit comes first, and its message says more.
_MARGIN = timedelta(milliseconds=100)

# Frozen: monitoring goes by these names.
_ORDER = ("server", "primary", "replica_set", "schema", "key_ring", "change_stream", "clock_skew", "ttl_monitor")
_NEEDED = frozenset({"server", "primary", "key_ring"})

_NOTICEABLE_SKEW = timedelta(seconds=1)
_HARMFUL_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What one check found.

    Attributes:
        name: `server`, `primary`, `replica_set`, `schema`, `key_ring`, `change_stream`, `clock_skew` or `ttl_monitor`.
        status: "ok"; "degraded": it works, but not as it should; "down": it does not work, or there was no answer.
        detail: a sentence for people.
        duration: how long it took to find out.
    """

    name: str
    status: Status
    detail: str
    duration: timedelta


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How a store is.

    Attributes:
        checks: what was found, always in the same order.
    """

    checks: tuple[HealthCheck, ...]

    @property
    def live(self) -> bool:
        """Whether the process can answer at all: always True, for who asks is answered.

        A store that waits for MongoDB is not helped by a restart: what depends on MongoDB is in `ready`.
        """
        return True

    @property
    def ready(self) -> bool:
        """Whether the store can serve: server, primary and key ring are not down."""
        return all(check.status != "down" for check in self.checks if check.name in _NEEDED)

    @property
    def status(self) -> Status:
        """ "down" when it can't serve, "degraded" when a check found something, otherwise "ok"."""
        if not self.ready:
            return "down"
        return "ok" if all(check.status == "ok" for check in self.checks) else "degraded"

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON takes it; durations in milliseconds."""
        return {
            "status": self.status,
            "live": self.live,
            "ready": self.ready,
            "checks": [
                {
                    "name": check.name,
                    "status": check.status,
                    "detail": check.detail,
                    "duration_ms": round(check.duration / timedelta(milliseconds=1), 1),
                }
                for check in self.checks
            ],
        }


async def check_health(
    bindings: Sequence[Binding],
    key_ring: TenantKeyRing,
    change_feed: ChangeFeed | None,
    clock: Clock,
    *,
    limit: timedelta = DEFAULT_LIMIT,
) -> HealthReport:
    """Check everything at the same time; nothing is written, and nothing is raised.

    Args:
        bindings: the databases whose schema counts, one at least.
        key_ring: of the tenant that asks.
        change_feed: what listens for other nodes' changes; None where nothing does.
        clock: the store's.
        limit: how long a check may take; a few milliseconds over it is the longest that a report takes.
    """
    connection = bindings[0].connection

    async def server() -> list[tuple[str, Finding]]:
        state = await read_server_state(connection, clock, limit)
        return [
            ("server", ("ok", f"MongoDB {state.version or '(version not told)'} answers")),
            ("primary", _primary(state)),
            ("replica_set", _replica_set(state)),
            ("clock_skew", _clock_skew(state)),
        ]

    async def schema() -> list[tuple[str, Finding]]:
        return [("schema", await _schema(bindings))]

    async def keys() -> list[tuple[str, Finding]]:
        return [("key_ring", await _key_ring(key_ring))]

    async def ttl_monitor() -> list[tuple[str, Finding]]:
        return [("ttl_monitor", _ttl_monitor(await ttl_monitor_runs(connection, limit)))]

    async def change_stream() -> list[tuple[str, Finding]]:
        return [("change_stream", _change_stream(change_feed, has_replica_set=connection.has_replica_set))]

    found = await asyncio.gather(
        _checked(("server", "primary", "replica_set", "clock_skew"), server, limit),
        _checked(("schema",), _limited(connection, schema, limit), limit),
        _checked(("key_ring",), _limited(connection, keys, limit), limit),
        _checked(("ttl_monitor",), ttl_monitor, limit),
        _checked(("change_stream",), change_stream, limit),
    )
    checks = (check for checks in found for check in checks)
    return HealthReport(tuple(sorted(checks, key=lambda check: _ORDER.index(check.name))))


async def check_memory_health(key_ring: TenantKeyRing) -> HealthReport:
    """Check what a store without a database has: its key ring."""

    async def keys() -> list[tuple[str, Finding]]:
        return [("key_ring", await _key_ring(key_ring))]

    return HealthReport(tuple(await _checked(("key_ring",), keys, DEFAULT_LIMIT)))


Check = Callable[[], Awaitable[list[tuple[str, Finding]]]]


def _limited(connection: Connection, check: Check, limit: timedelta) -> Check:
    """The check, every call of the driver in it within one limit."""

    async def limited() -> list[tuple[str, Finding]]:
        with connection.call("check the health", limit):
            return await check()

    return limited


async def _checked(names: Sequence[str], check: Check, limit: timedelta) -> list[HealthCheck]:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with asyncio.timeout((limit + _MARGIN).total_seconds()):
            found = await check()
    except TimeoutError:
        found = [(name, ("down", f"no answer within {limit.total_seconds():g} s")) for name in names]
    except MongostoreError as error:
        found = [(name, ("down", str(error))) for name in names]
    except Exception as error:  # noqa: BLE001 - a master key service is anybody's code, and a report must come back
        # Its name alone: what the message of a stranger's error holds is not known.
        _log.error("The health check of %s failed with %s", ", ".join(names), type(error).__name__)
        found = [(name, ("down", f"it failed with {type(error).__name__}")) for name in names]
    duration = timedelta(seconds=loop.time() - begun)
    return [HealthCheck(name, status, detail, duration) for name, (status, detail) in found]


def _primary(state: ServerState) -> Finding:
    if state.is_router:
        return "ok", "a router (mongos) finds the primaries"
    if state.set_name is None:
        return "ok", "a standalone server takes the writes"
    if state.takes_writes:
        return "ok", f"{state.address} is the primary of {state.set_name}"
    known = f"the primary is said to be {state.primary}, and is not reached" if state.primary else "there is no primary"
    return "down", (
        f"{state.address} is a secondary of {state.set_name}, and {known}: nothing can be written. "
        "Check the members, and that the URI names the replica set and has no directConnection"
    )


def _replica_set(state: ServerState) -> Finding:
    if state.is_router:
        return "ok", "behind a router (mongos)"
    if state.set_name is None:
        return "degraded", (
            "a standalone server: it has no change streams, so what other nodes change is seen only when what is cached "
            "expires, and nothing takes over when it fails. Run it as a replica set, of one member at least"
        )
    if state.unreachable:
        return "degraded", f"members of {state.set_name} can't be reached: {', '.join(state.unreachable)}"
    return "ok", f"{state.set_name} has {state.members} member{'s' if state.members > 1 else ''} to be reached"


async def _schema(bindings: Sequence[Binding]) -> Finding:
    drifts = await asyncio.gather(*(check_schema(binding, allow_foreign=True) for binding in bindings))
    drifted = [
        f"{len(drift)} differences in database {binding.database_name!r}"
        for binding, drift in zip(bindings, drifts, strict=True)
        if drift
    ]
    if drifted:
        command = "python -m mongostore schema apply --uri … --database …"
        return "degraded", f"{'; '.join(drifted)}: run '{command}' at every deploy"
    return "ok", "as it should be"


async def _key_ring(key_ring: TenantKeyRing) -> Finding:
    # Raises when the master key does not open the key that seals.
    await key_ring.open()
    status = await key_ring.status()
    if status.destroyed:
        return "down", f"the keys of tenant {status.tenant} were destroyed: nothing can be sealed for it any more"
    data_keys = [key for key in status.keys if key.purpose == "data"]
    if not data_keys:
        return "ok", "no data key yet: the first write makes one"
    newest = max(data_keys, key=lambda key: key.generation)
    active = next((key.generation for key in data_keys if key.active), None)
    return "ok", (
        f"{len(data_keys)} data keys, the newest (generation {newest.generation}) {newest.age.days} days old; "
        f"generation {active} seals"
    )


def _change_stream(feed: ChangeFeed | None, *, has_replica_set: bool) -> Finding:
    if feed is not None:
        if feed.is_listening:
            return "ok", "listening: what other nodes change is seen at once"
        return (
            "degraded",
            "not listening: what other nodes change is seen when what is cached expires; it is tried again",
        )
    if has_replica_set:
        return "ok", "not used: nothing is cached"
    return "degraded", "this server has none: what other nodes change is seen when what is cached expires"


def _clock_skew(state: ServerState) -> Finding:
    trip = max(state.answered - state.asked, timedelta(0))
    skew = state.local_time - (state.asked + trip / 2)
    seconds = f"{abs(skew).total_seconds():.1f} s"
    # MongoDB's time is cut to milliseconds, and where on the way it was read is not known.
    if abs(skew) - trip / 2 <= _NOTICEABLE_SKEW:
        return "ok", f"this node's clock and the server's are {seconds} apart"
    found = f"this node's clock is {seconds} {'behind' if skew > timedelta(0) else 'ahead of'} the server's"
    status: Status = "down" if abs(skew) > _HARMFUL_SKEW else "degraded"
    return (
        status,
        f"{found}: what expires does so too {'late' if skew > timedelta(0) else 'early'}. Synchronize the clocks",
    )


def _ttl_monitor(runs: bool | None) -> Finding:
    if runs is None:
        return "ok", "unknown: the user is not allowed to read the parameter ttlMonitorEnabled"
    if not runs:
        return "degraded", (
            "switched off: what has expired is never served, but stays in the database. "
            "Set the parameter ttlMonitorEnabled to true"
        )
    return "ok", "running: what has expired is removed"
