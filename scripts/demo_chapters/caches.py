"""Configuration from memory, and how fast a node hears of another one's change."""

import asyncio
import time
from statistics import median
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from demo_chapters.stage import Chapter, Stage
from mongostore import MongoStore
from mongostore.models import Client, GrantType

TENANT, CLIENT_ID = "cached", "single-page-app"
LOOK_UPS = 1_000
CHANGES = 20
LIMIT_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
# What the change stream and the driver do by themselves.
_BACKGROUND = frozenset({"aggregate", "getMore", "hello", "ping"})


async def show(stage: Stage) -> None:
    """Change a client on one node and watch the other, then look up what is warm."""
    commands = _Commands()
    connection: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stage.uri, event_listeners=[commands])
    async with connection, stage.store() as writer, stage.store(connection=connection) as reader:
        # When a change reaches a node that had cached what was before, that node has begun to listen.
        for name in ("not cached yet", "cached"):
            await _save(writer, name)
            await _seconds_until(reader, name)

        delays = []
        for number in range(CHANGES):
            name = f"change {number}"
            await _look_up(reader)
            await _save(writer, name)
            delays.append(await _seconds_until(reader, name))
        stage.teller.claim(
            f"{CHANGES} changes on one node, each seen by the other",
            max(delays) < PATIENCE_SECONDS and median(delays) < LIMIT_SECONDS,
            f"after {median(delays) * 1000:.0f} ms, the slowest {max(delays) * 1000:.0f} ms",
        )

        commands.names.clear()
        began = time.perf_counter()
        for _ in range(LOOK_UPS):
            await _look_up(reader)
        each = (time.perf_counter() - began) / LOOK_UPS
        stage.teller.claim(
            f"{LOOK_UPS:,} look-ups in between send nothing to MongoDB",
            commands.names == [],
            f"{len(commands.names)} commands, {each * 1_000_000:.0f} µs each",
        )


class _Commands(CommandListener):
    """What goes over the wire, change streams aside."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in _BACKGROUND:
            self.names.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to note."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to note."""


async def _look_up(node: MongoStore) -> Client | None:
    return await node.for_tenant(TENANT).clients.find_enabled_client_by_id(CLIENT_ID)


async def _save(node: MongoStore, name: str) -> None:
    client = Client(
        client_id=CLIENT_ID,
        client_name=name,
        allowed_grant_types=frozenset({GrantType.AuthorizationCode}),
        redirect_uris=frozenset({"https://app.example/signin-oidc"}),
        require_client_secret=False,
    )
    await node.for_tenant(TENANT).clients.save_client(client)


async def _seconds_until(node: MongoStore, name: str) -> float:
    """How long it takes until the node serves the change; as long as patience lasts when it never does."""
    began = time.perf_counter()
    while (seconds := time.perf_counter() - began) < PATIENCE_SECONDS:
        client = await _look_up(node)
        if client is not None and client.client_name == name:
            break
        await asyncio.sleep(0.0005)
    return seconds


CACHES = Chapter(
    "Configuration from memory",
    "Configuration is served from memory. What one node changes, every other one hears of through a change stream, forgets "
    "and reads anew.",
    show,
)
