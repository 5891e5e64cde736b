"""One process that serves many tenants in turn, and says what that took: memory, and commands on the wire.

Settings on stdin, in one line; figures on stdout, in one line. The tenants have been created before.
"""

import asyncio
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beanie.odm.actions import ActionRegistry
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from mongostore import DatabasePerTenant, LocalMasterKey, MongoStore, SharedDatabase, StoreOptions
from mongostore.assembly.stores import Stores
from mongostore.mongo.binding import Binding
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_client, a_grant, a_session

AT_ONCE = 20


class Commands(CommandListener):
    """How many of each command were sent since the last look; the change stream's go on beside them."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def look(self) -> dict[str, int]:
        sent, self.sent = self.sent, Counter()
        return dict(sent)

    def started(self, event: Any) -> None:
        if event.command_name != "getMore":
            self.sent[event.command_name] += 1

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


async def move_in(tenant: Stores, slug: str) -> None:
    """Store a client, a grant and a session, and read them back."""
    await tenant.clients.save_client(a_client(client_name=slug))
    await tenant.persisted_grants.store(a_grant("k", data=slug))
    await tenant.server_side_sessions.create_session(a_session("s", ticket=slug))
    await serve(tenant, slug)


async def serve(tenant: Stores, slug: str) -> None:
    """Read what every tenant has under the same names: it must be this one's."""
    assert (await tenant.clients.find_enabled_client_by_id("web")).client_name == slug
    assert (await tenant.persisted_grants.get("k")).data == slug
    assert (await tenant.server_side_sessions.get_session("s")).ticket == slug


async def save_and_serve(tenant: Stores, slug: str) -> None:
    await tenant.clients.save_client(a_client(client_name=slug))
    await serve(tenant, slug)


async def measure_opening(store: MongoStore, slugs: Sequence[str], commands: Commands) -> dict[str, Any]:
    """One tenant after the other: what each costs."""
    first, *others = slugs
    # Modules, connections, the code's own caches: they are the process's, not a tenant's.
    await move_in(store.for_tenant(first), first)
    before = resident_bytes()
    commands.look()
    costs = []
    for slug in others:
        await move_in(store.for_tenant(slug), slug)
        costs.append(commands.look())
    return {"bytes_per_tenant": (resident_bytes() - before) / len(others), "costs": costs}


async def measure_returning(store: MongoStore, slugs: Sequence[str], commands: Commands) -> dict[str, Any]:
    """Round after round of all tenants, some at a time: what is kept, and how that grows."""
    commands.look()
    rounds = []
    for _ in range(4):
        for start in range(0, len(slugs), AT_ONCE):
            await asyncio.gather(
                *(save_and_serve(store.for_tenant(slug), slug) for slug in slugs[start : start + AT_ONCE])
            )
        rounds.append(resident_bytes())
    return {
        "bytes_after_rounds": rounds,
        "bindings": sum(isinstance(each, Binding) for each in gc.get_objects()),
        "documents": len(ActionRegistry._actions),
        "commands": sorted(commands.look()),
    }


def resident_bytes() -> int:
    for _ in range(3):  # What goes with an object that is collected is only found by the next collection.
        gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def main() -> None:
    settings = json.loads(sys.stdin.readline())
    commands, database = Commands(), settings["database"]
    pattern = f"{database}_{{tenant}}"

    async with AsyncMongoClient(settings["uri"], event_listeners=[commands]) as client:

        def a_store(name: str, tenancy: SharedDatabase | DatabasePerTenant) -> MongoStore:
            master_key = LocalMasterKey.from_text(settings["master_key"])
            options = StoreOptions(tenancy=tenancy)
            return MongoStore(client, database=name, master_key=master_key, options=options, clock=FakeClock())

        slugs, apart_slugs = settings["shared"], settings["apart"]
        roomy = DatabasePerTenant(pattern=pattern, max_open=len(apart_slugs))
        async with a_store(f"{database}_shared", SharedDatabase()) as shared, a_store(database, roomy) as apart:
            figures = {
                "shared": await measure_opening(shared, slugs, commands),
                "apart": await measure_opening(apart, apart_slugs, commands),
            }
        del shared, apart
        async with a_store(database, DatabasePerTenant(pattern=pattern, max_open=settings["max_open"])) as bounded:
            figures["bounded"] = await measure_returning(bounded, apart_slugs, commands)
    print(json.dumps(figures))


asyncio.run(main())
