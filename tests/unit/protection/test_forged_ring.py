"""What somebody who writes to the key ring, without a key or with a former master key, can't do."""

import asyncio
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from mongostore.errors import KeyUnavailable, StorageUnavailable
from mongostore.protection.context import Context
from mongostore.protection.key_ring import DEFAULT_REFRESH_INTERVAL
from mongostore.protection.master_keys import LocalMasterKey, MasterKeyChain
from mongostore.protection.protector import SealingProtector
from mongostore.protection.wrapped_keys import new_record, unwrap, wrapping_context
from mongostore.stores.data_keys import DataKeyRecord

PLACE = Context("default", "grants", "id", "data")
DAY = timedelta(days=1)
CHANGES = {
    "purpose": "hash",
    "key_id": b"k" * 16,
    "wrapped": b"w" * 40,
    "master_key_id": "local:0000000000000000",
    "created": None,
    "activates_at": None,
    "opens_only": True,
    "context_version": 1,
    "damaged": True,
}


@pytest.fixture
def change(store):
    """Write to a record behind the ring's back."""

    def to(generation, **values):
        store._records["default", generation] = replace(store._records["default", generation], **values)

    return to


def test_every_field_is_changed_by_a_test():
    """A field that is new is bound, or listed here."""
    names = {field.name for field in fields(DataKeyRecord)}
    assert names - CHANGES.keys() == {"tenant", "generation", "destroyed_at"}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_changed_record_brings_no_retired_key_back(store, new_node, clock, change, name):
    """After a rotation, one write to the young key's record: no node, running or new, ever seals by the old key again."""
    node = new_node()
    protector, ring = SealingProtector(node), node.for_tenant("default")
    leaked = await protector.seal(b"old", PLACE)
    await ring.rotate()
    sealed = await protector.seal(b"new", PLACE)
    whole = store._records["default", 2]
    change(2, **{name: CHANGES[name] if CHANGES[name] is not None else clock.now() + 1_000 * DAY})

    clock.advance(DEFAULT_REFRESH_INTERVAL)
    for attacked in (SealingProtector(new_node()), protector):
        if name == "master_key_id":
            with pytest.raises(KeyUnavailable, match="MasterKeyChain"):
                await attacked.seal(b"x", PLACE)
        else:
            assert (await attacked.seal(b"x", PLACE)).key_id not in {leaked.key_id, sealed.key_id}
            assert [key.generation for key in await store.load("default")] == [1, 2, 3]
        assert await attacked.open(leaked, PLACE) == b"old"
        with pytest.raises(KeyUnavailable):
            await attacked.open(sealed, PLACE)

    store._records["default", 2] = whole
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    assert await SealingProtector(new_node()).open(sealed, PLACE) == b"new"


async def test_a_damaged_record_is_named(store, new_node, change, clock):
    """The error names the key, the record, and what to do."""
    sealed = await SealingProtector(new_node()).seal(b"x", PLACE)
    await new_node().for_tenant("default").rotate()
    change(1, activates_at=clock.now() + DAY)
    with pytest.raises(KeyUnavailable, match=r"default\|1 of the key ring.*changed from outside.*backup") as caught:
        await SealingProtector(new_node()).open(sealed, PLACE)
    assert caught.value.key_id == sealed.key_id.hex()


async def test_the_only_key_is_replaced_by_nobody_who_can_not_open_it(store, new_node, change, clock):
    """Where nothing opens, the master key may be the wrong one: everything is refused, and nothing made."""
    await new_node().for_tenant("default").sealing_key()
    change(1, activates_at=clock.now() + DAY)
    ring = new_node().for_tenant("default")
    for refused in (ring.open, ring.sealing_key, ring.rotate, lambda: ring.keyed_hash("p", "v")):
        with pytest.raises(KeyUnavailable, match=r"default\|1"):
            await refused()
    assert len(await store.load("default")) == 1


