"""A tenant's end, on every node: after `delete` has returned nothing is written for it, and nothing of it is left."""

import asyncio
from contextlib import suppress
from itertools import count

import pytest
from belongings import Belongings, bringing, looking, outcome
from pymongo import MongoClient
from test_walls import raw

from mongostore import AlreadyExists, LocalMasterKey, MongostoreError, NotFound, StorageUnavailable
from mongostore.testing.factories import a_client, a_grant, a_refresh_token

PLACEMENTS = pytest.mark.parametrize("placement", ["shared", "per tenant"])


class SlowMasterKey:
    """A master key that a service keeps, which answers when it is let."""

    def __init__(self) -> None:
        self._key = LocalMasterKey.generate()
        self.id = self._key.id
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        return await self._key.wrap(data_key, context)

    async def unwrap(self, wrapped: bytes, context: bytes, master_key_id: str) -> bytes:
        self.is_asked.set()
        await self.may_answer.wait()
        return await self._key.unwrap(wrapped, context, master_key_id)


@PLACEMENTS
@pytest.mark.parametrize("tenants", ["open", "registered"])
async def test_after_the_deletion_no_node_writes(
    placement, tenants, open_deployment, database_name, mongo_connection: MongoClient
):
    """Another node that stores without a pause is refused while the tenant leaves, and has left nothing when it is gone."""
    async with (
        open_deployment(database_name, placement, tenants=tenants, brief=True) as store,
        open_deployment(database_name, placement, tenants=tenants, brief=True, bare=True) as other,
    ):
        await store.tenants.create("acme")
        refusals: list[NotFound] = []
        deleted = asyncio.Event()

        async def write_on() -> None:
            acme = other.for_tenant("acme")
            for number in count():
                try:
                    await acme.persisted_grants.store(a_grant(f"g{number}"))
                except NotFound as error:
                    refusals.append(error)
                if deleted.is_set():
                    return
                await asyncio.sleep(0)

        writing = asyncio.create_task(write_on())
        while await other.for_tenant("acme").persisted_grants.get("g0") is None:
            await asyncio.sleep(0.01)
        assert await store.tenants.delete("acme") > 0 or placement == "per tenant"
        left = raw(mongo_connection, database_name, "acme")
        deleted.set()
        await writing
        assert {collection for _, collection, _ in left} <= {"data_keys"}
        assert "is being deleted" in str(refusals[0])
        if tenants == "registered":
            assert await store.tenants.list() == []
            assert raw(mongo_connection, database_name, "acme") == left


@PLACEMENTS
async def test_a_write_that_was_admitted_before_the_deletion_does_not_outlive_it(
    placement, open_deployment, database_name, mongo_connection: MongoClient
):
    """However long a node is held up between its admission and its command, that command comes too late to be obeyed."""
    key = SlowMasterKey()
    async with (
        open_deployment(database_name, placement, brief=True, more={"master_key": key}) as store,
        open_deployment(database_name, placement, brief=True, bare=True, more={"master_key": key}) as other,
    ):
        await store.for_tenant("acme").persisted_grants.store(a_grant("k"))
        key.is_asked.clear()
        key.may_answer.clear()
        late = asyncio.create_task(other.for_tenant("acme").persisted_grants.store(a_grant("late")))
        await key.is_asked.wait()
        await store.tenants.delete("acme")
        key.may_answer.set()
        with pytest.raises(StorageUnavailable):
            await late
        assert {collection for _, collection, _ in raw(mongo_connection, database_name, "acme")} == {"data_keys"}
        assert await store.tenants.list() == []


@PLACEMENTS
async def test_the_next_owner_of_a_slug_inherits_nothing(placement, open_deployment, database_name):
    """Neither a token or client, nor the signing key that another node has in memory; and its database has the schema."""
    async with (
        open_deployment(database_name, placement, tenants="registered", brief=True) as store,
        open_deployment(database_name, placement, tenants="registered", brief=True, bare=True) as other,
    ):
        await store.tenants.create("acme")
        former, here = store.for_tenant("acme"), other.for_tenant("acme")
        await former.clients.save_client(a_client())
        handle = await former.refresh_tokens.store_refresh_token(a_refresh_token())
        signed_by = (await here.signing.get_signing_credentials()).key_id
        assert await here.clients.find_client_by_id("web") is not None
        await store.tenants.delete("acme")
        assert await store.tenants.create("acme") is True
        for acme in (here, former):
            assert await acme.refresh_tokens.get_refresh_token(handle) is None
            assert (await acme.signing.get_signing_credentials()).key_id != signed_by
        assert await here.signing.jwks() == await former.signing.jwks()
        await here.persisted_grants.store(a_grant())
        while await here.clients.find_client_by_id("web") is not None:  # Within a second, as of every change.
            await asyncio.sleep(0.01)
        operational = store._databases.operational("acme").database
        assert "by_subject" in await operational["grants"].index_information()


