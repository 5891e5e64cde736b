"""The manager over keys in memory: when it reads, makes and deletes, and what it does when keys can't be read."""

import asyncio
import logging
import threading
from datetime import timedelta

import pytest

from mongostore.errors import ConfigurationError, KeyUnavailable, StorageUnavailable
from mongostore.signing.key_material import generate, parse
from mongostore.signing.policy import MAX_UNREADABLE_KEYS
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_serialized_key

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(milliseconds=1)


async def test_fresh_keys_are_not_read_again(manager, keys, clock, store_key):
    """For a day, signing and publishing ask nobody; then one read serves for the next day."""
    await store_key("k", 20 * DAY)
    for _ in range(3):
        assert (await manager.get_signing_credentials()).key_id == "k"
        await manager.jwks()
        clock.advance(DAY / 4)
    assert keys.reads == 1
    clock.advance(DAY / 4)
    await asyncio.gather(*(manager.jwks() for _ in range(20)))
    assert keys.reads == 2


async def test_new_keys_are_read_again_after_a_minute(manager, keys, clock):
    """While the keys are being set up, what other nodes add is seen sooner."""
    await manager.jwks()
    reads = keys.reads
    clock.advance(MINUTE - TICK)
    await manager.jwks()
    assert keys.reads == reads
    clock.advance(TICK)
    await manager.jwks()
    assert keys.reads == reads + 1


async def test_a_clock_that_jumps_back_reads_again(manager, keys, clock, store_key):
    """The age of what is held is not known then."""
    await store_key("k", 20 * DAY)
    await manager.jwks()
    clock.advance(-MINUTE)
    await manager.jwks()
    assert keys.reads == 2


async def test_a_key_that_another_node_made_is_found_before_one_is_made(make_manager, keys, clock):
    """Where the keys at hand are expired, the store is asked first."""
    here, there = make_manager(key_cache_duration=365 * DAY), make_manager()
    await here.jwks()
    clock.advance(80 * DAY)
    new = (await there.jwks())["keys"][-1]["kid"]
    clock.advance(10 * DAY)
    additions = keys.additions
    assert (await here.get_signing_credentials()).key_id == new
    assert keys.additions == additions


async def test_a_key_that_becomes_due_is_made_though_the_others_are_fresh(manager, keys, clock, store_key):
    """The cache does not put a rotation off."""
    await store_key("old", 76 * DAY - TICK)
    assert len((await manager.jwks())["keys"]) == 1
    clock.advance(TICK)
    assert len((await manager.jwks())["keys"]) == 2
    assert keys.additions == 1


async def test_a_due_key_is_looked_for_before_it_is_made(make_manager, keys, clock):
    """The node that comes second finds the successor of the first."""
    nodes = [make_manager() for _ in range(3)]
    for node in nodes:
        await node.jwks()
    clock.advance(76 * DAY)
    published = [await node.jwks() for node in nodes]
    assert published[0] == published[1] == published[2]
    assert len(published[0]["keys"]) == keys.additions == 2


async def test_one_of_many_nodes_makes_the_key(make_manager, keys):
    """Nodes that start at once elect one key for each algorithm."""
    nodes = [make_manager(signing_algorithms=["ES256", "ES384"]) for _ in range(8)]
    credentials = await asyncio.gather(
        *(node.get_signing_credentials(name) for node in nodes for name in ("ES256", "ES384"))
    )
    assert len({each.key_id for each in credentials}) == 2
    assert sorted(key.algorithm for key in await keys.load_keys()) == ["ES256", "ES384"]


async def test_a_new_algorithm_gets_a_key_of_its_own(make_manager, keys, clock):
    """The others keep theirs, and what an algorithm signed validates after it was taken out."""
    (old,) = (await make_manager().jwks())["keys"]
    clock.advance(DAY)
    both = make_manager(signing_algorithms=["ES384", "ES256"])
    new = await both.get_signing_credentials()
    assert new.algorithm == "ES384"
    assert (await both.get_signing_credentials("ES256")).key_id == old["kid"]
    alone = make_manager(signing_algorithms=["ES384"])
    assert [jwk["kid"] for jwk in (await alone.jwks())["keys"]] == [old["kid"], new.key_id]
    with pytest.raises(ValueError, match="ES384"):
        await alone.get_signing_credentials("ES256")
    assert keys.additions == 2


