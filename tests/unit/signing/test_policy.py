"""Which key signs, which are published, made and deleted, at every age: no key is touched for it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongostore.signing.options import SigningOptions
from mongostore.signing.policy import (
    MAX_UNREADABLE_KEYS,
    KnownKey,
    SigningPlan,
    awaited_key,
    cache_duration,
    current_key,
    decide,
    present_keys,
    published_keys,
    retirement,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
OPTIONS = SigningOptions()
TWO = SigningOptions(signing_algorithms=["RS256", "ES256"])
DUE = 76 * DAY
EXPIRED = 90 * DAY
RETIRED = 104 * DAY
STATES = [{}, {"readable": False}, {"readable": False, "lost": True}]


def a_key(age, key_id="k", generation=1, algorithm="RS256", **values):
    return KnownKey(generation, key_id, algorithm, NOW - age, **values)


def keys_of(*ages):
    return [a_key(age, str(number), number) for number, age in enumerate(ages, 1)]


def signs(keys, options=OPTIONS, now=NOW):
    key = current_key(now, keys, "RS256", options)
    return None if key is None else key.id


def plan(keys, options=OPTIONS, store_time=NOW):
    return decide(NOW, store_time, keys, options)


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([], None),
        ([TICK], "1"),
        ([-DAY], "1"),
        ([14 * DAY], "1"),
        ([EXPIRED - TICK], "1"),
        ([EXPIRED], None),
        ([20 * DAY, 30 * DAY], "2"),
        ([30 * DAY, 14 * DAY - TICK], "1"),
        ([14 * DAY - TICK, 30 * DAY], "2"),
        ([EXPIRED, 14 * DAY], "2"),
        ([EXPIRED, 13 * DAY], "2"),
        ([EXPIRED, 12 * DAY, 13 * DAY], "3"),
        ([-DAY, TICK], "2"),
        ([14 * DAY, 14 * DAY], "1"),
    ],
)
def test_which_key_signs(ages, expected):
    """The oldest active one; where none is active, the oldest announced one; never an expired one."""
    assert signs(keys_of(*ages)) == expected


@given(st.permutations(keys_of(*(DAY * days for days in (2, 13, 14, 15, 40, 89, 90, 103, 104, 200)))))
def test_the_order_of_the_keys_does_not_matter(keys):
    """Every node decides alike, in whatever order it got the keys."""
    assert signs(keys) == "6"
    assert [key.id for key in published_keys(NOW, keys, OPTIONS)] == ["8", "7", "6", "5", "4", "3", "2", "1"]


def test_a_key_that_supersedes_takes_over_when_it_is_active():
    """From its propagation on, older keys sign no more; younger ones wait until it has expired."""
    old, new = a_key(60 * DAY, "old", 1), a_key(14 * DAY, "new", 2, supersedes=True)
    younger = a_key(14 * DAY - TICK, "younger", 3)
    assert signs([old, new, younger], now=NOW - TICK) == "old"
    assert signs([old, new, younger]) == "new"
    assert signs([old, new, younger], now=NOW + 20 * DAY) == "new"
    assert signs([old, new, younger], now=NOW + EXPIRED - 14 * DAY) == "younger"
    newest = a_key(14 * DAY, "newest", 4, supersedes=True)
    assert signs([old, new, newest]) == "newest"


def test_only_readable_keys_of_the_algorithm_sign():
    """Neither an unreadable one nor one for another algorithm is used in its place."""
    assert signs([a_key(30 * DAY, readable=False), a_key(20 * DAY, "other", algorithm="RS384")]) is None


def test_where_a_certificate_is_wanted_keys_without_do_not_sign():
    """A key with one serves where none is wanted, not the other way round."""
    wanted = SigningOptions(certificate_algorithms=["RS256"])
    plain, certified = a_key(30 * DAY), a_key(20 * DAY, "certified", certified=True)
    assert signs([plain, certified], wanted) == "certified"
    assert signs([plain], wanted) is None
    assert plan([plain], wanted).create == ("RS256",)
    assert signs([certified]) == "certified"


@pytest.mark.parametrize(
    ("ages", "due"),
    [
        ([], True),
        ([TICK], False),
        ([-DAY], False),
        ([-14 * DAY], False),
        ([-14 * DAY - TICK], True),
        ([DUE - TICK], False),
        ([DUE], True),
        ([DUE, DAY], False),
        ([DUE, -DAY], False),
        ([DUE, -15 * DAY], True),
        ([80 * DAY, DUE], True),
        ([EXPIRED], True),
        ([EXPIRED, DAY], False),
        ([EXPIRED, DUE], True),
        ([RETIRED, 2 * RETIRED], True),
    ],
)
def test_when_a_key_is_due(ages, due):
    """When there is none, and 14 days before the youngest expires; one from far in the future does not count."""
    assert plan(keys_of(*ages)).create == (("RS256",) if due else ())


def test_only_missing_algorithms_get_a_key():
    """Each algorithm has a life of its own."""
    assert plan([], TWO).create == ("RS256", "ES256")
    assert plan([a_key(DAY)], TWO).create == ("ES256",)
    assert plan([a_key(DUE), a_key(DAY, algorithm="ES256")], TWO).create == ("RS256",)


@pytest.mark.parametrize(("age", "deleted"), [(RETIRED - TICK, []), (RETIRED, ["k"]), (-DAY, [])])
@pytest.mark.parametrize("readable", [True, False])
def test_retired_keys_are_deleted_readable_or_not(age, deleted, readable):
    """A key is retired by its age alone."""
    keys = [a_key(age, readable=readable), a_key(DAY, "new")]
    assert [key.id for key in plan(keys).delete] == deleted
    assert plan(keys, SigningOptions(delete_retired_keys=False)).delete == ()


def test_where_no_key_can_be_read_none_is_made():
    """A node that lost its data keys would make keys for ever that nobody else can use."""
    lost = [a_key(age, str(age), readable=False, lost=True) for age in (DAY, 80 * DAY, EXPIRED)]
    for keys in (lost, lost[2:]):
        assert plan(keys) == SigningPlan(blocked=("RS256",))
    assert plan(lost, TWO).blocked == ("RS256", "ES256")


def test_retired_keys_that_can_not_be_read_block_nothing():
    """They serve nobody, whether they are deleted or not."""
    lost = [a_key(RETIRED, readable=False, lost=True)] * 5
    assert plan(lost, SigningOptions(delete_retired_keys=False)).create == ("RS256",)


def test_unreadable_keys_are_replaced_a_bounded_number_of_times():
    """While others can be read, a lost key is replaced; when its replacements are lost as well, no more are made."""
    keys = [a_key(DAY, "other", algorithm="ES256")]
    for number in range(MAX_UNREADABLE_KEYS):
        assert plan(keys, TWO).create == ("RS256",)
        keys.append(a_key(DAY, str(number), readable=False, lost=True))
    assert plan(keys, TWO) == SigningPlan(blocked=("RS256",))
    keys.append(a_key(DAY, "readable"))
    assert plan(keys, TWO) == SigningPlan()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], None),
        ([a_key(TICK)], None),
        ([a_key(20 * DAY)], None),
        ([a_key(80 * DAY, "1"), a_key(4 * DAY, "2")], "2"),
        ([a_key(20 * DAY, "1"), a_key(DAY, "2")], None),
        ([a_key(20 * DAY, "1"), a_key(DAY, "2", supersedes=True)], "2"),
        ([a_key(20 * DAY, "1"), a_key(DAY, "2", supersedes=True, readable=False)], None),
        ([a_key(20 * DAY, "1"), a_key(DAY, "2", supersedes=True, algorithm="ES256")], None),
        ([a_key(20 * DAY, "1"), a_key(-15 * DAY, "2", supersedes=True)], None),
        ([a_key(20 * DAY, "1"), a_key(14 * DAY, "2", supersedes=True)], None),
        ([a_key(TICK, "1", supersedes=True)], "1"),
    ],
)
def test_which_key_is_awaited(keys, expected):
    """One that will sign as soon as it is propagated; not one that waits for another to expire, or came too early."""
    key = awaited_key(NOW, keys, "RS256", OPTIONS)
    assert (None if key is None else key.id) == expected


def test_published_are_all_readable_keys_that_are_not_retired():
    """Announced, active and expired ones, oldest first, also those of algorithms that are not configured any more."""
    keys = [
        a_key(RETIRED, "retired"),
        a_key(DAY, "announced"),
        a_key(DAY, "lost", readable=False),
        a_key(20 * DAY, "active"),
        a_key(RETIRED - TICK, "expired"),
        a_key(30 * DAY, "other", algorithm="ES512"),
        a_key(-DAY, "future"),
    ]
    published = [key.id for key in published_keys(NOW, keys, OPTIONS)]
    assert published == ["expired", "other", "active", "announced", "future"]


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([20 * DAY], DAY),
        ([5 * MINUTE], MINUTE),
        ([-DAY], MINUTE),
        ([5 * MINUTE + TICK], DAY),
        ([MINUTE, 20 * DAY], DAY),
        ([MINUTE, EXPIRED], MINUTE),
        ([MINUTE, RETIRED], MINUTE),
    ],
)
def test_how_long_keys_are_used_without_reading_them_again(ages, expected):
    """A day; a minute while all that can sign were made within 5 minutes."""
    assert cache_duration(NOW, keys_of(*ages), OPTIONS) == expected


def test_cache_durations_have_limits():
    """Half of the propagation at most, and the shorter of both while keys are being set up."""
    short = SigningOptions(propagation_time=DAY)
    assert cache_duration(NOW, keys_of(20 * DAY), short) == DAY / 2
    never = SigningOptions(key_cache_duration=timedelta(0))
    assert cache_duration(NOW, keys_of(20 * DAY), never) == timedelta(0)
    assert cache_duration(NOW, keys_of(TICK), never) == timedelta(0)
    no_init = SigningOptions(initialization_duration=timedelta(0))
    assert cache_duration(NOW, keys_of(timedelta(0)), no_init) == DAY


def test_while_a_key_can_not_be_read_it_is_tried_again_soon():
    """The key ring may be repaired any minute."""
    assert cache_duration(NOW, [a_key(20 * DAY), a_key(30 * DAY, "lost", readable=False, lost=True)], OPTIONS) == MINUTE


@given(
    st.lists(
        st.tuples(st.integers(-150, 150), st.integers(-150, 150), st.booleans(), st.sampled_from(STATES)), max_size=6
    ),
    st.sampled_from([OPTIONS, SigningOptions(rotation_interval=20 * DAY), SigningOptions(retention_duration=DAY)]),
    st.integers(-130, 130),
)
def test_whatever_the_keys_one_signs_or_is_made_or_is_refused(drawn, options, ahead):
    """There is no state, and no error of the node's clock, in which nothing signs and nothing is said about it; what
    signs is published and not deleted; a key that others made since the store's last hundred days is neither hidden
    nor deleted."""
    keys = [
        a_key(DAY * days, str(number), number, stored=NOW - DAY * since, supersedes=supersedes, **state)
        for number, (days, since, supersedes, state) in enumerate(drawn, 1)
    ]
    store_time = NOW - ahead * DAY
    decided = plan(keys, options, store_time)
    published = published_keys(store_time, keys, options)
    key = current_key(NOW, present_keys(store_time, keys, options), "RS256", options)
    assert key is not None or decided.create or decided.blocked
    assert key is None or key in published
    assert not set(published) & set(decided.delete)
    assert not (decided.create and decided.blocked)
    assert not decided.blocked or any(each.lost for each in keys)
    for each in keys:
        if store_time - max(each.created, each.stored) < options.retirement_age:
            assert each not in decided.delete
            assert each in published or not each.readable


def test_the_node_s_own_clock_hides_and_deletes_nothing():
    """However far it is ahead, what is published and deleted follows the store's time; so it does behind."""
    keys = [a_key(DAY, "signing"), a_key(-60 * DAY, "future"), a_key(103 * DAY, "expired")]
    for ahead in (-1_000 * DAY, 1_000 * DAY):
        assert decide(NOW + ahead, NOW, keys, OPTIONS).delete == ()
    assert len(published_keys(NOW, keys, OPTIONS)) == 3


