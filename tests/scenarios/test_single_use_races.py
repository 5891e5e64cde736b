"""What may be used once, asked for by fifty tasks of two processes at the same moment, again and again."""

from itertools import combinations

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


async def test_the_tasks_do_race(race):
    """In most rounds, calls of one process begin before others of the same process, and of the other one, have ended."""
    within, across = 0, 0
    with race("look", TASKS) as started:
        for _ in range(40):
            pairs = [
                process == other
                for (process, began, ended), (other, other_began, other_ended) in combinations(
                    started.run("nothing"), 2
                )
                if began < other_ended and other_began < ended
            ]
            within += True in pairs
            across += False in pairs
    assert min(within, across) > 20
