"""Finding and making data keys: races, lost answers, unknown keys, stale memory, clocks that jump."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from mongostore.errors import KeyUnavailable, StorageUnavailable
from mongostore.protection.context import Context
from mongostore.protection.key_ring import DEFAULT_REFRESH_INTERVAL
from mongostore.protection.master_keys import LocalMasterKey, MasterKeyChain
from mongostore.protection.protector import SealingProtector

PLACE = Context("default", "grants", "id", "data")
SECOND = timedelta(seconds=1)


async def test_nothing_is_made_before_the_first_seal(store, new_node):
    """Opening a ring, its status and looking up hashes make no key."""
    ring = new_node().for_tenant("default")
    await ring.open()
    await ring.status()
    assert await ring.find_keyed_hash("user_code", "BDWP") is None
    assert store.inserts == 0


async def test_concurrent_first_seals_of_one_node_make_one_key(store, new_node):
    """Of 100 seals at once, one makes the key and all use it."""
    ring = new_node().for_tenant("default")
    keys = await asyncio.gather(*(ring.sealing_key() for _ in range(100)))
    assert len({key.key_id for key in keys}) == 1
    assert store.inserts == 1


async def test_concurrent_first_seals_of_many_nodes_make_one_key(store, new_node):
    """Nodes race for generation 1; the losers seal with the winner's key, and each opens what another sealed."""
    protectors = [SealingProtector(new_node()) for _ in range(8)]
    sealed = await asyncio.gather(*(node.seal(b"x", PLACE) for node in protectors for _ in range(5)))
    assert store.inserts > 1
    assert [record.generation for record in await store.load("default")] == [1]
    assert len({one.key_id for one in sealed}) == 1
    for node in protectors:
        assert await node.open(sealed[0], PLACE) == b"x"


async def test_tenants_have_keys_of_their_own(store, new_node):
    """Two tenants share no key."""
    node = new_node()
    one, other = await node.for_tenant("acme").sealing_key(), await node.for_tenant("globex").sealing_key()
    assert one.key_id != other.key_id
    assert await store.tenants() == ["acme", "globex"]


async def test_insert_whose_answer_was_lost_is_read_again(store, new_node):
    """The record was stored although the insert timed out: it is found by reading and used, not doubled."""
    store.lose_answers = True
    key = await new_node().for_tenant("default").sealing_key()
    (record,) = await store.load("default")
    assert record.key_id == key.key_id
    assert store.inserts == 1


async def test_insert_that_was_lost_seals_nothing(store, new_node):
    """Nothing was stored: the seal fails with the time-out as the cause, and the next one makes the key."""
    store.lose_writes = True
    ring = new_node().for_tenant("default")
    with pytest.raises(StorageUnavailable) as caught:
        await ring.sealing_key()
    assert isinstance(caught.value.__cause__, StorageUnavailable)
    assert ring.cached_sealing_key() is None
    store.lose_writes = False
    assert (await ring.sealing_key()).key_id == (await store.load("default"))[0].key_id


async def test_key_that_could_not_be_read_back_does_not_seal(store, new_node):
    """Stored, but not read back: no seal."""
    ring = new_node().for_tenant("default")
    await ring.open()
    insert = store.insert

    async def insert_then_go_dark(record):
        store.fail_loads = True
        return await insert(record)

    store.insert = insert_then_go_dark
    with pytest.raises(StorageUnavailable):
        await ring.sealing_key()
    assert ring.cached_sealing_key() is None


async def test_new_key_of_another_node_is_found_by_reading_once(store, new_node):
    """100 payloads under a key unknown here cost two reads of the ring at most: one, and one for who came meanwhile."""
    old, new = new_node(), new_node()
    await SealingProtector(old).seal(b"x", PLACE)
    await new.for_tenant("default").rotate()
    sealed = await SealingProtector(new).seal(b"x", PLACE)
    loads = store.loads
    opened = await asyncio.gather(*(SealingProtector(old).open(sealed, PLACE) for _ in range(100)))
    assert opened == [b"x"] * 100
    assert store.loads <= loads + 2