async def test_a_record_that_names_a_known_key_is_not_believed(store, new_node, clock):
    """Garbage under a new generation and the id of a key that a node has in memory: what that key sealed is read on,
    and the node seals by a new one."""
    node = new_node()
    protector = SealingProtector(node)
    sealed = await protector.seal(b"x", PLACE)
    await node.for_tenant("default").rotate()
    (first, second) = await store.load("default")
    for number, wrapped in enumerate((b"garbage", first.wrapped, second.wrapped), 3):
        await store.insert(replace(first, generation=2 * number, wrapped=wrapped))
        clock.advance(DEFAULT_REFRESH_INTERVAL)
        after = await protector.seal(b"x", PLACE)
        assert after.key_id not in {first.key_id, second.key_id}
        for each in (protector, SealingProtector(new_node())):
            assert await each.open(sealed, PLACE) == b"x"
            assert await each.open(after, PLACE) == b"x"


async def test_a_garbled_record_is_not_opened_by_what_is_in_memory(new_node, change, clock, settle):
    """A key is taken from memory for the very record that it was unwrapped from, byte for byte."""
    node = new_node()
    protector = SealingProtector(node)
    sealed = await protector.seal(b"x", PLACE)
    await node.for_tenant("default").rotate()
    change(1, wrapped=b"w" * 40)
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    await protector.open(sealed, PLACE)
    await settle()
    with pytest.raises(KeyUnavailable, match=sealed.key_id.hex()):
        await protector.open(sealed, PLACE)


async def test_two_good_records_of_one_key_are_refused_by_name(store, new_node, master_key):
    """Nobody without the master key can make the second; which of them sealed a value can't be told."""
    node = new_node()
    protector = SealingProtector(node)
    twice = await protector.seal(b"x", PLACE)
    await node.for_tenant("default").rotate()
    once = await protector.seal(b"y", PLACE)
    (first, _) = await store.load("default")
    await store.insert(await _twin(master_key, first))
    other = SealingProtector(new_node())
    with pytest.raises(KeyUnavailable, match=r"twice.*default\|1.*default\|7.*Remove") as caught:
        await other.open(twice, PLACE)
    assert caught.value.key_id == twice.key_id.hex()
    assert await other.open(once, PLACE) == b"y"
    assert (await other.seal(b"z", PLACE)).key_id not in {twice.key_id, once.key_id}


async def test_a_key_of_a_former_master_key_opens_and_never_seals(store, new_node, clock):
    """With the former master key in the wrong hands, a data key of the attacker's is slipped in while the master key is
    being replaced: it is never used, neither before `rewrap` nor after it, nor once the former one is dropped."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    sealed = await SealingProtector(new_node(master_key=old)).seal(b"x", PLACE)
    chained = new_node(master_key=MasterKeyChain(new, old))
    own = await SealingProtector(chained).seal(b"y", PLACE)
    assert own.key_id != sealed.key_id
    now = clock.now()
    for generation, version in ((8, 2), (9, 1)):
        slipped = await new_record(
            old, tenant="default", generation=generation, purpose="data", created=now, activates_at=now - DAY
        )
        if version == 1:
            slipped = await _wrapped(old, replace(slipped, context_version=1), b"k" * 32)
        await store.insert(slipped)

    async def check(node):
        clock.advance(DEFAULT_REFRESH_INTERVAL)
        protector = SealingProtector(node)
        assert (await protector.seal(b"z", PLACE)).key_id == own.key_id
        assert await protector.open(sealed, PLACE) == b"x"
        assert await protector.open(own, PLACE) == b"y"

    await check(chained)
    assert await chained.rewrap() == 3
    assert await chained.rewrap() == 0
    await check(chained)
    await check(new_node(master_key=new))
    status = await chained.for_tenant("default").status()
    assert [(key.generation, key.opens_only) for key in status.keys] == [(1, True), (2, False), (8, True), (9, True)]
    for generation in (1, 8, 9):
        store._records["default", generation] = replace(store._records["default", generation], opens_only=False)
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    after = await SealingProtector(new_node(master_key=new)).seal(b"z", PLACE)
    assert after.key_id not in {store._records["default", generation].key_id for generation in (1, 8, 9)}


async def test_rewrapping_first_leaves_nothing_that_seals(store, new_node):
    """Where `rewrap` runs before anything was sealed, the next seal makes a key."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    sealed = await SealingProtector(new_node(master_key=old)).seal(b"x", PLACE)
    assert await new_node(master_key=MasterKeyChain(new, old)).rewrap() == 1
    node = new_node(master_key=new)
    await node.for_tenant("default").open()
    after = await SealingProtector(node).seal(b"y", PLACE)
    assert after.key_id != sealed.key_id
    assert await SealingProtector(node).open(sealed, PLACE) == b"x"
    assert [record.opens_only for record in await store.load("default")] == [True, False]


