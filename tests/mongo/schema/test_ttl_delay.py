"""The TTL behind a cleanup that tells of removals: part of the schema, changed in place, the same for store and deploy."""

import asyncio
import warnings
from datetime import timedelta

import pytest

from mongostore import LocalMasterKey, MongoStore, MongostoreWarning, StoreOptions
from mongostore.cli import main
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.grants import GrantFields
from mongostore.schema import Drift, apply_schema, check_schema
from mongostore.schema.desired import desired_collections

HOUR = timedelta(hours=1)


def delays(collections):
    return {each.name: each.indexes["expiry"]["expireAfterSeconds"] for each in collections if "expiry" in each.indexes}


def test_the_delay_is_for_what_somebody_is_told_of():
    """Grants and device codes wait; nothing else does, and without a delay everything is as declared."""
    declared = delays(desired_collections())
    assert delays(desired_collections(ttl_delay=HOUR)) == declared | {"grants": 3600, "device_codes": 3600}
    assert set(declared.values()) == {0}
    assert delays(desired_collections()) == declared, "the declaration itself is not changed"
    assert (
        next(each for each in GrantFields.indexes if each.document["name"] == "expiry").document["expireAfterSeconds"]
        == 0
    )
    assert len(desired_collections(ttl_delay=HOUR)) == len(DOCUMENTS)


async def test_the_delay_is_changed_in_place(connection, database_name, database):
    """Another delay is a drift of the time to live alone, and applying it rebuilds nothing; there and back."""
    now, later = Binding(connection, database_name), Binding(connection, database_name, ttl_delay=HOUR)
    await apply_schema(now)
    for binding, seconds in ((later, 3600), (now, 0)):
        assert {each.kind for each in await check_schema(binding)} == {Drift.CHANGED_TTL}
        applied = await apply_schema(binding)
        assert {(each.kind, each.collection) for each in applied.done} == {
            (Drift.CHANGED_TTL, "grants"),
            (Drift.CHANGED_TTL, "device_codes"),
        }
        assert database.grants.index_information()["expiry"]["expireAfterSeconds"] == seconds
        assert await check_schema(binding) == ()


async def test_store_and_command_agree(mongo_uri, database_name, monkeypatch, capsys):
    """A store with the delay that the command was given finds no drift, one without it says so; as does check."""
    monkeypatch.setenv("MONGOSTORE_URI", mongo_uri)
    monkeypatch.setenv("MONGOSTORE_DATABASE", database_name)

    async def run(*words):
        return await asyncio.to_thread(main, ["schema", *words])

    assert await run("apply", "--ttl-delay", "3600") == 0
    assert await run("check", "--ttl-delay", "3600") == 0
    assert await run("check") == 1
    key = LocalMasterKey.generate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with MongoStore(mongo_uri, database=database_name, master_key=key, options=StoreOptions(ttl_delay=HOUR)):
            pass
    with pytest.warns(MongostoreWarning, match="2 differences"):
        async with MongoStore(mongo_uri, database=database_name, master_key=key):
            pass


@pytest.mark.parametrize("delay", ["-1", "2147483648", "9" * 30])
async def test_a_delay_that_mongodb_can_t_keep_is_refused(delay, mongo_uri, database_name, capsys):
    """Below 0 or beyond 2**31-1 seconds: exit code 2, and nothing was written."""
    words = ["schema", "apply", "--uri", mongo_uri, "--database", database_name, f"--ttl-delay={delay}"]
    assert await asyncio.to_thread(main, words) == 2
    assert capsys.readouterr().err.startswith("mongostore: ")


@pytest.mark.parametrize(
    ("delay", "error"),
    [
        (timedelta(seconds=-1), ValueError),
        (timedelta(milliseconds=1500), ValueError),
        (timedelta.max, ValueError),
        (60, TypeError),
    ],
)
def test_the_option_is_refused_at_the_door(delay, error):
    """Whole seconds, as many as MongoDB takes."""
    with pytest.raises(error, match="ttl_delay"):
        StoreOptions(ttl_delay=delay)