async def test_read_in_flight_does_not_hide_a_key_stored_after_it_began(store, new_node):
    """Who asks while an older read is under way waits for a read that began later."""
    old, new = new_node(), new_node()
    await SealingProtector(old).seal(b"x", PLACE)
    load, loaded, release = store.load, asyncio.Event(), asyncio.Event()

    async def load_slowly(tenant):
        found = await load(tenant)
        loaded.set()
        await release.wait()
        return found

    store.load = load_slowly
    early = asyncio.create_task(old.for_tenant("default").status())
    await loaded.wait()
    store.load = load
    await new.for_tenant("default").rotate()
    sealed = await SealingProtector(new).seal(b"x", PLACE)
    late = asyncio.create_task(SealingProtector(old).open(sealed, PLACE))
    await asyncio.sleep(0)
    release.set()
    assert await late == b"x"
    await early


async def test_unknown_key_is_named_and_looked_up_at_most_every_five_seconds(store, new_node, clock):
    """Garbage ids don't hammer the database; after five seconds, or after the clock jumped back, it is asked again."""
    ring = new_node().for_tenant("default")
    await ring.sealing_key()
    loads = store.loads
    for _ in range(20):
        with pytest.raises(KeyUnavailable, match="ff" * 16) as caught:
            await ring.opening_key(b"\xff" * 16)
        assert caught.value.key_id == "ff" * 16
    assert store.loads == loads + 1
    for move in (5 * SECOND, -3600 * SECOND):
        clock.advance(move)
        with pytest.raises(KeyUnavailable):
            await ring.opening_key(b"\xff" * 16)
    assert store.loads == loads + 3


async def test_thousands_of_unknown_keys_cost_five_reads_and_no_memory(store, new_node, clock):
    """Whatever their ids; five seconds later it is five more. A key of another node that is met then is found."""
    here, there = new_node(), new_node()
    ring = here.for_tenant("default")
    await ring.sealing_key()
    loads = store.loads
    for _ in range(2):
        for number in range(2_500):
            with pytest.raises(KeyUnavailable):
                await ring.opening_key(number.to_bytes(16, "big"))
        clock.advance(5 * SECOND)
    assert store.loads == loads + 2 * 5
    assert len(ring._unknown_keys) <= 5
    await there.for_tenant("default").rotate()
    assert await SealingProtector(here).open(await SealingProtector(there).seal(b"x", PLACE), PLACE) == b"x"


async def test_keys_that_are_found_count_for_nothing(new_node):
    """However many rotations a node has missed, and whatever garbage came between: few ids look in vain."""
    here, there = new_node(), new_node()
    await SealingProtector(here).seal(b"x", PLACE)
    for number in range(20):
        await there.for_tenant("default").rotate()
        sealed = await SealingProtector(there).seal(b"x", PLACE)
        if number < 4:
            with pytest.raises(KeyUnavailable):
                await here.for_tenant("default").opening_key(number.to_bytes(16, "big"))
        assert await SealingProtector(here).open(sealed, PLACE) == b"x"


async def test_asking_whether_a_key_is_there_reads_the_ring_for_no_id(store, new_node, clock):
    """Of a ring that was just read, only what it had is known; once it is stale, it is read, however many ask."""
    here, there = new_node().for_tenant("default"), new_node().for_tenant("default")
    key = await here.sealing_key()
    assert await there.has(key.key_id)
    await here.rotate()
    new = (await here.sealing_key()).key_id
    loads = store.loads
    for number in range(100):
        assert not await there.has(number.to_bytes(16, "big"))
    assert not await there.has(new)
    assert store.loads == loads
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    assert await there.has(new)


async def test_wrong_master_key_fails_at_open_with_all_names(new_node, store, master_key):
    """The error names the data key, the master key that wrapped it and the one given, and says what to do."""
    key = await new_node().for_tenant("default").sealing_key()
    other = LocalMasterKey.generate()
    ring = new_node(master_key=other).for_tenant("default")
    with pytest.raises(KeyUnavailable) as caught:
        await ring.open()
    message = str(caught.value)
    for needed in (key.key_id.hex(), master_key.id, other.id, "MasterKeyChain", "nothing was deleted"):
        assert needed in message
    assert caught.value.key_id == key.key_id.hex()
    for secret in (master_key.export(), other.export(), (await store.load("default"))[0].wrapped.hex()):
        assert secret not in message