async def test_an_addition_that_comes_too_late_is_decided_anew(manager, keys, store_key):
    """Whoever finds that another node was faster uses that node's key and throws its own away."""
    keys.before_add = lambda: store_key("faster", timedelta(0))
    assert (await manager.get_signing_credentials()).key_id == "faster"
    assert [key.id for key in await keys.load_keys()] == ["faster"]


async def test_a_rotation_that_comes_too_late_returns_the_other_ones_key(manager, keys, store_key):
    """Both wanted a new key, and there is one."""
    await manager.jwks()
    keys.before_add = lambda: store_key("faster", timedelta(0))
    assert (await manager.rotate()).key_id == "faster"
    assert len(await keys.load_keys()) == 2


async def test_a_rotation_is_published_here_at_once(manager, clock, store_key):
    """The node that rotates does not wait for its cache."""
    await store_key("old", 20 * DAY)
    await manager.jwks()
    new = await manager.rotate()
    assert [key.key_id for key in await manager.get_validation_keys()] == ["old", new.key_id]


async def test_a_rotation_is_for_one_algorithm(make_manager):
    """The first configured one, unless another is named."""
    manager = make_manager(signing_algorithms=["ES256", "ES384"])
    await manager.jwks()
    assert (await manager.rotate()).algorithm == "ES256"
    assert (await manager.rotate("ES384")).algorithm == "ES384"
    assert sorted(jwk["alg"] for jwk in (await manager.jwks())["keys"]) == ["ES256", "ES256", "ES384", "ES384"]


async def test_keys_that_are_not_enabled_are_not_touched(make_manager, keys):
    """A server that has its keys elsewhere finds none here."""
    manager = make_manager(enabled=False)
    assert await manager.get_signing_credentials() is None
    assert await manager.get_validation_keys() == []
    assert await manager.jwks() == {"keys": []}
    with pytest.raises(ConfigurationError, match="enabled"):
        await manager.rotate()
    assert (keys.reads, keys.additions) == (0, 0)


async def test_a_retired_key_is_published_no_more_and_deleted(make_manager, keys, clock):
    """For 14 days after its last signature a key validates; then it is gone, also where nobody signs."""
    nodes = [make_manager() for _ in range(3)]
    old = (await nodes[0].get_signing_credentials()).key_id
    clock.advance(76 * DAY)
    _, new = [jwk["kid"] for jwk in (await nodes[0].jwks())["keys"]]
    clock.advance(28 * DAY - TICK)
    assert await _published(nodes[0]) == [old, new]
    assert await _published(nodes[1]) == [old, new]
    clock.advance(TICK)
    assert await _published(nodes[0]) == [new]
    assert [key.id for key in await keys.load_keys()] == [old, new]
    await nodes[2].rotate_if_due()
    assert [key.id for key in await keys.load_keys()] == [new]


async def test_a_lost_key_is_deleted_when_it_is_retired(manager, keys, clock):
    """Its age lies in clear."""
    old = (await manager.get_signing_credentials()).key_id
    keys.lost = {old}
    clock.advance(104 * DAY)
    assert (await manager.get_signing_credentials()).key_id != old
    assert old not in [key.id for key in await keys.load_keys()]


async def test_a_node_whose_clock_is_far_ahead_deletes_and_hides_nothing(make_manager, keys, clock):
    """It makes a key of its own, publishes it beside those that others sign with, and these go on."""
    here, ahead = make_manager(), make_manager(FakeClock(clock.now() + 120 * DAY))
    signing = (await here.get_signing_credentials()).key_id
    announced = (await here.rotate()).key_id
    own = (await ahead.get_signing_credentials()).key_id
    assert own not in {signing, announced}
    assert set(await _published(ahead)) == {signing, announced, own}
    await ahead.rotate_if_due()
    assert [key.id for key in await keys.load_keys()] == [signing, announced, own]
    clock.advance(DAY)
    assert (await here.get_signing_credentials()).key_id == signing
    assert set(await _published(here)) == {signing, announced, own}


