"""Walls between tenants, by every public method: it neither sees, changes, counts nor opens what another tenant has.

A method that is added has to be added to `belongings.py` as well. There it is tried three times: its owner must find
something by it, another tenant nothing, and whatever it asks of MongoDB must name its own tenant.
"""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from belongings import OF_ALL_TENANTS, Belongings, bringing, is_nothing, looking, outcome
from pymongo import MongoClient

from mongostore import LocalMasterKey, MemoryStore, MongoStore, NotFound, StoreOptions
from mongostore.testing import FakeClock

# What a whole deployment has, beside the stores of its default tenant.
OF_THE_DEPLOYMENT = {"caches", "clock", "close", "for_tenant", "health", "maintenance", "open", "tenants"}


async def test_a_tenant_neither_sees_nor_changes_nor_counts_what_another_has(deployment):
    """With every key, handle and name of tenant A in hand, no public method of tenant B finds or touches any of it."""
    owner, intruder = Belongings(deployment.for_tenant("a"), "of a"), deployment.for_tenant("b")
    await owner.fill()
    before = await owner.snapshot()
    for name, call in looking(intruder, owner).items():
        try:
            result = await outcome(call)
        except NotFound:
            continue
        assert is_nothing(result), f"{name} gave tenant b {result!r}"
    for name, call in bringing(intruder, owner, "of b").items():
        result = await outcome(call)
        assert result is not False, f"{name} was refused to tenant b for what tenant a has"
        assert owner.handles["kid"] not in str(result), name
    assert await owner.snapshot() == before
    # The same again, now that both have something: all that the intruder finds and removes is its own.
    for call in looking(intruder, owner).values():
        with suppress(NotFound):
            assert "of a" not in str(await outcome(call))
    assert await owner.snapshot() == before
    assert await owner.stores.server_side_sessions.get_and_remove_expired_sessions(10) != []


async def test_another_tenant_that_has_the_same_sees_its_own(deployment):
    """Two tenants with everything under the same names see as much as one alone, each its own."""
    theirs = Belongings(deployment.for_tenant("a"), "of a")
    await theirs.fill()
    alone = await theirs.snapshot()
    mine = Belongings(deployment.for_tenant("b"), "of b")
    await mine.fill()
    seen = await mine.snapshot()
    assert {name: _size(value) for name, value in seen.items()} == {name: _size(value) for name, value in alone.items()}
    assert "of a" in str(alone)
    assert "of a" not in str(seen)
    assert "of b" not in str(await theirs.snapshot())


@pytest.mark.parametrize("placement", ["shared", "per tenant"])
async def test_whatever_is_done_asks_mongodb_for_one_tenant_only(
    placement, open_deployment, wire, mongo_connection, database_name
):
    """Every command names the tenant that it is for, in whichever database; and not a byte of another one's changes."""
    async with open_deployment(database_name, placement, listener=wire) as store:
        for slug in ("a", "b", "c"):
            await store.tenants.create(slug)
        owner, intruder = Belongings(store.for_tenant("a"), "of a"), store.for_tenant("b")
        await owner.fill()
        before = raw(mongo_connection, database_name, "a")
        assert len(before) > 20
        for calls in (looking(intruder, owner), bringing(intruder, owner, "of b"), looking(intruder, owner)):
            for name, call in calls.items():
                wire.sent.clear()
                with suppress(NotFound):
                    await outcome(call)
                assert [command for command in wire.sent if not is_of("b", command)] == [], name

        # And one that finds everything: there are commands that only follow on a find.
        wire.sent.clear()
        third = Belongings(store.for_tenant("c"), "of c")
        await third.fill()
        for call in looking(third.stores, third).values():
            with suppress(NotFound):
                await outcome(call)
        assert [command for command in wire.sent if not is_of("c", command)] == []
        assert raw(mongo_connection, database_name, "a") == before


@pytest.mark.parametrize("placement", ["shared", "per tenant"])
async def test_a_stranger_brings_nothing_into_being(
    placement, database_name, open_deployment, mongo_connection: MongoClient
):
    """Where tenants are registered, no method leaves a record of one that is not, whatever the method is called."""
    async with open_deployment(database_name, placement, tenants="registered") as store:
        await store.tenants.create("a")
        owner, stranger = Belongings(store.for_tenant("a"), "of a"), store.for_tenant("stranger")
        await owner.fill()
        for calls in (looking(stranger, owner), bringing(stranger, owner, "of nobody")):
            for name, call in calls.items():
                with suppress(NotFound):
                    await outcome(call)
                assert raw(mongo_connection, database_name, "stranger") == {}, name


LOOKED_AT = list(looking(MemoryStore(), Belongings(MemoryStore(), "")))


@pytest.mark.parametrize("name", LOOKED_AT)
async def test_a_look_finds_what_its_owner_has(name, database_name, open_deployment):
    """None of the calls is in vain: for the owner it gives something, or changes what the owner sees."""
    if name == "key_ring.reencrypt":  # Nothing is sealed in memory.
        async with open_deployment(database_name) as store:
            owner = Belongings(store.for_tenant("a"), "of a")
            await owner.fill()
            assert not is_nothing(await owner.stores.key_ring.reencrypt())
        return
    async with MemoryStore(clock=FakeClock()) as store:
        owner = Belongings(store.for_tenant("a"), "of a")
        await owner.fill()
        before = await owner.snapshot()
        result = await outcome(looking(owner.stores, owner)[name])
        assert not is_nothing(result) or await owner.snapshot() != before