async def test_nodes_of_both_chains_read_what_the_others_write(store, new_node, clock):
    """While one master key replaces another, each node seals by the youngest key of its own, and no keys are made in
    turns."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    before, behind = new_node(master_key=MasterKeyChain(old, new)), new_node(master_key=MasterKeyChain(new, old))
    for _ in range(5):
        for writer, reader in ((before, behind), (behind, before)):
            sealed = await SealingProtector(writer).seal(b"x", PLACE)
            assert await SealingProtector(reader).open(sealed, PLACE) == b"x"
        clock.advance(DEFAULT_REFRESH_INTERVAL)
    assert len(await store.load("default")) == 2


async def test_a_node_with_the_former_master_key_alone_refuses_and_makes_nothing(store, new_node, clock):
    """As soon as another has made a key that it can't open: the error names both master keys and the chain."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    alone = new_node(master_key=old)
    sealed = await SealingProtector(alone).seal(b"x", PLACE)
    await SealingProtector(new_node(master_key=MasterKeyChain(new, old))).seal(b"y", PLACE)
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    for refused in (alone.for_tenant("default").sealing_key, alone.for_tenant("default").rotate):
        with pytest.raises(KeyUnavailable, match=f"{new.id}.*{old.id}.*MasterKeyChain"):
            await refused()
    assert await SealingProtector(alone).open(sealed, PLACE) == b"x"
    assert len(await store.load("default")) == 2


async def test_many_nodes_that_get_a_new_master_key_make_one_key(store, new_node):
    """All find no key of the new master key; one makes it."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    await new_node(master_key=old).for_tenant("default").sealing_key()
    nodes = [new_node(master_key=MasterKeyChain(new, old)).for_tenant("default") for _ in range(8)]
    keys = await asyncio.gather(*(node.sealing_key() for node in nodes for _ in range(5)))
    assert len({key.key_id for key in keys}) == 1
    assert len(await store.load("default")) == 2


async def test_a_key_that_is_due_under_a_new_master_key_is_made_ahead(store, new_node):
    """Also for a tenant that stores nothing for a while."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    await new_node(master_key=old).for_tenant("default").sealing_key()
    chained = new_node(master_key=MasterKeyChain(new, old))
    assert await chained.rotate_if_due("default") is True
    assert await chained.rotate_if_due("default") is False
    assert await chained.rotate_if_due("nobody") is False
    assert [record.master_key_id for record in await store.load("default")] == [old.id, new.id]


