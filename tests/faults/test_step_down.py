"""A primary that steps down: calls wait for the next one, and none of them fails or is carried out twice."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from pymongo.errors import NotPrimaryError

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.writes import sent
from mongostore.schema import apply_schema
from mongostore.testing import EmbeddedMongo
from mongostore.testing.factories import (
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_session,
    an_authorization_code,
)

CODES, TOKENS, NEW = 20, 10, 10
GRACE = timedelta(seconds=30)
LIMIT = timedelta(seconds=30)


@pytest.fixture
async def trio_store():
    with EmbeddedMongo(members=3) as mongo:
        connection = Connection(mongo.uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
        await connection.open()
        await apply_schema(Binding(connection, "identity"))
        await connection.close()
        options = StoreOptions(operation_timeout=LIMIT, server_selection_timeout=LIMIT)
        async with MongoStore(
            mongo.uri, database="identity", master_key=LocalMasterKey.generate(), options=options
        ) as store:
            yield mongo, store


async def test_a_burst_after_a_step_down_succeeds(trio_store):
    """A hundred calls before the driver knows of the new primary: each succeeds, and each code has one winner."""
    mongo, store = trio_store
    for turn in range(2):
        codes = [
            await store.authorization_codes.store_authorization_code(an_authorization_code()) for _ in range(CODES)
        ]
        tokens = [await store.refresh_tokens.store_refresh_token(a_refresh_token()) for _ in range(TOKENS)]
        new = [f"{turn} {number}" for number in range(NEW)]
        mongo.step_down()  # The loop stands still, so that the driver does not hear of it.
        outcomes = await asyncio.gather(
            *(store.authorization_codes.redeem_authorization_code(code) for code in codes for _ in range(3)),
            *(
                store.refresh_tokens.rotate_refresh_token(token, a_refresh_token(), grace=GRACE)
                for token in tokens
                for _ in range(2)
            ),
        )
        assert Counter(each.outcome for each in outcomes) == {
            "redeemed": CODES,
            "replayed": 2 * CODES,
            "rotated": TOKENS,
            "retried": TOKENS,
        }
        mongo.step_down()  # The loop stands still, so that the driver does not hear of it.
        await asyncio.gather(
            *(store.persisted_grants.store(a_grant(each)) for each in new),
            *(store.reference_tokens.store_reference_token(a_reference_token()) for _ in new),
            *(store.refresh_tokens.store_refresh_token(a_refresh_token(), family=f"f {each}") for each in new),
            *(store.device_flow.store_device_authorization(each, each, a_device_code()) for each in new),
            *(store.pushed_authorization_requests.store(a_pushed_request(each)) for each in new),
            *(store.server_side_sessions.create_session(a_session(each)) for each in new),
        )
        assert all(await asyncio.gather(*(store.persisted_grants.get(each) for each in new)))


@pytest.mark.parametrize("code", [10107, 13435])
async def test_a_refused_write_is_sent_again(code):
    """The server has written nothing."""
    answers = iter([NotPrimaryError("no", {"code": code}), NotPrimaryError("no", {"code": code}), "written"])

    async def write():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await sent(write) == "written"


@pytest.mark.parametrize("details", [{"code": 189}, {"code": 11602}, {}, None, [10107]])
async def test_a_write_of_unknown_fate_is_not_sent_again(details):
    """Stepping down in the middle of a write may leave it written: whoever asked for it is told."""
    sendings = []

    async def write():
        sendings.append(1)
        raise NotPrimaryError("stepping down", details)

    with pytest.raises(NotPrimaryError):
        await sent(write)
    assert len(sendings) == 1
