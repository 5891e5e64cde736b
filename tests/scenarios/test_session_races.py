"""Sessions that end while something else is under way, again and again: what is over stays over, on a real MongoDB."""

import asyncio
import random
from datetime import timedelta

import pytest

from mongostore import LocalMasterKey, MongoStore, NotFound
from mongostore.models import RemoveSessionsContext, SessionFilter
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_client, a_refresh_token, a_ticket, an_authorization_code

LIMIT = timedelta(seconds=30)
MASTER_KEY = LocalMasterKey.generate()
GRACE = timedelta(seconds=60)


def rounds_of_a_race(rounds):
    return pytest.mark.parametrize("rounds", [rounds // 5, pytest.param(rounds, marks=pytest.mark.slow)])


@pytest.fixture
async def nodes(mongo_uri, database_name):
    """Two nodes of one deployment."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    async with (
        MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY) as one,
        MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY) as other,
    ):
        yield one, other


async def soon():
    await asyncio.sleep(random.uniform(0, 0.01))


async def issued_while_it_ends(nodes, way, ids):
    """Let a session end on one node while something is issued in it on the other, and give all handles.

    Without a family, what is issued is a fresh decision: only what came before the end counts.
    """
    node, other = nodes
    tokens, codes = other.refresh_tokens, other.authorization_codes
    await node.tickets.store(a_ticket(**ids))
    issued = [await tokens.store_refresh_token(a_refresh_token(**ids))]
    code = await codes.store_authorization_code(an_authorization_code(**ids))
    ended = asyncio.Event()

    async def issue():
        await soon()
        if way == "rotate":
            handle = (await tokens.rotate_refresh_token(issued[0], a_refresh_token(**ids), grace=GRACE)).handle
        elif way == "redeem":
            redemption = await codes.redeem_authorization_code(code)
            if redemption.outcome != "redeemed":
                return
            handle = await tokens.store_refresh_token(a_refresh_token(**ids), family=redemption.family)
        else:
            handle = await tokens.store_refresh_token(a_refresh_token(**ids))
            if ended.is_set():
                return
        if handle:
            issued.append(handle)

    async def end():
        await soon()
        assert await node.sessions.end(RemoveSessionsContext(**ids)) == 1
        ended.set()

    outcomes = await asyncio.gather(issue(), end(), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, NotFound) for outcome in outcomes), outcomes
    return issued


@pytest.mark.parametrize("way", ["rotate", "redeem", "issue"])
@rounds_of_a_race(150)
async def test_nothing_that_is_under_way_outlives_a_session(nodes, way, rounds):
    """A token is rotated, issued from a code, or stored while the session ends: what had come is gone afterwards."""
    came_first = 0
    for number in range(rounds):
        issued = await issued_while_it_ends(nodes, way, {"subject_id": "alice", "session_id": f"s{number}"})
        came_first += len(issued) > 1
        left = [each for each in issued if await nodes[1].refresh_tokens.get_refresh_token(each) is not None]
        assert left == [], f"in round {number}"
    assert came_first, "nothing was issued before a session had ended: this run has shown nothing"


async def renewed_while_it_ends(nodes, key, ticket):
    """Let a session end on one node while it is renewed on the other: the new key, or the error."""

    async def renew():
        await soon()
        return await nodes[1].tickets.renew(key, ticket)

    async def end():
        await soon()
        await nodes[0].sessions.end(RemoveSessionsContext(subject_id="alice"))

    renewed, _ = await asyncio.gather(renew(), end(), return_exceptions=True)
    assert isinstance(renewed, str | NotFound), renewed
    return renewed


@pytest.mark.parametrize("subject", ["alice", "bob"])
@rounds_of_a_race(100)
async def test_a_renewal_under_way_brings_no_session_back(nodes, subject, rounds):
    """Whether it comes before the end or after it, and for whomever it is: no session of before is there afterwards."""
    outcomes = set()
    for _ in range(rounds):
        key = await nodes[0].tickets.store(a_ticket())
        renewed = await renewed_while_it_ends(nodes, key, a_ticket(subject))
        outcomes.add(type(renewed))
        assert await nodes[0].tickets.retrieve(key) is None
        assert await nodes[0].server_side_sessions.get_sessions(SessionFilter(subject_id="alice")) == []
        of_bob = await nodes[0].server_side_sessions.get_sessions(SessionFilter(subject_id="bob"))
        is_there = subject == "bob" and isinstance(renewed, str)
        assert [session.key for session in of_bob] == ([renewed] if is_there else [])
        await nodes[0].sessions.end(RemoveSessionsContext(subject_id="bob"))
    assert outcomes == {str, NotFound}, "one came always first: this run has shown nothing"


@rounds_of_a_race(25)
async def test_of_many_clients_at_once_each_is_told(nodes, rounds):
    """20 clients sign the user in at once, on two nodes, while the session is renewed: all hear of the end."""
    clients = [f"client {number}" for number in range(20)]
    told = []

    async def tell(session):
        told.append(session.client_ids)

    for _ in range(rounds):
        key = await nodes[0].tickets.store(a_ticket(client_ids=["web"]))
        added = await asyncio.gather(
            *(nodes[number % 2].tickets.add_client(key, client) for number, client in enumerate(clients)),
            nodes[0].tickets.renew(key, a_ticket(client_ids=["of the renewed ticket"])),
        )
        assert added[:-1] == [True] * 20
        assert await nodes[1].sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=tell) == 1
        assert sorted(told.pop()) == sorted([*clients, "web", "of the renewed ticket"])
        assert told == []


@rounds_of_a_race(50)
async def test_a_use_under_way_prolongs_no_session_that_has_ended(nodes, rounds):
    """Tokens are validated, and with that the session slides, while it ends: once it has, no token is valid any more."""
    client = a_client(coordinate_lifetime_with_user_session=True)
    node, other = nodes

    async def use(session_id):
        await soon()
        return await other.sessions.validate_session("alice", session_id, client)

    async def end(session_id):
        await soon()
        return await node.sessions.end(RemoveSessionsContext(subject_id="alice", session_id=session_id))

    for number in range(rounds):
        now, session_id = node.clock.now(), f"s{number}"
        times = {"issued": now - timedelta(minutes=30), "expires": now + timedelta(minutes=30)}
        await node.tickets.store(a_ticket(session_id=session_id, **times))
        *_, ended = await asyncio.gather(use(session_id), use(session_id), end(session_id))
        assert ended == 1
        assert await use(session_id) is False