async def test_what_a_node_whose_clock_is_far_behind_signs_with_is_published_by_all(make_manager, keys, clock):
    """It takes the others' keys for ones of the future, and makes one that is old at once: it stays, and is the only
    one."""
    slow = FakeClock(clock.now() - 120 * DAY)
    here, behind = make_manager(), make_manager(slow)
    signing = (await here.get_signing_credentials()).key_id
    own = (await behind.get_signing_credentials()).key_id
    assert set(await _published(behind)) == {signing, own}
    clock.advance(DAY)
    assert set(await _published(here)) == {signing, own}
    assert (await here.get_signing_credentials()).key_id == signing
    for _ in range(5):
        slow.advance(MINUTE)
        assert (await behind.get_signing_credentials()).key_id == own
    assert [key.id for key in await keys.load_keys()] == [signing, own]


async def test_a_stored_key_of_an_older_system_validates_for_a_whole_life(manager, clock, store_key):
    """It is past its time, so it does not sign; what it signed may be about, so it is published from now on."""
    await store_key("old", 1_000 * DAY)
    new = (await manager.get_signing_credentials()).key_id
    clock.advance(104 * DAY - TICK)
    assert (await _published(manager))[:2] == ["old", new]
    clock.advance(TICK)
    assert "old" not in await _published(manager)


async def test_retired_keys_may_be_kept(make_manager, keys, store_key, clock):
    """They are not published, and not deleted."""
    await store_key("retired", 104 * DAY)
    clock.advance(104 * DAY)
    manager = make_manager(delete_retired_keys=False)
    (jwk,) = (await manager.jwks())["keys"]
    assert jwk["kid"] != "retired"
    assert len(await keys.load_keys()) == 2


async def test_signing_goes_on_where_a_retired_key_can_not_be_deleted(manager, keys, clock, monkeypatch, caplog):
    """It is told, and tried again."""

    async def fail(*_):
        raise StorageUnavailable("no primary")

    await manager.jwks()
    clock.advance(104 * DAY)
    monkeypatch.setattr(keys, "retire", fail)
    with caplog.at_level(logging.WARNING, "mongostore"):
        assert await manager.get_signing_credentials()
    assert "not deleted: no primary" in caplog.text


async def test_no_key_is_made_where_none_can_be_read(manager, keys, clock):
    """A lost key ring raises, names the keys and what to do, and leaves no pile of keys behind."""
    old = (await manager.get_signing_credentials()).key_id
    keys.lost = {"ES256"}
    clock.advance(80 * DAY)
    for method in (manager.get_signing_credentials, manager.get_validation_keys, manager.jwks, manager.rotate) * 3:
        with pytest.raises(KeyUnavailable, match=old) as refusal:
            await method()
        assert refusal.value.key_id == "00" * 16
        assert "delete_key" in str(refusal.value)
    assert keys.additions == 1


async def test_a_repaired_key_ring_is_noticed_at_once(manager, keys, clock):
    """Where nothing can be read, nothing is cached."""
    old = (await manager.get_signing_credentials()).key_id
    keys.lost = {"ES256"}
    clock.advance(DAY)
    with pytest.raises(KeyUnavailable):
        await manager.jwks()
    keys.lost = set()
    assert (await manager.get_signing_credentials()).key_id == old


async def test_a_lost_key_of_one_algorithm_is_replaced_a_bounded_number_of_times(make_manager, keys, clock, caplog):
    """The other algorithm goes on; the lost one is refused once its replacements are lost as well."""
    manager = make_manager(signing_algorithms=["ES256", "ES384"])
    good = (await manager.get_signing_credentials()).key_id
    keys.lost = {"ES384"}
    for _ in range(10):
        clock.advance(MINUTE)
        assert (await manager.get_signing_credentials()).key_id == good
        with pytest.raises(KeyUnavailable, match="delete_key"):
            await manager.get_signing_credentials("ES384")
        assert [jwk["kid"] for jwk in (await manager.jwks())["keys"]] == [good]
    assert sum(key.algorithm == "ES384" for key in await keys.load_keys()) == MAX_UNREADABLE_KEYS
    assert f"{MAX_UNREADABLE_KEYS} of {MAX_UNREADABLE_KEYS + 1} signing keys can't be used" in caplog.text


