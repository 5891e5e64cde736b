"""What may be used once, asked for by fifty tasks of two processes at the same moment, again and again."""

import time

import pytest

from mongostore.testing.factories import a_grant, an_authorization_code

ROUNDS = pytest.mark.parametrize("rounds", [40, pytest.param(200, marks=pytest.mark.slow)])
TASKS = 25


@ROUNDS
async def test_a_grant_is_consumed_by_one_of_fifty(store, race, rounds):
    """Of 50 concurrent calls of consume, in two processes, exactly one is given the grant."""
    with race("consume", TASKS) as started:
        for _ in range(rounds):
            grant = a_grant()
            await store.persisted_grants.store(grant)
            assert started.run(grant.key).count(True) == 1
            assert (await store.persisted_grants.get(grant.key)).consumed_time is not None


@ROUNDS
async def test_a_code_is_redeemed_by_one_of_fifty(store, race, rounds):
    """Of 50 concurrent redemptions of a code, in two processes, one is the redemption and all others are replays."""
    with race("redeem", TASKS) as started:
        for _ in range(rounds):
            handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
            assert sorted(started.run(handle)) == ["redeemed"] + ["replayed"] * (2 * TASKS - 1)


async def test_the_tasks_do_race(store, race):
    """The calls overlap: a round takes far less time than as many calls one after the other."""
    with race("consume", TASKS) as started:
        began = time.monotonic()
        for _ in range(5):
            started.run("nothing")
        together = time.monotonic() - began
    began = time.monotonic()
    for _ in range(5 * 2 * TASKS):
        await store.persisted_grants.consume("nothing")
    assert together < time.monotonic() - began
