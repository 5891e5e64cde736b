"""A command on one record is given up in time; whose cancellation it was is never mixed up."""

import asyncio
import contextlib
import time
from datetime import timedelta

import pytest
from pymongo.errors import AutoReconnect

from mongostore.errors import StorageUnavailable
from mongostore.mongo.connection import Connection
from mongostore.mongo.documents.grants import GrantFields
from mongostore.mongo.lookups import find_by_id

LIMIT = timedelta(milliseconds=200)
SLACK_SECONDS = 2


@pytest.fixture
def call():
    """Around nothing of the driver's: what happens inside is the test's."""
    connection = Connection("mongodb://127.0.0.1:1", operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    return lambda: connection.record_call("read a grant")


async def test_a_call_that_takes_too_long_is_given_up(call):
    """It raises in time, names the limit, and leaves the task as if nothing had been cancelled."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match=r"could not read a grant: .* within 0\.2 s"), call():
        await asyncio.sleep(60)
    assert LIMIT.total_seconds() <= time.monotonic() - began < SLACK_SECONDS
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)  # No cancellation is left to come.


async def test_calls_that_began_later_go_on(call):
    """Each has its own time, though one timer looks after all."""
    ended = []

    async def wait(name, before, inside):
        await asyncio.sleep(before)
        try:
            with call():
                await asyncio.sleep(inside)
            ended.append((name, "done"))
        except StorageUnavailable:
            ended.append((name, "given up"))

    await asyncio.gather(
        wait("first", 0, 60), wait("second", 0.1, 0.15), wait("third", 0.15, 60), wait("last", 0.5, 60)
    )
    assert ended == [("first", "given up"), ("second", "done"), ("third", "given up"), ("last", "given up")]


async def test_the_caller_s_cancellation_stays_one(call):
    """Who cancels the task is told so, also when the time is over at the same moment."""

    async def wait(cancel_at_the_end):
        with call():
            try:
                await asyncio.sleep(60)
            finally:
                if cancel_at_the_end:
                    asyncio.current_task().cancel()

    for cancel_at_the_end in (False, True):
        task = asyncio.create_task(wait(cancel_at_the_end))
        if not cancel_at_the_end:
            await asyncio.sleep(0.01)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_a_call_that_takes_the_end_for_its_own_is_told_again(call):
    """The driver swallows a cancellation now and then, and tries once more."""
    swallowed = 0

    async def swallow_two():
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    with pytest.raises(StorageUnavailable), call():
        await swallow_two()
    assert swallowed == 2
    assert asyncio.current_task().cancelling() == 0


async def test_a_swallowed_cancellation_of_the_caller_reaches_the_task(call):
    """The driver went on as if nothing had been; the task does not."""

    async def wait():
        with call(), contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_another_event_loop_starts_its_own_timer(call):
    """A loop that ended in the middle leaves no timer that others would wait for."""

    async def give_up():
        with pytest.raises(StorageUnavailable), call():
            await asyncio.sleep(60)

    async def begin():
        with call():
            await asyncio.sleep(0)

    asyncio.run(begin())
    asyncio.run(asyncio.wait_for(give_up(), SLACK_SECONDS))


async def test_a_look_up_is_sent_again_once(prepared_binding, monkeypatch):
    """A lost connection costs a look-up nothing, as it is with the driver's own reads; two lost ones are told."""
    binding = prepared_binding
    grants = binding.collection(GrantFields)
    send = type(grants.database).command
    failures = iter([AutoReconnect("lost"), None, AutoReconnect("lost"), AutoReconnect("lost")])

    async def failing(database, *arguments, **options):
        failure = next(failures)
        if failure is not None:
            raise failure
        return await send(database, *arguments, **options)

    monkeypatch.setattr(type(grants.database), "command", failing)
    assert await find_by_id(binding, "read a grant", grants, "default|absent") is None
    with pytest.raises(StorageUnavailable, match="read a grant"):
        await find_by_id(binding, "read a grant", grants, "default|absent")
