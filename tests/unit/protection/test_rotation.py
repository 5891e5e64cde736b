"""Which key seals and when the next is due, as pure decisions."""

from datetime import UTC, datetime, timedelta

import pytest

from mongostore.protection.rotation import (
    KeyRotationPolicy,
    active_data_key,
    decide_rotation,
    newest_generation,
)
from mongostore.stores.data_keys import DataKeyRecord

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = KeyRotationPolicy()


def record(generation, activates_at=START, *, wrapped=b"w", purpose="data"):
    return DataKeyRecord(
        tenant="default",
        generation=generation,
        purpose=purpose,
        key_id=bytes([generation]) * 16,
        wrapped=wrapped,
        master_key_id="local:0",
        created=START,
        activates_at=activates_at,
        destroyed_at=None,
    )


def test_newest_activated_key_seals():
    """A key seals from the instant of its activation on, and not before."""
    first, second = record(1), record(2, START + HOUR)
    assert active_data_key(START + HOUR - timedelta(milliseconds=1), [first, second]) is first
    assert active_data_key(START + HOUR, [second, first]) is second


def test_newer_generation_wins_over_later_activation():
    """A key made active at once, while another was announced, goes on sealing when that one activates."""
    announced, made_at_once = record(2, START + HOUR), record(3, START)
    assert active_data_key(START + 2 * HOUR, [record(1), announced, made_at_once]) is made_at_once


def test_clock_before_every_activation_uses_the_oldest_key():
    """A slow clock makes no key anew and doesn't stop."""
    first = record(1)
    assert active_data_key(START - DAY, [first, record(2, START + DAY)]) is first
    assert decide_rotation(START - DAY, [first], POLICY) is None


def test_key_for_hashes_never_seals():
    """It is no data key, whatever its times."""
    assert active_data_key(START, [record(0, purpose="hash")]) is None
    assert active_data_key(START, []) is None


def test_successor_is_due_one_propagation_ahead_of_the_interval():
    """By default it is stored 90 days less an hour after activation and seals an hour later."""
    due = START + 90 * DAY - HOUR
    assert decide_rotation(due - timedelta(milliseconds=1), [record(1)], POLICY) is None
    assert decide_rotation(due, [record(1)], POLICY) == due + HOUR


def test_announced_successor_is_enough():
    """While one is announced no second is made, and its own interval begins when it activates."""
    due = START + 90 * DAY - HOUR
    records = [record(0, purpose="hash"), record(1), record(2, due + HOUR)]
    assert decide_rotation(due, records, POLICY) is None
    assert decide_rotation(due + 2 * HOUR, records, POLICY) is None
    assert decide_rotation(due + 90 * DAY, records, POLICY) == due + 90 * DAY + HOUR


def test_idle_tenant_gets_time_to_propagate():
    """Long after the interval, the successor is still announced an hour ahead."""
    now = START + 400 * DAY
    assert decide_rotation(now, [record(1)], POLICY) == now + HOUR


def test_key_announced_by_a_clock_years_ahead_does_not_stop_rotation():
    """The successor in the far future is passed over."""
    now = START + 90 * DAY
    assert decide_rotation(now, [record(1), record(2, START + 3650 * DAY)], POLICY) == now + HOUR


def test_nothing_is_made_for_empty_and_destroyed_rings():
    """The first key is the first seal's business, and after destruction none is made."""
    late = START + 400 * DAY
    assert decide_rotation(late, [], POLICY) is None
    assert decide_rotation(late, [record(0, purpose="hash")], POLICY) is None
    assert decide_rotation(late, [record(1, wrapped=None)], POLICY) is None
    assert decide_rotation(late, [record(1, wrapped=None), record(2)], POLICY) is None


def test_generations_are_counted_over_data_keys():
    """The newest generation is the greatest number, 0 with none or with only the key for hashes."""
    assert newest_generation([]) == newest_generation([record(0, purpose="hash")]) == 0
    assert newest_generation([record(3), record(1)]) == 3


@pytest.mark.parametrize("propagation", [-HOUR, 90 * DAY, 91 * DAY])
def test_policy_that_cannot_announce_is_refused(propagation):
    """Propagation is at least nothing and shorter than the interval."""
    with pytest.raises(ValueError, match="propagation"):
        KeyRotationPolicy(propagation=propagation)


@pytest.mark.parametrize("name", ["rotation_interval", "propagation"])
def test_policy_of_no_durations_is_refused(name):
    """What is none is a TypeError; what no instant can be moved by, a ValueError."""
    with pytest.raises(TypeError, match=name):
        KeyRotationPolicy(**{name: 5})
    with pytest.raises(ValueError, match="must not exceed"):
        KeyRotationPolicy(**{name: timedelta.max})
