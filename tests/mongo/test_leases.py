"""Leases on a real server. Time is the server's, so no clock can be put forward: the end of a lease is put back."""

import asyncio
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from mongostore.errors import StorageUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.leases import Leases

LONG = timedelta(minutes=1)
LIMIT = timedelta(seconds=30)
# So many that a lease of a minute is renewed ten times a second.
MANY_RENEWALS = 600

PROCESS = """
import asyncio, sys
from datetime import timedelta
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.leases import Leases

async def main(uri, database, milliseconds):
    limit = timedelta(seconds=30)
    connection = Connection(uri, operation_timeout=limit, server_selection_timeout=limit)
    await connection.open()
    leases = Leases(Binding(connection, database))
    print("ready", flush=True)
    sys.stdin.readline()
    lease = await leases.acquire("job", timedelta(milliseconds=int(milliseconds)))
    print("won" if lease else "lost", flush=True)
    sys.stdin.readline()
    if lease and not await lease.holds():
        print("refused", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def binding(mongo_uri, database_name):
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    yield Binding(connection, database_name)
    await connection.close()


@pytest.fixture
def leases(binding):
    return Leases(binding)


@pytest.fixture
def record(binding):
    """The only lease as it is stored."""

    async def found():
        return await binding.collection(LeaseFields).find_one()

    return found


@pytest.fixture
def expire(binding):
    """Lets the time of the only lease be over."""

    async def expired():
        await binding.collection(LeaseFields).update_one({}, [{"$set": {"expires": "$$NOW"}}])

    return expired


@pytest.fixture
def process(mongo_uri, database_name):
    """Starts a process that says "ready", acquires at the first line on its stdin, and checks at the second."""
    started = []

    def start(duration):
        command = [sys.executable, "-c", PROCESS, mongo_uri, database_name, str(round(duration.total_seconds() * 1000))]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        started.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


async def test_one_of_many_gets_it(leases):
    """Of 20 concurrent callers on a lease that never was, exactly one gets it; so again once it is released."""
    for fence in (1, 2):
        given = await asyncio.gather(*(leases.acquire("job", LONG) for _ in range(20)))
        (lease,) = [each for each in given if each is not None]
        assert lease.fence == fence
        await lease.release()


async def test_a_lease_expires_by_itself(leases):
    """Once its duration is over, without anybody's doing, the next one gets it."""
    assert await leases.acquire("job", timedelta(milliseconds=1))
    async with asyncio.timeout(60):
        while await leases.acquire("job", LONG) is None:
            await asyncio.sleep(0.01)


async def test_one_of_many_gets_an_expired_one(leases, expire):
    """Of 20 concurrent callers on an expired lease, exactly one gets it."""
    await leases.acquire("job", LONG)
    await expire()
    given = await asyncio.gather(*(leases.acquire("job", LONG) for _ in range(20)))
    assert len([each for each in given if each is not None]) == 1


async def test_a_held_lease_is_refused_until_it_is_released(leases):
    """While one holds it, nobody else gets it, and after the release the next one does, at once."""
    first = await leases.acquire("job", LONG)
    assert await leases.acquire("job", LONG) is None
    assert await first.holds()
    await first.release()
    assert not await first.holds()
    assert (await leases.acquire("job", LONG)).owner != first.owner


async def test_renewal_lets_its_duration_begin_anew(leases, binding, record):
    """A lease that is renewed in time ends when its duration has passed since then, by the server's clock."""
    lease = await leases.acquire("job", LONG)
    # In the place of the half of its time.
    await binding.collection(LeaseFields).update_one(
        {}, [{"$set": {"expires": {"$add": ["$$NOW", LONG.total_seconds() * 500]}}}]
    )
    halfway = (await record())["expires"]
    assert await lease.renew()
    assert (await record())["expires"] - halfway >= LONG / 2
    assert await leases.acquire("job", LONG) is None


async def test_a_paused_owner_is_refused_after_expiry(leases, expire):
    """Once expired, neither renew nor holds accepts the old owner, before and after somebody else takes it."""
    paused = await leases.acquire("job", LONG)
    await expire()
    assert not await paused.holds()
    assert not await paused.renew()
    other = await leases.acquire("job", LONG)
    assert not await paused.holds()
    assert not await paused.renew()
    await paused.release()
    assert await other.holds()


async def test_the_fence_only_grows(leases, expire, record):
    """Each holder's fence is larger than the last one's, through release and through expiry."""
    fences = []
    for _ in range(3):
        lease = await leases.acquire("job", LONG)
        fences.append(lease.fence)
        await lease.release()
    fences.append((await leases.acquire("job", LONG)).fence)
    await expire()
    fences.append((await leases.acquire("job", LONG)).fence)
    assert fences == [1, 2, 3, 4, 5]
    assert (await record())["fence"] == 5


async def test_names_and_tenants_do_not_meet(binding):
    """Each tenant has its own leases, each job its own."""
    one, other = Leases(binding, "one"), Leases(binding, "other")
    assert all(
        await asyncio.gather(one.acquire("a", LONG), one.acquire("b", LONG), other.acquire("a", LONG)),
    )
    stored = await binding.collection(LeaseFields).distinct("_id")
    assert sorted(stored) == ["one|a", "one|b", "other|a"]


