"""Replacing and destroying keys: rotate, rewrap, destroy, status."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError

from mongostore.errors import KeyUnavailable
from mongostore.protection.context import Context
from mongostore.protection.key_ring import DEFAULT_REFRESH_INTERVAL
from mongostore.protection.master_keys import LocalMasterKey, MasterKeyChain
from mongostore.protection.protector import SealingProtector
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.protection.wrapped_keys import new_record

PLACE = Context("default", "grants", "id", "data")
DAY = timedelta(days=1)


async def generations(store):
    return [record.generation for record in await store.load("default")]


async def test_rotated_key_seals_at_once_and_the_old_one_opens(new_node):
    """After rotate the new key seals, and what the old one sealed is still read."""
    node = new_node()
    protector = SealingProtector(node)
    before = await protector.seal(b"old", PLACE)
    status = await node.for_tenant("default").rotate()
    after = await protector.seal(b"new", PLACE)
    assert after.key_id != before.key_id
    assert status.active_key_id == after.key_id.hex()
    assert await protector.open(before, PLACE) == b"old"


async def test_nodes_rotating_at_once_make_one_key(store, new_node):
    """Each holds generation 1; one inserts generation 2 and the others take it."""
    nodes = [new_node() for _ in range(8)]
    for node in nodes:
        await node.for_tenant("default").sealing_key()
    statuses = await asyncio.gather(*(node.for_tenant("default").rotate() for node in nodes))
    assert await generations(store) == [1, 2]
    assert len({status.active_key_id for status in statuses}) == 1


async def test_rotating_an_empty_ring_makes_the_first_key(store, new_node):
    """Rotate on a tenant that never sealed gives it generation 1."""
    await new_node().for_tenant("default").rotate()
    assert await generations(store) == [1]


async def test_rotate_goes_past_a_key_that_is_only_announced(store, new_node, clock, master_key):
    """Rotate promises a key that seals now; the announced one does not, and stays behind it for good."""
    ring = new_node().for_tenant("default")
    await ring.sealing_key()
    now = clock.now()
    announced = await new_record(
        master_key, tenant="default", generation=2, purpose="data", created=now, activates_at=now + timedelta(hours=1)
    )
    await store.insert(announced)
    status = await ring.rotate()
    assert await generations(store) == [1, 2, 3]
    assert status.keys[2].active
    clock.advance(timedelta(hours=2))
    assert (await ring.sealing_key()).key_id.hex() == status.active_key_id


async def test_policy_stores_the_next_key_ahead_of_time(store, new_node, clock, settle):
    """A seal shortly before the interval ends announces the successor in the background, once, and goes on itself."""
    policy = KeyRotationPolicy(rotation_interval=30 * DAY, propagation=2 * DAY)
    nodes = [new_node(policy=policy) for _ in range(4)]
    first, *_ = [await node.for_tenant("default").sealing_key() for node in nodes]
    clock.advance(28 * DAY - timedelta(seconds=1))
    await asyncio.gather(*(node.for_tenant("default").sealing_key() for node in nodes))
    await settle()
    assert await generations(store) == [1]
    clock.advance(timedelta(seconds=61))
    keys = await asyncio.gather(*(node.for_tenant("default").sealing_key() for node in nodes))
    assert {key.key_id for key in keys} == {first.key_id}
    await settle()
    assert await generations(store) == [1, 2]
    clock.advance(2 * DAY)
    keys = await asyncio.gather(*(node.for_tenant("default").sealing_key() for node in nodes))
    assert {key.key_id for key in keys} == {(await store.load("default"))[1].key_id}


async def test_a_key_that_is_due_is_made_without_a_seal(store, new_node, clock):
    """Asked whether one is due, a ring makes the successor ahead of time, once for all nodes, and never a first key."""
    policy = KeyRotationPolicy(rotation_interval=30 * DAY, propagation=2 * DAY)
    nodes = [new_node(policy=policy) for _ in range(4)]
    assert await nodes[0].rotate_if_due("default") is False
    assert await generations(store) == []
    await nodes[0].for_tenant("default").sealing_key()
    clock.advance(28 * DAY - timedelta(seconds=1))
    assert await nodes[1].rotate_if_due("default") is False
    clock.advance(timedelta(seconds=1))
    assert True in await asyncio.gather(*(node.rotate_if_due("default") for node in nodes))
    assert await generations(store) == [1, 2]
    assert await nodes[2].rotate_if_due("default") is False
    await nodes[0].destroy("default")
    clock.advance(365 * DAY)
    assert await nodes[3].rotate_if_due("default") is False
    assert await generations(store) == [1, 2]


async def test_a_ring_in_which_nothing_is_due_is_read_once_and_not_unwrapped(store, new_node, monkeypatch):
    """So thousands of tenants can be asked again and again, and a master key that is away is no matter."""
    await new_node().for_tenant("default").sealing_key()
    node, loads, load = new_node(), [], store.load

    async def counted(tenant):
        loads.append(tenant)
        return await load(tenant)

    async def refuse(*_):
        raise AssertionError("a key was unwrapped")

    monkeypatch.setattr(store, "load", counted)
    monkeypatch.setattr(LocalMasterKey, "unwrap", refuse)
    assert await node.rotate_if_due("default") is False
    assert loads == ["default"]
    assert node._rings == {}


async def test_policy_works_on_a_node_whose_reads_keep_the_ring_fresh(store, new_node, clock, settle):
    """The ring that an opened payload had refreshed doesn't keep the next seal from looking whether a key is due."""
    protector = SealingProtector(new_node())
    sealed = await protector.seal(b"x", PLACE)
    clock.advance(90 * DAY)
    await protector.open(sealed, PLACE)
    await settle()
    await protector.seal(b"x", PLACE)
    await settle()
    assert await generations(store) == [1, 2]


