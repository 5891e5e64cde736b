"""What each operation costs on the wire: its commands, and the guarantees that they ask for."""

import asyncio
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from mongostore import MongostoreWarning
from mongostore.models import PersistedGrantFilter
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.tenants import TenantDatabaseFields
from mongostore.testing.factories import (
    a_consent,
    a_grant,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)

# The collections of a database that all tenants share.
SHARED = [fields for fields in DOCUMENTS if fields is not TenantDatabaseFields]
MAJORITY_ON_DISK = {"w": "majority", "j": True}
BY_ID = {"_id": 1}
GRACE = timedelta(seconds=30)

FIND = ("find", None)
INSERT = ("insert", None)
DELETE = ("delete", None)
UPSERT = ("update", None)
TRANSITION = ("update", BY_ID)
TAKE = ("findAndModify", BY_ID)
CLOSE = ("update", None)
REMOVE = (FIND, DELETE)


@dataclass
class Stored:
    """What was stored beforehand, each for one operation to work on."""

    key: str
    code: str
    redeemed_code: str
    family: str
    refresh: str
    used_refresh: str
    reference: str

    @classmethod
    async def some(cls, store: Any) -> "Stored":
        grant = a_grant()
        await store.persisted_grants.store(grant)
        redeemed = await store.authorization_codes.store_authorization_code(an_authorization_code())
        redemption = await store.authorization_codes.redeem_authorization_code(redeemed)
        used = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token())
        await store.user_consents.store_user_consent(a_consent())
        return cls(
            grant.key,
            await store.authorization_codes.store_authorization_code(an_authorization_code()),
            redeemed,
            redemption.family,
            await store.refresh_tokens.store_refresh_token(a_refresh_token()),
            used,
            await store.reference_tokens.store_reference_token(a_reference_token()),
        )


OPERATIONS = {
    "persisted_grants.get": (lambda s, o: s.persisted_grants.get(o.key), [FIND]),
    "persisted_grants.get, absent": (lambda s, o: s.persisted_grants.get("absent"), [FIND]),
    "persisted_grants.get, impossible": (lambda s, o: s.persisted_grants.get("a\0b"), []),
    "persisted_grants.store": (lambda s, o: s.persisted_grants.store(a_grant()), [INSERT]),
    "persisted_grants.store, again": (
        lambda s, o: s.persisted_grants.store(a_grant(o.key, consumed_time=None)),
        [UPSERT],
    ),
    "persisted_grants.store, again as if new": (
        lambda s, o: s.persisted_grants.store(a_grant(o.key)),
        [INSERT, UPSERT],
    ),
    "persisted_grants.remove": (lambda s, o: s.persisted_grants.remove(o.key), [DELETE]),
    "persisted_grants.consume": (lambda s, o: s.persisted_grants.consume(o.key), [TAKE]),
    "persisted_grants.get_all": (
        lambda s, o: s.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")),
        [FIND],
    ),
    "persisted_grants.remove_all": (
        lambda s, o: s.persisted_grants.remove_all(PersistedGrantFilter(subject_id="alice")),
        [CLOSE, CLOSE, *REMOVE],
    ),
    "persisted_grants.remove_all, none": (
        lambda s, o: s.persisted_grants.remove_all(PersistedGrantFilter(subject_id="nobody")),
        [CLOSE, FIND],
    ),
    "authorization_codes.store": (
        lambda s, o: s.authorization_codes.store_authorization_code(an_authorization_code()),
        [INSERT],
    ),
    "authorization_codes.get": (lambda s, o: s.authorization_codes.get_authorization_code(o.code), [FIND]),
    "authorization_codes.remove": (lambda s, o: s.authorization_codes.remove_authorization_code(o.code), [DELETE]),
    "authorization_codes.redeem": (lambda s, o: s.authorization_codes.redeem_authorization_code(o.code), [TAKE]),
    "authorization_codes.redeem, replay": (
        lambda s, o: s.authorization_codes.redeem_authorization_code(o.redeemed_code),
        [TAKE, FIND],
    ),
    "refresh_tokens.store": (lambda s, o: s.refresh_tokens.store_refresh_token(a_refresh_token()), [INSERT]),
    "refresh_tokens.get": (lambda s, o: s.refresh_tokens.get_refresh_token(o.refresh), [FIND]),
    "refresh_tokens.update": (
        lambda s, o: s.refresh_tokens.update_refresh_token(o.refresh, a_refresh_token()),
        [FIND, TRANSITION],
    ),
    "refresh_tokens.rotate": (
        lambda s, o: s.refresh_tokens.rotate_refresh_token(o.refresh, a_refresh_token()),
        [FIND, INSERT, TRANSITION, TRANSITION],
    ),
    "refresh_tokens.rotate, retry": (
        lambda s, o: s.refresh_tokens.rotate_refresh_token(o.used_refresh, a_refresh_token(), grace=GRACE),
        [FIND, TRANSITION, FIND, TAKE],
    ),
    "refresh_tokens.rotate, replay": (
        lambda s, o: s.refresh_tokens.rotate_refresh_token(o.used_refresh, a_refresh_token()),
        [FIND, CLOSE, CLOSE, *REMOVE, *REMOVE],
    ),
    "refresh_tokens.rotate, unknown": (
        lambda s, o: s.refresh_tokens.rotate_refresh_token("unknown", a_refresh_token()),
        [FIND],
    ),
    "refresh_tokens.remove": (
        lambda s, o: s.refresh_tokens.remove_refresh_token(o.refresh),
        [FIND, CLOSE, CLOSE, FIND, *REMOVE],
    ),
    "refresh_tokens.store, of a code": (
        lambda s, o: s.refresh_tokens.store_refresh_token(a_refresh_token(), family=o.family),
        [UPSERT],
    ),
    "grants.remove_family": (lambda s, o: s.grants.remove_family(o.family), [CLOSE, CLOSE, *REMOVE]),
    "grants.remove_family, none": (lambda s, o: s.grants.remove_family("f"), [UPSERT, CLOSE, FIND]),
    "reference_tokens.store": (lambda s, o: s.reference_tokens.store_reference_token(a_reference_token()), [INSERT]),
    "reference_tokens.get": (lambda s, o: s.reference_tokens.get_reference_token(o.reference), [FIND]),
    "reference_tokens.remove": (lambda s, o: s.reference_tokens.remove_reference_token(o.reference), [DELETE]),
    "user_consents.store": (lambda s, o: s.user_consents.store_user_consent(a_consent()), [UPSERT]),
    "user_consents.get": (lambda s, o: s.user_consents.get_user_consent("alice", "web"), [FIND]),
    "user_consents.remove": (lambda s, o: s.user_consents.remove_user_consent("alice", "web"), [DELETE]),
    "grants.get_all_grants": (lambda s, o: s.grants.get_all_grants("alice"), [FIND]),
}