async def test_a_lost_key_is_replaced_by_one_that_all_can_read(make_manager, keys, clock):
    """One record was damaged, its replacement signs."""
    manager = make_manager(signing_algorithms=["ES256", "ES384"])
    lost = (await manager.get_signing_credentials("ES384")).key_id
    keys.lost = {lost}
    clock.advance(DAY)
    new = (await manager.get_signing_credentials("ES384")).key_id
    assert new != lost
    assert {jwk["kid"] for jwk in (await manager.jwks())["keys"]} == {
        new,
        (await manager.get_signing_credentials()).key_id,
    }


async def test_what_can_not_sign_is_told_once_with_nothing_of_its_data(manager, keys, clock, caplog):
    """Data that are no key are damage, whatever they are; a key is made beside them."""
    for number, data in enumerate(["", "null", "[]", "{}", '{"d":"hunter2"}']):
        await keys.add(a_serialized_key(f"bad{number}", created=clock.now(), data=data), after=number)
    (jwk,) = (await manager.jwks())["keys"]
    assert (await manager.get_signing_credentials()).key_id == jwk["kid"]
    assert "5 of 6 signing keys can't be used" in caplog.text
    assert "hunter2" not in caplog.text
    assert keys.additions == 5 + 1


async def test_keys_that_are_lost_are_named_before_those_that_are_none(manager, keys, clock):
    """Who is refused is told of the lost ones: those are why."""
    await keys.add(a_serialized_key("lost", created=clock.now()), after=0)
    await keys.add(a_serialized_key("lost too", created=clock.now()), after=1)
    await keys.add(a_serialized_key("none", created=clock.now(), data="PEM"), after=2)
    keys.lost = {"lost", "lost too"}
    with pytest.raises(KeyUnavailable, match="3 of 3"):
        await manager.jwks()
    assert keys.additions == 3


async def test_one_failure_is_shared_and_not_kept(manager, keys):
    """Fifty requests during an outage wait for one answer, not for fifty in a row; the next one asks again."""
    keys.failure = StorageUnavailable("no primary")
    results = await asyncio.gather(*(manager.jwks() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(result, StorageUnavailable) for result in results)
    assert keys.reads == 1
    keys.failure = None
    assert len((await manager.jwks())["keys"]) == 1


async def test_a_caller_that_gives_up_does_not_take_the_keys_from_others(manager, keys):
    """Cancelling one of two requests that wait for the same read leaves the other alone."""
    first, second = asyncio.create_task(manager.jwks()), asyncio.create_task(manager.jwks())
    await asyncio.sleep(0)
    first.cancel()
    assert len((await second)["keys"]) == 1
    assert first.cancelled()


async def test_keys_are_made_and_parsed_beside_the_event_loop(manager, monkeypatch):
    """Either takes tens of milliseconds for RSA; other requests go on meanwhile."""
    threads = []
    for name, function in (("generate", generate), ("parse", parse)):

        def watched(*arguments, function=function):
            threads.append(threading.current_thread())
            return function(*arguments)

        monkeypatch.setattr(f"mongostore.signing.manager.{name}", watched)
    await manager.jwks()
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_a_key_is_parsed_once(manager, monkeypatch, clock, store_key):
    """Reading the store again does not parse again what is known."""
    parsed = []
    monkeypatch.setattr("mongostore.signing.manager.parse", lambda key: parsed.append(key.id) or parse(key))
    await store_key("k", 20 * DAY)
    for _ in range(3):
        await manager.jwks()
        clock.advance(DAY)
    assert parsed == ["k"]


async def _published(manager):
    return [jwk["kid"] for jwk in (await manager.jwks())["keys"]]