def test_a_key_is_retired_by_when_it_was_stored_if_that_was_later():
    """One of an older system, or of a node whose clock is behind, gets a whole life; one of the future as well."""
    assert retirement(a_key(1_000 * DAY, stored=NOW), OPTIONS) == NOW + RETIRED
    assert retirement(a_key(-DAY, stored=NOW), OPTIONS) == NOW + DAY + RETIRED
    imported = a_key(1_000 * DAY, stored=NOW - RETIRED + TICK)
    assert published_keys(NOW, [imported], OPTIONS) == [imported]
    assert plan([imported]).delete == ()
    assert plan([imported]).create == ("RS256",)
    assert [key.id for key in plan([imported], store_time=NOW + TICK).delete] == ["k"]


def test_lost_keys_do_not_stop_an_algorithm_of_which_a_key_is_at_hand():
    """However many records beside it can't be opened: its successor is made when it is due."""
    lost = [a_key(DAY, str(number), readable=False, lost=True) for number in range(5)]
    assert plan([*lost, a_key(DUE, "good")]).create == ("RS256",)
    assert plan([*lost, a_key(EXPIRED, "good")]).create == ("RS256",)
    assert plan([*lost, a_key(RETIRED, "gone")]).blocked == ("RS256",)


def test_what_opens_and_is_no_key_stops_nothing():
    """It proves that the data keys are there, so that none was lost."""
    foreign = [a_key(DAY, str(number), readable=False) for number in range(5)]
    assert plan(foreign).create == ("RS256",)
    assert plan([*foreign, a_key(DAY, "lost", readable=False, lost=True)]).create == ("RS256",)
