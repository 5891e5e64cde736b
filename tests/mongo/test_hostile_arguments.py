"""Whatever is given to a method: an error of ours or none, the same on both backends, and nothing half-written."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mongostore import MemoryStore, StoreOptions
from mongostore.errors import MongostoreError
from mongostore.stores.session_logouts import SessionLogoutStore
from mongostore.stores.signing_keys import SigningKeyRecords
from mongostore.testing import FakeClock
from tests.mongo.hostile import arguments, hostile, seeded, valid

# They stay as they are for ever, so what they make of their arguments is tried where they don't: by `run_once`.
ENDLESS = {"sessions.run", "maintenance.run"}
# What a store has beside what it remembers for a server.
NOT_OF_BOTH = {"clock"}
ATTRIBUTES = sorted(name for name in vars(MemoryStore()) if not name.startswith("_") and name not in NOT_OF_BOTH)
# What the services work on: servers are not given these.
INTERNAL = {*vars(SessionLogoutStore), *vars(SigningKeyRecords)}
# Taken for a callback, and what it raises is its owner's.
CALLABLE = {"a class", "a function"}
PATIENCE_SECONDS = 30


@pytest.fixture
async def stores(open_store, prepared_database) -> AsyncIterator[dict[str, Any]]:
    """The two, with the same in them."""
    options = StoreOptions(telemetry=False)
    async with (
        open_store(prepared_database, telemetry=False) as mongo,
        MemoryStore(options=options, clock=FakeClock()) as memory,
    ):
        yield {"mongo": mongo, "memory": memory}


async def outcome(method: Any, given: dict[str, Any]) -> str:
    """What a call comes to: "done", or the error's type; any but ours and Python's two fails."""
    try:
        result = method(**given)
        if inspect.isasyncgen(result):
            async for _ in result:
                pass
        elif inspect.isawaitable(result):
            await asyncio.wait_for(result, PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 - what may come is what is tried
        ours = isinstance(error, MongostoreError) or type(error) in (TypeError, ValueError)
        if not ours or type(error).__name__ == "StorageUnavailable":
            return f"FOREIGN {type(error).__name__}: {str(error)[:300]}"
        return type(error).__name__
    return "done"


def _hashes(database: Any) -> dict[str, str]:
    """What each collection holds. A revision that nobody got may have been drawn: they grow, and have gaps."""
    return {name: hashed for name, hashed in database.command("dbHash")["collections"].items() if name != "revisions"}


def _valid(attribute: str, takes: dict[str, Any], known: Any) -> dict[str, Any]:
    return {name: valid(attribute, name, model, known) for name, model in takes.items()}


@pytest.mark.parametrize("attribute", ATTRIBUTES)
async def test_hostile_arguments_are_refused_alike(stores, mongo_connection, prepared_database, attribute):
    """Each argument of each method, one at a time, with the others valid."""
    known = {name: await seeded(store) for name, store in stores.items()}
    database = mongo_connection[prepared_database]
    wrong = []
    methods = [
        name
        for name, _ in inspect.getmembers(type(getattr(stores["memory"], attribute)), inspect.isfunction)
        if not name.startswith("_") and name not in INTERNAL and f"{attribute}.{name}" not in ENDLESS
    ]
    assert methods
    before = None
    for method in methods:
        bound = {name: getattr(getattr(store, attribute), method) for name, store in stores.items()}
        takes = arguments(bound["memory"])
        for argument, model in takes.items():
            for title, value in hostile(model):
                if title in CALLABLE and argument.startswith(("on_", "callback", "change")):
                    continue
                came = {}
                before = before or _hashes(database)
                for name in stores:
                    given = {**_valid(attribute, takes, known[name]), argument: value}
                    came[name] = await outcome(bound[name], given)
                what = f"{attribute}.{method}({argument}: {title})"
                if "done" in came.values():
                    before = None
                elif _hashes(database) != before:
                    # Or MongoDB removed what had expired: then it does not happen again.
                    before = _hashes(database)
                    await outcome(bound["mongo"], {**_valid(attribute, takes, known["mongo"]), argument: value})
                    if _hashes(database) != before:
                        wrong.append(f"{what}: {came}, and something was written")
                    before = None
                if came["mongo"] != came["memory"] or came["mongo"].startswith("FOREIGN"):
                    wrong.append(f"{what}: {came}")
    assert not wrong, "\n" + "\n".join(wrong[:60])
