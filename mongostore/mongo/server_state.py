"""What the server says of itself: the facts behind the health checks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from mongostore.clock import Clock
from mongostore.errors import StorageUnavailable
from mongostore.mongo.connection import Connection

# The connection goes to one member, and the driver does not look for the others.
_SINGLE = "Single"
_UNREACHABLE = "Unknown"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What one server of the deployment answered: the primary where there is one.

    Attributes:
        address: the server's; empty where it is a router or a standalone server, which don't tell.
        version: MongoDB's; None when the user is not told.
        takes_writes: it is the primary, a standalone server or a router.
        is_router: it is a mongos, which speaks for replica sets.
        set_name: the replica set's; None without one.
        primary: the primary's address, as this server knows it.
        members: how many members the replica set has, as far as they are known to clients.
        unreachable: the addresses of members that don't answer from here.
        local_time: the server's clock.
        asked, answered: our clock, before and after.
    """

    address: str
    version: str | None
    takes_writes: bool
    is_router: bool
    set_name: str | None
    primary: str | None
    members: int
    unreachable: tuple[str, ...]
    local_time: datetime
    asked: datetime
    answered: datetime


async def read_server_state(connection: Connection, clock: Clock, limit: timedelta) -> ServerState:
    """Ask the primary, or a secondary where there is none.

    Args:
        limit: how long it may take.

    Raises:
        ConfigurationError: the store is not open.
        StorageUnavailable: no server answered in time.
    """
    (hello, asked, answered), build = await asyncio.gather(
        _hello(connection, clock, limit), _answer(connection, {"buildInfo": 1}, limit)
    )
    return ServerState(
        address=hello.get("me", ""),
        version=None if build is None else build["version"],
        takes_writes=bool(hello.get("isWritablePrimary")),
        is_router=hello.get("msg") == "isdbgrid",
        set_name=hello.get("setName"),
        primary=hello.get("primary"),
        members=sum(len(hello.get(role, ())) for role in ("hosts", "passives", "arbiters")),
        unreachable=_unreachable(connection),
        local_time=hello["localTime"],
        asked=asked,
        answered=answered,
    )


async def ttl_monitor_runs(connection: Connection, limit: timedelta) -> bool | None:
    """Whether the server removes what has expired; None when the user, or a router, is not told.

    Raises:
        ConfigurationError, StorageUnavailable: as `read_server_state`.
    """
    answer = await _answer(connection, {"getParameter": 1, "ttlMonitorEnabled": 1}, limit)
    return None if answer is None else bool(answer["ttlMonitorEnabled"])


async def _hello(
    connection: Connection, clock: Clock, limit: timedelta
) -> tuple[Mapping[str, Any], datetime, datetime]:
    with connection.call("ask the server how it is", limit) as own:
        database = connection.database("admin")
        # Not the first command of a new pool, or connecting would count as the clock's error.
        await database.command("ping", read_preference=ReadPreference.PRIMARY_PREFERRED, session=own)
        asked = clock.now()
        hello = await database.command(
            "hello",
            read_preference=ReadPreference.PRIMARY_PREFERRED,
            # Commands don't take the database's own: the time would come naive.
            codec_options=database.codec_options,
            session=own,
        )
        return hello, asked, clock.now()


async def _answer(connection: Connection, command: dict[str, Any], limit: timedelta) -> Mapping[str, Any] | None:
    """The answer to a command that a user may not be allowed, or a server may not know; None then."""
    try:
        with connection.call("ask the server how it is", limit) as own:
            answer: Mapping[str, Any] = await connection.database("admin").command(
                command, read_preference=ReadPreference.PRIMARY_PREFERRED, session=own
            )
    except StorageUnavailable as error:
        refusal = error.__cause__
        if isinstance(refusal, OperationFailure) and not refusal.timeout:
            return None
        raise
    return answer


def _unreachable(connection: Connection) -> tuple[str, ...]:
    topology = connection.client.topology_description
    if topology.topology_type_name == _SINGLE:
        return ()
    return tuple(
        sorted(
            f"{host}:{port}"
            for (host, port), server in topology.server_descriptions().items()
            if server.server_type_name == _UNREACHABLE
        )
    )
