"""One refresh token, rotated by thirty tasks of two processes at the same moment, again and again."""

from collections import Counter

import pytest

from mongostore.testing.factories import a_refresh_token

TASKS = 15
rounds_of_a_race = pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.slow)])


@rounds_of_a_race
async def test_inside_the_grace_all_get_the_same_successor(store, race, mongo_connection, database_name, rounds):
    """One rotates, all others are taken for retries and get the same handle; what remains is the pair of tokens."""
    grants = mongo_connection[database_name]["grants"]
    with race("rotate", TASKS) as started:
        for family in map(str, range(rounds)):
            handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
            answers = started.run(handle, grace_seconds=60)
            assert Counter(outcome for outcome, _ in answers) == {"rotated": 1, "retried": 2 * TASKS - 1}
            (successor,) = {handle for _, handle in answers}
            (old,) = grants.find({"family": family, "consumed_time": {"$exists": True}})
            (new,) = grants.find({"family": family, "consumed_time": {"$exists": False}})
            assert (new["_id"], new["predecessor"]) == (f"default|{old['successor_key']}", old["_id"].split("|")[1])
            assert "pending" not in new
            assert await store.refresh_tokens.get_refresh_token(successor) is not None
            assert await store.grants.remove_family(family) == 2


@rounds_of_a_race
async def test_without_a_grace_a_race_is_a_replay_and_nothing_remains(
    store, race, mongo_connection, database_name, rounds
):
    """At most one rotates, somebody sees the replay, and the whole family is gone: live, consumed and pending."""
    grants = mongo_connection[database_name]["grants"]
    with race("rotate", TASKS) as started:
        for family in map(str, range(rounds)):
            handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
            answers = started.run(handle, grace_seconds=0)
            outcomes = Counter(outcome for outcome, _ in answers)
            assert outcomes["rotated"] <= 1, outcomes
            assert outcomes["replayed"] >= 1, outcomes
            assert outcomes["retried"] == 0, outcomes
            assert list(grants.find({"family": family})) == []
            for successor in {handle for _, handle in answers if handle}:
                assert await store.refresh_tokens.get_refresh_token(successor) is None