async def test_failed_rotation_in_the_background_harms_no_seal(store, new_node, clock, settle, caplog):
    """When the successor can't be stored, sealing goes on, a warning is logged, and a later seal tries again."""
    ring = new_node().for_tenant("default")
    key = await ring.sealing_key()
    clock.advance(90 * DAY)
    store.lose_writes = True
    assert (await ring.sealing_key()).key_id == key.key_id
    await settle()
    assert "was not rotated" in caplog.text
    store.lose_writes = False
    clock.advance(timedelta(seconds=60))
    assert (await ring.sealing_key()).key_id == key.key_id
    await settle()
    assert await generations(store) == [1, 2]


async def test_rewrap_moves_every_key_to_the_new_master_key(store, new_node):
    """After rewrap the new master key alone opens everything, the old one nothing; a second run changes nothing."""
    old, new = LocalMasterKey.generate(), LocalMasterKey.generate()
    node = new_node(master_key=old)
    sealed = {
        tenant: await SealingProtector(node).seal(b"x", PLACE._replace(tenant=tenant)) for tenant in ("default", "acme")
    }
    hashed = await node.for_tenant("default").keyed_hash("user_code", "BDWP")

    both = new_node(master_key=MasterKeyChain(new, old))
    assert await both.rewrap() == 3
    assert await both.rewrap() == 0

    only_new = new_node(master_key=new)
    for tenant, payload in sealed.items():
        assert await SealingProtector(only_new).open(payload, PLACE._replace(tenant=tenant)) == b"x"
    assert await only_new.for_tenant("default").keyed_hash("user_code", "BDWP") == hashed
    with pytest.raises(KeyUnavailable):
        await new_node(master_key=old).for_tenant("default").open()


async def test_concurrent_rewraps_change_each_record_once(new_node, master_key):
    """Two nodes at once: each record is rewrapped by one of them."""
    await new_node().for_tenant("default").sealing_key()
    chain = MasterKeyChain(LocalMasterKey.generate(), master_key)
    counts = await asyncio.gather(*(new_node(master_key=chain).rewrap() for _ in range(5)))
    assert sum(counts) == 1


async def test_rewrap_without_the_old_master_key_changes_nothing(store, new_node):
    """It fails by naming what is missing, and the record stays as it was."""
    await new_node().for_tenant("default").sealing_key()
    before = await store.load("default")
    with pytest.raises(KeyUnavailable, match="MasterKeyChain"):
        await new_node(master_key=LocalMasterKey.generate()).rewrap()
    assert await store.load("default") == before


async def test_rewrap_never_writes_what_it_cannot_read_back(store, new_node, master_key):
    """A master key that wraps badly loses nothing: the old form stays."""

    class Careless(LocalMasterKey):
        async def wrap(self, data_key, context):
            return await super().wrap(bytes(32), context)

    await new_node().for_tenant("default").sealing_key()
    before = await store.load("default")
    with pytest.raises(KeyUnavailable, match="left as it was"):
        await new_node(master_key=MasterKeyChain(Careless.generate(), master_key)).rewrap()
    assert await store.load("default") == before


async def test_destroyed_tenant_neither_opens_nor_seals(store, new_node):
    """After destroy nothing opens, nothing is sealed, no key is made, and the tombstones remain; others are untouched."""
    node = new_node()
    protector, ring = SealingProtector(node), node.for_tenant("default")
    sealed = await protector.seal(b"x", PLACE)
    other = await protector.seal(b"x", PLACE._replace(tenant="acme"))
    await ring.keyed_hash("user_code", "BDWP")
    await ring.rotate()
    assert await ring.destroy() == 2
    for attempt in (
        lambda: protector.seal(b"x", PLACE),
        lambda: protector.open(sealed, PLACE),
        lambda: ring.keyed_hash("user_code", "BDWP"),
        lambda: ring.find_keyed_hash("user_code", "BDWP"),
        ring.rotate,
        lambda: SealingProtector(new_node()).seal(b"x", PLACE),
    ):
        with pytest.raises(KeyUnavailable, match="destroyed"):
            await attempt()
    records = await store.load("default")
    assert [(record.generation, record.wrapped) for record in records] == [(0, None), (1, None), (2, None)]
    assert all(record.destroyed_at is not None for record in records)
    assert await protector.open(other, PLACE._replace(tenant="acme")) == b"x"