def in_every_form() -> list[MemoryStore | MongoStore]:
    """As stores are put together: in memory, on MongoDB, with and without caches."""
    silent = StoreOptions(telemetry=False)
    key = LocalMasterKey.generate()
    return [
        MemoryStore(options=silent),
        MongoStore("mongodb://127.0.0.1", database="d", master_key=key, options=silent),
        MongoStore("mongodb://127.0.0.1", database="d", master_key=key, options=replace(silent, caching=None)),
    ]


def public_methods(stores: object) -> set[str]:
    """Whatever can be called on a tenant's stores: `attribute.method`, and methods of their own."""
    methods = set()
    for attribute in dir(stores):
        if attribute.startswith("_") or attribute in OF_THE_DEPLOYMENT:
            continue
        value = getattr(stores, attribute)
        if inspect.isroutine(value):
            methods.add(attribute)
        methods |= {f"{attribute}.{name}" for name in dir(value) if name[0] != "_" and callable(getattr(value, name))}
    return methods


def tried() -> set[str]:
    stores = MemoryStore()
    theirs = Belongings(stores, "")
    return {*looking(stores, theirs), *bringing(stores, theirs, ""), *OF_ALL_TENANTS}


@pytest.mark.parametrize("stores", in_every_form(), ids=["memory", "mongo", "mongo, without caches"])
def test_every_public_method_is_tried(stores):
    """A method, attribute or service that is added without a call in `belongings.py` fails here."""
    assert len(public_methods(stores)) > 90
    assert public_methods(stores) - tried() == set()


def test_a_method_that_is_not_tried_is_noticed():
    """Whether it is one of a class, of a single object, of an attribute that is new, or of the stores themselves."""
    store = MemoryStore(options=StoreOptions(telemetry=False))
    assert public_methods(store) <= tried()

    class Lists(type(store.clients)):
        async def list_everything(self): ...

    store.clients.__class__ = Lists
    store.messages.purge = print
    store.audit = Lists(None, None)
    store.export = print
    assert public_methods(store) - tried() > {
        "clients.list_everything",
        "messages.purge",
        "audit.save_client",
        "export",
    }


# Said to the server, not asked of any records.
OF_NO_TENANT = {"buildInfo", "listCollections", "listIndexes", "endSessions", "hello", "ping"}


def is_of(tenant: str, command: Mapping[str, Any]) -> bool:
    """Whether a command is about records of this tenant alone."""
    name = next(iter(command))
    if name in OF_NO_TENANT or name == "getMore":  # A cursor shows what its find was about.
        return True
    conditions = {
        "find": lambda: [command["filter"]],
        "aggregate": lambda: [command["pipeline"][0]["$match"]],
        "findAndModify": lambda: [command["query"]],
        "insert": lambda: command["documents"],
        "update": lambda: [each["q"] for each in command["updates"]],
        "delete": lambda: [each["q"] for each in command["deletes"]],
    }[name]()
    return all(_names(tenant, condition) for condition in conditions)


def _names(tenant: str, condition: Mapping[str, Any]) -> bool:
    if condition.get("tenant") == tenant or condition.get("_id") == tenant:  # The latter: the list of tenants.
        return True
    if any(_names(tenant, each) for each in condition.get("$and", ())):
        return True
    found = condition.get("_id")
    if not isinstance(found, Mapping):
        return isinstance(found, str) and found.startswith(f"{tenant}|")
    if "$in" in found:
        return all(each.startswith(f"{tenant}|") for each in found["$in"])
    from_, to = found.get("$gte", found.get("$gt", "")), found.get("$lt", found.get("$lte", "~"))
    return from_.startswith(f"{tenant}|") and to.startswith((f"{tenant}|", f"{tenant}}}"))


@pytest.mark.parametrize(
    "command",
    [
        {"find": "clients", "filter": {}},
        {"find": "clients", "filter": {"client_id": "web"}},
        {"find": "clients", "filter": {"_id": "a|web"}},
        {"find": "clients", "filter": {"_id": "bb|web"}},
        {"find": "clients", "filter": {"tenant": {"$in": ["a", "b"]}}},
        {"find": "grants", "filter": {"_id": {"$in": ["b|1", "a|1"]}}},
        {"find": "grants", "filter": {"_id": {"$gte": "b|"}}},
        {"find": "grants", "filter": {"$or": [{"tenant": "b"}, {"subject_id": "alice"}]}},
        {"aggregate": "grants", "pipeline": [{"$match": {"subject_id": "alice"}}]},
        {"delete": "grants", "deletes": [{"q": {"tenant": "b"}}, {"q": {"subject_id": "alice"}}]},
        {"update": "grants", "updates": [{"q": {"key": "k"}}]},
        {"insert": "grants", "documents": [{"_id": "k"}]},
    ],
)
def test_a_command_without_the_tenant_is_noticed(command):
    """What a method without tenancy would send is told from what others send."""
    assert not is_of("b", command)


def raw(connection: MongoClient, database_name: str, tenant: str) -> dict[tuple[str, str, str], Any]:
    """Every record of a tenant as it lies in MongoDB, in whichever database of the test, by where it is."""
    return {
        (database, collection, str(document["_id"])): document
        for database in connection.list_database_names()
        if database.startswith(database_name)
        for collection in connection[database].list_collection_names()
        for document in connection[database][collection].find()
        if document.get("tenant") == tenant or str(document["_id"]).partition("|")[0] == tenant
    }


def _size(value: Any) -> int | None:
    return len(value) if hasattr(value, "__len__") else None