async def test_an_interrupted_deletion_is_finished_by_another(brief_deployment):
    """A tenant whose deletion was cut off stays in the list, can't be written for or created, and can be deleted again."""
    store, acme = brief_deployment, brief_deployment.for_tenant("acme")
    await acme.persisted_grants.store(a_grant("k"))
    await store.tenants._registry.begin_deletion("acme")  # As a process leaves it that dies at once.
    store._admission.forget("acme")
    assert await store.tenants.list() == ["acme"]
    for refused in (acme.persisted_grants.store(a_grant("x")), acme.key_ring.rotate(), acme.signing.rotate()):
        with pytest.raises(NotFound, match="is being deleted"):
            await refused
    with pytest.raises(AlreadyExists, match="is being deleted"):
        await store.tenants.create("acme")
    await store.tenants.delete("acme")
    assert await store.tenants.list() == []
    assert await acme.persisted_grants.get("k") is None
    assert await store.tenants.create("acme") is True
    await acme.persisted_grants.store(a_grant("x"))


async def test_a_deletion_that_is_cancelled_can_be_repeated(open_deployment, database_name):
    """It goes on from where it was."""
    async with open_deployment(database_name, brief=True) as store:
        acme = store.for_tenant("acme")
        await acme.persisted_grants.store(a_grant("k"))
        deleting = asyncio.create_task(store.tenants.delete("acme"))
        while (entry := await store.tenants._registry.find("acme")) is None or not entry.is_leaving:
            await asyncio.sleep(0.01)
        deleting.cancel()
        await asyncio.wait([deleting])
        assert await store.tenants.list() == ["acme"]
        await store.tenants.delete("acme")
        assert await store.tenants.list() == []
        assert await acme.persisted_grants.get("k") is None


async def test_two_deletions_and_a_creation_at_once(open_deployment, database_name):
    """One deletes, the other finds nothing left; nobody takes what a tenant that was created meanwhile has stored."""
    async with (
        open_deployment(database_name, tenants="registered", brief=True) as store,
        open_deployment(database_name, tenants="registered", brief=True, bare=True) as other,
    ):
        await store.tenants.create("acme")
        await store.for_tenant("acme").persisted_grants.store(a_grant("k"))
        deletions = [asyncio.create_task(each.tenants.delete("acme")) for each in (store, other)]
        created = False
        while not created:
            with suppress(MongostoreError):
                created = await other.tenants.create("acme")
            await asyncio.sleep(0.01)
        assert sorted(await asyncio.gather(*deletions)) == [0, 1]
        # Both are over, whichever came last: the tenant is there and whole, or it is gone.
        if await store.tenants.list() == ["acme"]:
            await other.for_tenant("acme").persisted_grants.store(a_grant("new"))
            assert await store.for_tenant("acme").persisted_grants.get("new") is not None


@PLACEMENTS
async def test_no_method_leaves_a_record_for_a_deleted_tenant(
    placement, database_name, open_deployment, mongo_connection: MongoClient
):
    """Neither on the node that deleted it nor on one that has everything of it in memory."""
    async with (
        open_deployment(database_name, placement, tenants="registered", brief=True) as store,
        open_deployment(database_name, placement, tenants="registered", bare=True) as other,
    ):
        await store.tenants.create("acme")
        theirs = Belongings(other.for_tenant("acme"), "of acme")
        await theirs.fill()
        await store.tenants.delete("acme")
        left = raw(mongo_connection, database_name, "acme")
        assert {collection for _, collection, _ in left} == {"data_keys"}
        for node in (other, store):
            acme = node.for_tenant("acme")
            for calls in (looking(acme, theirs), bringing(acme, theirs, "of nobody")):
                for name, call in calls.items():
                    with suppress(NotFound):
                        await outcome(call)
                    assert raw(mongo_connection, database_name, "acme").keys() == left.keys(), name