async def test_wrong_master_key_neither_seals_nor_makes_a_key(new_node, store):
    """A node with the wrong master key must not begin a ring of its own."""
    key = await new_node().for_tenant("default").sealing_key()
    ring = new_node(master_key=LocalMasterKey.generate()).for_tenant("default")
    with pytest.raises(KeyUnavailable):
        await ring.sealing_key()
    with pytest.raises(KeyUnavailable):
        await ring.opening_key(key.key_id)
    assert len(await store.load("default")) == 1


async def test_old_key_that_does_not_open_stops_nobody_else(new_node, store, caplog):
    """With the previous master key missing, the node starts, seals, and fails on the old payloads alone; it is logged."""
    old_master, new_master = LocalMasterKey.generate(), LocalMasterKey.generate()
    sealed_before = await SealingProtector(new_node(master_key=old_master)).seal(b"old", PLACE)
    both = new_node(master_key=MasterKeyChain(new_master, old_master))
    await both.for_tenant("default").rotate()
    node = new_node(master_key=new_master)
    with caplog.at_level(logging.WARNING):
        await node.for_tenant("default").open()
    assert sealed_before.key_id.hex() in caplog.text
    protector = SealingProtector(node)
    assert await protector.open(await protector.seal(b"new", PLACE), PLACE) == b"new"
    with pytest.raises(KeyUnavailable, match=old_master.id):
        await protector.open(sealed_before, PLACE)
    assert await SealingProtector(both).open(sealed_before, PLACE) == b"old"


async def test_ring_is_read_again_after_the_refresh_interval(store, new_node, clock):
    """Within it a seal asks nobody; at its end the next seal, or a hundred of them at once, read the ring."""
    ring = new_node().for_tenant("default")
    await ring.sealing_key()
    loads = store.loads
    clock.advance(DEFAULT_REFRESH_INTERVAL - SECOND)
    assert ring.cached_sealing_key() is not None
    clock.advance(SECOND)
    assert ring.cached_sealing_key() is None
    await asyncio.gather(*(ring.sealing_key() for _ in range(100)))
    assert loads < store.loads <= loads + 2
    assert ring.cached_sealing_key() is not None


async def test_seal_fails_when_the_ring_cannot_be_read_again(store, new_node, clock):
    """Beyond the interval a node can't know that its key lives still, so it doesn't seal; it recovers by itself."""
    ring = new_node().for_tenant("default")
    key = await ring.sealing_key()
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    store.fail_loads = True
    with pytest.raises(StorageUnavailable):
        await ring.sealing_key()
    store.fail_loads = False
    assert await ring.sealing_key() == key


async def test_opening_goes_on_while_the_ring_cannot_be_read(store, new_node, clock, settle, caplog):
    """Payloads are opened with the keys at hand; the ring is tried in the background, once in five seconds."""
    protector = SealingProtector(new_node())
    sealed = await protector.seal(b"x", PLACE)
    clock.advance(DEFAULT_REFRESH_INTERVAL)
    store.fail_loads = True
    loads = store.loads
    for _ in range(10):
        assert await protector.open(sealed, PLACE) == b"x"
        await settle()
    assert store.loads == loads + 1
    assert "was not refreshed" in caplog.text
    clock.advance(5 * SECOND)
    assert await protector.open(sealed, PLACE) == b"x"
    await settle()
    assert store.loads == loads + 2


async def test_clock_that_jumps_back_neither_stops_sealing_nor_hides_changes(store, new_node, clock):
    """After a jump back by a year the ring counts as stale, is read again, and the same key seals."""
    ring = new_node().for_tenant("default")
    key = await ring.sealing_key()
    clock.advance(timedelta(days=-365))
    assert ring.cached_sealing_key() is None
    assert (await ring.sealing_key()).key_id == key.key_id
    assert ring.cached_sealing_key().key_id == key.key_id
    assert store.inserts == 1