@pytest.mark.parametrize("with_schema", [False, True])
async def test_an_operation_is_these_commands(database_name, prepare, open_store, wire, with_schema):
    """Every hot operation is one round trip; a rotation is four; a removal closes, then deletes."""
    if with_schema:
        await prepare(database_name)
    sent = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MongostoreWarning)
        async with open_store(database_name) as store:
            for operation, (call, _) in OPERATIONS.items():
                stored = await Stored.some(store)
                wire.sent.clear()
                await call(store, stored)
                sent[operation] = wire.sent.copy()
                await store.grants.remove_all_grants("alice")
    assert {operation: [_shape(each) for each in commands] for operation, commands in sent.items()} == {
        operation: commands for operation, (_, commands) in OPERATIONS.items()
    }
    for operation, commands in sent.items():
        for command in commands:
            assert command[next(iter(command))] == "grants"
            assert 0 < command["maxTimeMS"] <= 5_000
            _check_guarantees(command, many=len(commands) > 1 or operation.endswith(", none"))


def _shape(command: dict[str, Any]) -> tuple[str, Any]:
    name = next(iter(command))
    statement = command["updates"][0] if name == "update" else command
    return name, statement.get("hint")


def _check_guarantees(command: dict[str, Any], *, many: bool) -> None:
    """Reads are the primary's; writes are confirmed by a majority, on disk, and those of one record are repeated."""
    if "find" in command:
        assert command.get("$readPreference", {"mode": "primary"}) == {"mode": "primary"}
        assert "getMore" not in command
        return
    assert command["writeConcern"] == MAJORITY_ON_DISK
    if many and "delete" in command:
        assert len(command["deletes"]) == 1
    elif not command.get("updates", [{}])[0].get("multi"):
        assert "txnNumber" in command


async def test_opening_reads_the_key_ring_and_the_schema_and_writes_nothing(prepared_database, open_store, wire):
    """Opening asks who the server is, reads the keys, and compares the schema: no write, whatever the database holds."""
    async with open_store(prepared_database):
        names = [next(iter(command)) for command in wire.sent]
    assert names == ["hello", "find", "listCollections", *["listIndexes"] * len(SHARED)]
    ring = wire.sent[1]
    assert ring["find"] == "data_keys"
    assert ring["readConcern"]["level"] == "majority"


async def test_the_first_write_makes_the_first_key(prepared_database, open_store, wire):
    """A new database gets its data key when something is to be sealed: stored by a majority, and read back."""
    async with open_store(prepared_database) as store:
        wire.sent.clear()
        await store.persisted_grants.store(a_grant())
        sent = [(next(iter(command)), command[next(iter(command))]) for command in wire.sent]
    assert [each for each in sent if each[0] != "find"] == [("insert", "data_keys"), ("insert", "grants")]
    assert sent[-2:] == [("find", "data_keys"), ("insert", "grants")]
    insert = next(command for command in wire.sent if "insert" in command)
    assert insert["writeConcern"] == MAJORITY_ON_DISK


async def test_a_cancelled_task_ends(prepared_database, open_store):
    """A cancellation that comes while the driver waits reaches the task, however often it is tried."""
    async with open_store(prepared_database) as store:

        async def read_for_ever() -> None:
            while True:
                await store.persisted_grants.get("k")

        for attempt in range(100):
            task = asyncio.create_task(read_for_ever())
            await asyncio.sleep(0.001 + attempt % 7 / 5_000)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=60)
            assert done == {task}, "the cancellation was lost"
            assert task.cancelled()