async def test_destroying_again_or_nothing_counts_nothing(new_node):
    """Destroy may be repeated; an empty ring has nothing to destroy."""
    node = new_node()
    ring = node.for_tenant("default")
    assert await ring.destroy() == 0
    await ring.sealing_key()
    assert await node.destroy("default") == 1
    assert await ring.destroy() == 0


async def test_other_nodes_stop_sealing_within_the_refresh_interval(new_node, clock):
    """A node that holds the key in memory seals with it no longer than the interval."""
    here, there = new_node(), new_node()
    await here.for_tenant("default").sealing_key()
    await there.for_tenant("default").sealing_key()
    await here.for_tenant("default").destroy()
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    with pytest.raises(KeyUnavailable):
        await SealingProtector(there).seal(b"x", PLACE)


async def test_nodes_that_only_open_forget_destroyed_keys_too(new_node, clock, settle):
    """The first payload opened after the interval has the ring read; from then on nothing opens."""
    here, there = new_node(), SealingProtector(new_node())
    sealed = await SealingProtector(here).seal(b"x", PLACE)
    await there.open(sealed, PLACE)
    await here.for_tenant("default").destroy()
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    await there.open(sealed, PLACE)
    await settle()
    with pytest.raises(KeyUnavailable):
        await there.open(sealed, PLACE)


async def test_key_that_was_being_stored_does_not_revive_a_destroyed_tenant(store, new_node, clock, master_key):
    """A rotation whose insert lands behind the destruction leaves the tenant destroyed on every node."""
    ring = new_node().for_tenant("default")
    await ring.sealing_key()
    now = clock.now()
    late = await new_record(master_key, tenant="default", generation=2, purpose="data", created=now, activates_at=now)
    await ring.destroy()
    await store.insert(late)
    for node in (ring, new_node().for_tenant("default")):
        clock.advance(timedelta(seconds=60))
        with pytest.raises(KeyUnavailable, match="destroyed"):
            await node.sealing_key()
        with pytest.raises(KeyUnavailable, match="destroyed"):
            await node.opening_key(late.key_id)


async def test_key_stored_behind_the_first_pass_is_destroyed_too(store, new_node, clock, master_key):
    """Destroy goes over the ring until a pass finds nothing, so that a key stored meanwhile is erased as well."""
    ring = new_node().for_tenant("default")
    await ring.sealing_key()
    now, destroy = clock.now(), store.destroy
    late = await new_record(master_key, tenant="default", generation=2, purpose="data", created=now, activates_at=now)

    async def destroy_then_let_one_in(tenant, at):
        changed = await destroy(tenant, at)
        await store.insert(late)
        return changed

    store.destroy = destroy_then_let_one_in
    await ring.destroy()
    assert [(record.generation, record.wrapped) for record in await store.load("default")] == [(1, None), (2, None)]


async def test_rewrap_does_not_bring_a_destroyed_key_back(store, new_node, clock):
    """The conditional write of a rewrap that began before the destruction changes nothing."""
    await new_node().for_tenant("default").sealing_key()
    (record,) = await store.load("default")
    await store.destroy("default", clock.now())
    assert not await store.replace_wrapped(replace(record, master_key_id="local:new"), record.master_key_id)
    assert (await store.load("default"))[0].wrapped is None


async def test_store_of_a_destroyed_tenant_still_starts(new_node):
    """A tombstone is no reason not to open: the other tenants' data is there."""
    node = new_node()
    await node.for_tenant("default").sealing_key()
    await node.for_tenant("default").destroy()
    await new_node().for_tenant("default").open()


async def test_status_tells_ages_and_states(new_node, clock, master_key):
    """Every key with its times, exactly one active, frozen; after destroy none is."""
    ring = new_node().for_tenant("default")
    assert (await ring.status()).active_key_id is None
    first = await ring.sealing_key()
    await ring.keyed_hash("user_code", "BDWP")
    clock.advance(10 * DAY)
    await ring.rotate()
    status = await ring.status()
    assert [(key.generation, key.purpose, key.active) for key in status.keys] == [
        (0, "hash", False),
        (1, "data", False),
        (2, "data", True),
    ]
    assert status.keys[1].key_id == first.key_id.hex()
    assert [key.age for key in status.keys] == [10 * DAY, 10 * DAY, timedelta(0)]
    assert status.master_key_id == status.keys[2].master_key_id == master_key.id
    assert not status.destroyed
    with pytest.raises(ValidationError):
        status.tenant = "other"
    await ring.destroy()
    status = await ring.status()
    assert status.destroyed
    assert status.active_key_id is None
    assert not any(key.active for key in status.keys)