async def test_clock_that_jumps_back_does_not_keep_a_reading_node_from_the_store(store, new_node, clock, settle):
    """A node that only opens has the ring read again after the jump, rather than a year later."""
    protector = SealingProtector(new_node())
    sealed = await protector.seal(b"x", PLACE)
    loads = store.loads
    clock.advance(timedelta(days=-365))
    assert await protector.open(sealed, PLACE) == b"x"
    await settle()
    assert store.loads == loads + 1


async def test_key_is_used_from_its_activation_on_however_fresh_the_ring_is(new_node, clock, settle, store):
    """Every node goes over to an announced key at its activation, without waiting for its next read."""
    node, other = new_node(), new_node()
    first = await node.for_tenant("default").sealing_key()
    clock.advance(timedelta(days=90) - timedelta(hours=1))
    await node.for_tenant("default").sealing_key()
    await settle()
    clock.advance(timedelta(minutes=59, seconds=45))
    before = [await ring.for_tenant("default").sealing_key() for ring in (node, other)]
    clock.advance(timedelta(seconds=15))
    after = []
    for ring in (node, other):
        assert ring.for_tenant("default").cached_sealing_key() is None
        after.append(await ring.for_tenant("default").sealing_key())
    assert {key.key_id for key in before} == {first.key_id}
    assert {key.key_id for key in after} == {(await store.load("default"))[1].key_id}


async def test_keyed_hash_is_stable_over_nodes_and_rotation(store, new_node):
    """Many nodes at once make one key for hashes, and rotation leaves it alone."""
    rings = [new_node().for_tenant("default") for _ in range(5)]
    hashes = await asyncio.gather(*(ring.keyed_hash("user_code", "BDWP") for ring in rings))
    assert len(set(hashes)) == 1
    await rings[0].rotate()
    restarted = new_node().for_tenant("default")
    assert await restarted.keyed_hash("user_code", "BDWP") == hashes[0]
    assert await restarted.find_keyed_hash("user_code", "BDWP") == hashes[0]
    assert [(record.generation, record.purpose) for record in await store.load("default")] == [(0, "hash"), (1, "data")]


async def test_keyed_hash_differs_by_value_purpose_and_tenant(new_node):
    """No two of them meet, also when text slides from the purpose to the value."""
    node = new_node()
    asked = [("default", "a", "bc"), ("default", "ab", "c"), ("default", "a", "bd"), ("acme", "a", "bc")]
    hashes = [await node.for_tenant(tenant).keyed_hash(purpose, value) for tenant, purpose, value in asked]
    assert len(set(hashes)) == 4


async def test_look_up_finds_a_hash_key_that_another_node_made_meanwhile(new_node):
    """A node that saw no key for hashes asks again, so that a code stored a moment ago is found."""
    one, other = new_node().for_tenant("default"), new_node().for_tenant("default")
    assert await one.find_keyed_hash("user_code", "BDWP") is None
    stored = await other.keyed_hash("user_code", "BDWP")
    assert await one.find_keyed_hash("user_code", "BDWP") == stored


async def test_data_key_and_hash_key_cannot_stand_in_for_one_another(store, new_node, master_key):
    """A record whose purpose was changed in the database does not unwrap."""
    ring = new_node().for_tenant("default")
    key = await ring.sealing_key()
    store._records["default", 1] = replace(store._records["default", 1], purpose="hash")
    with pytest.raises(KeyUnavailable):
        await new_node().for_tenant("default").find_keyed_hash("p", "v")
    with pytest.raises(KeyUnavailable):
        await new_node().for_tenant("default").opening_key(key.key_id)


async def test_cancelled_seal_leaves_the_ring_usable(store, new_node):
    """Cancelling the task that makes the key neither blocks nor breaks those that wait for it."""
    ring = new_node().for_tenant("default")
    tasks = [asyncio.create_task(ring.sealing_key()) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    keys = await asyncio.gather(*tasks[1:])
    assert len({key.key_id for key in keys}) == 1
    assert [record.generation for record in await store.load("default")] == [1]


async def test_closed_ring_holds_no_key(new_node):
    """After close no key is at hand."""
    node = new_node()
    ring = node.for_tenant("default")
    key = await ring.sealing_key()
    await node.close()
    assert ring.cached_sealing_key() is None
    assert ring.cached_opening_key(key.key_id) is None
