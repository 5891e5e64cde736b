"""What a page of sessions costs, wherever it lies; which index serves each query, `explain/` says."""

import asyncio
from datetime import timedelta
from itertools import count
from secrets import token_hex

import pytest

from mongostore.models import SessionQuery
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.stores.paging import PageEdges
from mongostore.stores.sessions import SessionSearch
from mongostore.testing.factories import a_session

HOUR = timedelta(hours=1)
PAGE = 10
# What the driver adds to a command, and explain does not take.
DRIVERS_FIELDS = {"lsid", "txnNumber", "writeConcern", "maxTimeMS"}
EXPLAINED = ("find", "aggregate")


@pytest.fixture
def raw(mongo_connection, prepared_database):
    return mongo_connection[prepared_database]["sessions"]


def explained(database, command):
    """What the server says that it would do, and did, for a query that was sent."""
    ours = {key: value for key, value in command.items() if not key.startswith("$") and key not in DRIVERS_FIELDS}
    return database.command("explain", ours, verbosity="executionStats")


def examined(plan):
    """Documents and keys looked at."""
    stats = plan.get("executionStats") or plan["stages"][0]["$cursor"]["executionStats"]
    return stats["totalDocsExamined"], stats["totalKeysExamined"]


async def fill(store, raw, number):
    """Many sessions, as the store would have written them, but sealed once: nobody opens these."""
    codec = store.server_side_sessions._codec
    now = store.clock.now()
    names = count()
    await store.server_side_sessions.create_session(a_session("sealed"))
    payload = raw.find_one()["payload"]
    raw.delete_many({})
    template = codec.columns(a_session(created=now, renewed=now, expires=now + HOUR)) | {"tenant": "default"}
    for start in range(0, number, 10_000):
        batch = []
        for _ in range(start, min(number, start + 10_000)):
            n = next(names)
            name = f"user {n:07}"
            batch.append(
                template
                | {"_id": f"default|{token_hex(32).upper()}", "display_name": name, "folded_name": name}
                | {"subject_id": f"s{n % 1_000}", "session_id": f"n{n}", "payload": payload}
            )
        await asyncio.to_thread(raw.insert_many, batch, ordered=False)


async def sent_by(wire, action):
    """The commands that an action sends; what it makes of unreadable sessions does not matter."""
    wire.sent.clear()
    await asyncio.gather(action, return_exceptions=True)
    return [command for command in wire.sent if next(iter(command)) in EXPLAINED]


async def costs_of_page(store, raw, wire, number):
    """Documents and keys examined for each command of the pages on both sides of a page, by its number.

    Its token is made here: to walk there would take long.
    """
    last = raw.find_one({"tenant": "default", "folded_name": f"user {number * PAGE:07}"})
    place = (last["folded_name"], last["_id"].partition("|")[2])
    tokens = PagingTokens("default", store._key_ring)
    token = await tokens.seal(PageEdges(place, place, number, PAGE), SessionSearch.of(SessionQuery()).scope())
    costs = []
    for back in (False, True):
        query = SessionQuery(results_token=token, count_requested=PAGE, request_prior_results=back)
        commands = await sent_by(wire, store.server_side_sessions.query_sessions(query))
        costs.append([examined(explained(raw.database, command)) for command in commands])
    return costs


async def test_a_deep_page_costs_what_the_second_does(store, raw, wire):
    """Of 20,000 sessions, pages 2, 1,000 and 1,900 look at the same number of documents and keys, forward and back."""
    await fill(store, raw, 20_000)
    costs = [await costs_of_page(store, raw, wire, number) for number in (2, 1_000, 1_900)]
    assert costs[0] == costs[1] == costs[2]
    assert max(documents for direction in costs[0] for documents, _ in direction) == PAGE + 1


@pytest.mark.slow
async def test_a_page_of_a_million_costs_what_any_does(store, raw, wire, prepare, prepared_database):
    """Of 1,000,000 sessions, pages 2, 1,000 and 99,000 look at the same number of documents and keys."""
    raw.drop_indexes()  # They are built at once faster than one session at a time.
    await fill(store, raw, 1_000_000)
    await prepare(prepared_database)
    costs = [await costs_of_page(store, raw, wire, number) for number in (2, 1_000, 99_000)]
    assert costs[0] == costs[1] == costs[2]