@pytest.mark.parametrize("name", ["$owner", "a|b.c", "ü"])
async def test_no_character_of_a_name_is_special(leases, name):
    """A name with an operator's or a separator's characters is a name."""
    lease = await leases.acquire(name, LONG)
    assert lease.name == name
    assert await lease.holds()


async def test_bad_input_is_refused(leases):
    """No name, or no duration: nothing is asked of the server."""
    with pytest.raises(ValueError, match="name"):
        await leases.acquire("", LONG)
    with pytest.raises(ValueError, match="duration"):
        await leases.acquire("job", timedelta(0))


async def test_hold_renews_and_releases(leases, record, monkeypatch):
    """However long a block runs, the lease is renewed again and again; after it the lease is free."""
    monkeypatch.setattr("mongostore.mongo.leases._RENEWALS_PER_DURATION", MANY_RENEWALS)
    async with leases.hold("job", LONG) as lease:
        ends = {(await record())["expires"]}
        async with asyncio.timeout(50):
            while len(ends) < 4:
                await asyncio.sleep(0.01)
                ends.add((await record())["expires"])
        assert await lease.holds()
        assert await leases.acquire("job", LONG) is None
    assert await leases.acquire("job", LONG)


async def test_hold_releases_after_an_error(leases):
    """The block's error comes out as it is, and the lease is free."""
    with pytest.raises(LookupError):
        async with leases.hold("job", LONG):
            raise LookupError
    assert await leases.acquire("job", LONG)


async def test_hold_refuses_at_once_without_wait(leases):
    """Without a wait, a lease that is held is an error that names it."""
    await leases.acquire("job", LONG)
    with pytest.raises(StorageUnavailable, match="'job' is held"):
        async with leases.hold("job", LONG):
            pytest.fail("two holders")


async def test_hold_waits(leases):
    """With a wait, the block runs as soon as the other one is done; never two at once."""
    inside = 0

    async def work():
        nonlocal inside
        async with leases.hold("job", LONG, wait=timedelta(seconds=20)) as lease:
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1
            return lease.fence

    assert sorted(await asyncio.gather(*(work() for _ in range(4)))) == [1, 2, 3, 4]


async def test_a_lost_lease_cancels_the_block(leases, binding, record, monkeypatch):
    """When somebody else has the lease, the next renewal stops the block where it is, and the caller is told."""
    monkeypatch.setattr("mongostore.mongo.leases._RENEWALS_PER_DURATION", MANY_RENEWALS * 60)
    stopped = False
    with pytest.raises(StorageUnavailable, match="'job' was lost"):  # noqa: PT012 - the block is the subject
        async with asyncio.timeout(60), leases.hold("job", timedelta(hours=1)):
            await binding.collection(LeaseFields).update_one({}, {"$set": {"owner": "another"}, "$inc": {"fence": 1}})
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stopped = True
                raise
    assert stopped
    assert (await record())["owner"] == "another"


async def test_without_renewal_the_block_ends_in_time(leases, monkeypatch):
    """A node that is cut off from the server stops before its lease can pass on."""

    async def cut_off(_):
        raise StorageUnavailable("could not renew")

    monkeypatch.setattr("mongostore.mongo.leases.Lease.renew", cut_off)
    with pytest.raises(StorageUnavailable, match="was lost"):
        async with asyncio.timeout(60), leases.hold("job", timedelta(milliseconds=250)):
            await asyncio.Event().wait()


async def test_a_time_out_of_the_block_is_its_own(leases):
    """A TimeoutError that the block raises is not taken for a lost lease."""
    with pytest.raises(TimeoutError):
        async with leases.hold("job", LONG), asyncio.timeout(0.01):
            await asyncio.sleep(10)


async def test_cancelling_the_holder_releases(leases):
    """Cancellation from outside stays cancellation, and the lease is free."""
    entered = asyncio.Event()

    async def work():
        async with leases.hold("job", LONG):
            entered.set()
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await leases.acquire("job", LONG)


async def test_one_of_two_processes_gets_it(process):
    """Two processes acquire at the same moment: one wins."""
    children = [process(LONG), process(LONG)]
    for child in children:
        child.stdin.write("go\n")
    assert sorted(child.stdout.readline() for child in children) == ["lost\n", "won\n"]


async def test_a_killed_owners_lease_passes_on_after_expiry(process, leases, expire):
    """SIGKILL of the owner: refused until expiry, taken after it."""
    child = process(LONG)
    child.stdin.write("go\n")
    assert child.stdout.readline() == "won\n"
    child.kill()
    child.wait()
    assert await leases.acquire("job", LONG) is None
    await expire()
    assert (await leases.acquire("job", LONG)).fence == 2


async def test_a_stopped_process_is_refused_when_it_wakes_up(process, leases, expire):
    """SIGSTOP of the owner beyond expiry, somebody else takes over, SIGCONT: the first one is refused."""
    child = process(LONG)
    child.stdin.write("go\n")
    assert child.stdout.readline() == "won\n"
    child.send_signal(signal.SIGSTOP)
    await expire()
    assert (await leases.acquire("job", LONG)).fence == 2
    child.send_signal(signal.SIGCONT)
    child.stdin.write("go\n")
    assert child.stdout.readline() == "refused\n"