async def test_rewrap_goes_past_what_it_can_not_open(store, new_node, change):
    """One bad record keeps no other key, and no other tenant, under the former master key; it is told at the end."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    node = new_node(master_key=old)
    for tenant in ("acme", "default", "zeta"):
        await node.for_tenant(tenant).sealing_key()
    await node.for_tenant("default").rotate()
    change(1, wrapped=b"garbage!")
    with pytest.raises(KeyUnavailable, match=r"default"):
        await new_node(master_key=MasterKeyChain(new, old)).rewrap()
    left = [
        record
        for tenant in await store.tenants()
        for record in await store.load(tenant)
        if record.master_key_id == old.id
    ]
    assert [(record.tenant, record.generation) for record in left] == [("default", 1)]


async def test_rewrap_binds_what_a_former_version_stored(store, new_node, master_key, clock, change):
    """Keys of the first form open and seal; after `rewrap` no write to their times is believed."""
    ring = new_node().for_tenant("default")
    await ring.sealing_key()
    await ring.rotate()
    for generation in (1, 2):
        record = store._records["default", generation]
        key = await unwrap(master_key, record)
        store._records["default", generation] = await _wrapped(master_key, replace(record, context_version=1), key)
    node = new_node()
    sealed = await SealingProtector(node).seal(b"x", PLACE)
    assert sealed.key_id == (await store.load("default"))[1].key_id
    assert await node.rewrap() == 2
    assert await node.rewrap() == 0
    assert [record.context_version for record in await store.load("default")] == [2, 2]
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    assert (await SealingProtector(node).seal(b"x", PLACE)).key_id == sealed.key_id
    change(2, activates_at=clock.now() + DAY)
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    after = await SealingProtector(node).seal(b"x", PLACE)
    assert after.key_id not in {record.key_id for record in (await store.load("default"))[:2]}


async def test_a_version_that_is_not_known_is_told(store, new_node, change):
    """A node that was not updated says that it is to be."""
    sealed = await SealingProtector(new_node()).seal(b"x", PLACE)
    change(1, context_version=3)
    with pytest.raises(KeyUnavailable, match="newer version"):
        await SealingProtector(new_node()).open(sealed, PLACE)


async def test_a_destroyed_ring_stays_destroyed(store, new_node, clock, change):
    """Whatever is written to its records, or stored beside them."""
    node = new_node()
    ring = node.for_tenant("default")
    await ring.sealing_key()
    await ring.rotate()
    before = await store.load("default")
    await ring.destroy()
    late = await _twin(node._master_key, replace(before[0], key_id=b"n" * 16))
    for attack in (
        lambda: change(1, wrapped=before[0].wrapped),
        lambda: change(2, wrapped=b"garbage"),
        lambda: store._records.update({("default", 7): late}),
    ):
        attack()
        clock.advance(DEFAULT_REFRESH_INTERVAL)
        for each in (node, new_node()):
            protector, attacked = SealingProtector(each), each.for_tenant("default")
            for refused in (lambda p=protector: p.seal(b"x", PLACE), attacked.rotate):
                with pytest.raises(KeyUnavailable, match="destroyed"):
                    await refused()
            with pytest.raises(KeyUnavailable, match="destroyed"):
                await attacked.opening_key(before[0].key_id)
            assert await attacked.rotate_if_due() is False
            assert await each.rotate_if_due("default") is False
            assert (await attacked.status()).destroyed
            assert await each.rewrap() == 0


async def test_a_master_key_that_can_not_read_what_it_wraps_fills_no_ring(store, new_node):
    """Nothing is stored that could not be opened again."""

    class Careless(LocalMasterKey):
        async def wrap(self, data_key, context):
            return await super().wrap(bytes(32), context)

    ring = new_node(master_key=Careless.generate()).for_tenant("default")
    for _ in range(3):
        with pytest.raises(KeyUnavailable, match="does not give back"):
            await ring.sealing_key()
    assert await store.load("default") == []


async def test_a_service_that_does_not_answer_for_a_new_key_stops_no_node_that_seals(store, new_node, clock):
    """A node that seals goes on by the key that it has; it takes the new one as soon as it is told."""

    class Service(LocalMasterKey):
        is_silent = False

        async def unwrap(self, wrapped, context, master_key_id):
            if self.is_silent:
                raise StorageUnavailable("the service does not answer")
            return await super().unwrap(wrapped, context, master_key_id)

    service = Service(b"s" * 32)
    there = new_node(master_key=LocalMasterKey(b"s" * 32))
    here = new_node(master_key=service)
    first = await SealingProtector(here).seal(b"x", PLACE)
    second = (await there.for_tenant("default").rotate()).active_key_id
    service.is_silent = True
    for _ in range(2):
        clock.advance(DEFAULT_REFRESH_INTERVAL)
        assert (await SealingProtector(here).seal(b"x", PLACE)).key_id == first.key_id
    with pytest.raises(StorageUnavailable):
        await SealingProtector(new_node(master_key=service)).seal(b"x", PLACE)
    service.is_silent = False
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    assert (await SealingProtector(here).seal(b"x", PLACE)).key_id.hex() == second
    assert len(await store.load("default")) == 2


async def _twin(master_key, record):
    """Another key of the same id, as only who has the master key can make it."""
    return await _wrapped(master_key, replace(record, generation=7), b"t" * 32)


async def _wrapped(master_key, record, key):
    return replace(record, wrapped=await master_key.wrap(key, wrapping_context(record)))
